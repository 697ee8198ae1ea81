"""Frames of the stream to the head, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node_agent.core.hardware import Hardware

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node_agent.core.orders import Key, Order
    from node_agent.core.reports import Columns
    from node_agent.core.usage import TaskUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """Who and what this node is.

    Attributes:
        node: Name, unique in the cluster.
        boot_id: Boot of the kernel.
        instance: Name of the supervisor's journal.
        machine_id: Tells two machines of one name apart; may be empty.
        cores: Hardware threads that tasks may use.
        containment: ``cgroup`` or ``group``.
        os: Name and version of the operating system.
        groups: Node groups that the administrator put it in.
        term: Highest term of a head that was seen.
        version: Of this program.
        hardware: What people want to know of the machine.
        cluster: Identity of the cluster that it was in last.
        run: Of the head that it heard last.
        position: Newest event that this head spoke of.
    """

    node: str
    boot_id: str
    instance: str
    machine_id: str
    cores: int
    sockets: int
    memory_bytes: int
    containment: str
    os: str
    groups: Sequence[str]
    term: int
    version: str
    hardware: Hardware = field(default_factory=Hardware)
    cluster: str = ""
    run: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The head accepts the session.

    Attributes:
        session: Its number; it grows with each stream of this node.
        heartbeat_ms: Longest silence of ours, milliseconds.
        output_quota_bytes: Output of ended tasks that the node keeps.
        cluster: Identity of the cluster.
        run: Of this start of the head.
        takes_lived: Tasks of several jobs that ended well may be told of together.
    """

    session: int
    term: int
    heartbeat_ms: int
    protocol: int
    cluster_name: str = ""
    output_quota_bytes: int = 0
    cluster: str = ""
    run: str = ""
    takes_lived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFrame:
    """What the head says.

    Attributes:
        seq: From 1; 0: nothing in it needs an acknowledgement.
        ack: Our frames up to this number are durable.
        problems: What was wrong with orders that cannot be carried out.
        goodbye_retry_ms: The head stops; come again after so many milliseconds. 0: no.
        position: Newest event that the head speaks of; 0: of none.
    """

    seq: int = 0
    ack: int = 0
    welcome: Welcome | None = None
    orders: Sequence[Order] = ()
    problems: Sequence[str] = ()
    goodbye_retry_ms: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy the node is: processes, attempts that wait, load, and its clock."""

    running: int
    queued: int
    load: float
    time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a task's output.

    Attributes:
        offset: Position of the first byte.
        eof: Nothing follows.
        error: ``gone``, ``unknown``, ``user_file`` or empty.
    """

    read_id: int
    offset: int
    data: bytes = b""
    eof: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFrame:
    """What we say after the hello."""

    seq: int = 0
    ack: int = 0
    reports: Sequence[Columns] = ()
    load: Load | None = None
    chunks: Sequence[Chunk] = field(default=())
    usages: Sequence[tuple[Key, TaskUsage]] = ()
    goodbye: bool = False
