"""Frames of the agent stream as values; the services translate them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from hpcsched.core.orders import (
    DefineTask,
    EndJobs,
    RecallTasks,
    StartAlike,
    StartTasks,
    StopTasks,
)
from hpcsched.core.views import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.orders import Order
    from hpcsched.core.reports import LiveAttempt, Report
    from hpcsched.core.usage import TaskUsage

#: Most orders in one frame.
ORDERS_PER_FRAME: Final = 256
#: A frame that has grown to so many characters is sent. One order has at most a few
#: MiB, and gRPC takes 16 MiB.
CHARACTERS_PER_FRAME: Final = 1024 * 1024
#: What one entry of the columns of an order counts, characters.
_ENTRY: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a node offers."""

    cores: int
    sockets: int = 1
    memory_bytes: int = 0
    containment: str = "group"
    groups: tuple[str, ...] = ()
    inventory: Inventory = field(default_factory=Inventory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who and what a node is, and what it knows about attempts (all frames joined)."""

    node: str
    boot_id: str
    instance: str
    protocol_min: int
    protocol_max: int
    agent_version: str
    resources: Resources
    live: tuple[LiveAttempt, ...] = ()
    term: int = 0
    machine_id: str = ""
    cluster: str = ""
    run: str = ""
    position: int = 0
    takes_alike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The node lives. ``time`` is its clock's; 0: it does not say."""

    running: int = 0
    queued: int = 0
    load: float = 0.0
    time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChunk:
    """A part of a task's output. ``error``: ``gone``, ``unknown`` or ``user_file``."""

    read_id: int
    offset: int
    data: bytes
    eof: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFrame:
    """A frame of the agent after its Hello."""

    seq: int = 0
    ack: int = 0
    reports: tuple[Report, ...] = ()
    usages: tuple[TaskUsage, ...] = ()
    heartbeat: Heartbeat | None = None
    outputs: tuple[OutputChunk, ...] = ()
    goodbye: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The session is accepted."""

    session: int
    term: int
    heartbeat_ms: int
    lease_ms: int
    protocol: int
    cluster_name: str
    node_id: int
    output_quota_bytes: int
    cluster: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFrame:
    """A frame of the head."""

    seq: int = 0
    ack: int = 0
    welcome: Welcome | None = None
    orders: tuple[Order, ...] = ()
    heartbeat: bool = False
    goodbye_retry_ms: int = 0
    position: int = 0


class AgentLink(Protocol):
    """The way to one agent; the transport seam. Frames are sent in order."""

    def send(self, frame: HeadFrame) -> None:
        """Queue a frame; never blocks, never raises."""

    def close(self, reason: str, message: str) -> None:
        """End the stream with a refusal of the catalogue."""


class AgentSession(Protocol):
    """The head's end of one agent's stream."""

    def receive(self, frame: AgentFrame) -> None:
        """Take a frame. Never raises."""

    def closed(self) -> None:
        """The stream has ended, for whatever reason."""


class AgentFront(Protocol):
    """Where agents arrive."""

    async def connect(
        self, hello: Hello, link: AgentLink, *, token_node: str
    ) -> AgentSession:
        """Accept a node's stream; the Welcome is sent by the link's first frame.

        Args:
            hello: What the agent said, all Hello frames joined.
            link: How to answer.
            token_node: Node that the stream's token stands for; ``*`` for any.

        Raises:
            HpcError: PERMISSION_DENIED, NODE_CONFLICT, PROTOCOL_MISMATCH.
        """
        ...


def frame_parts(orders: Sequence[Order]) -> Iterator[tuple[Order, ...]]:
    """Cut a sequence of orders into frames that are small enough for the wire."""
    part: list[Order] = []
    size = 0
    for order in orders:
        part.append(order)
        size += _size(order)
        if len(part) == ORDERS_PER_FRAME or size >= CHARACTERS_PER_FRAME:
            yield tuple(part)
            part, size = [], 0
    if part:
        yield tuple(part)


def _size(order: Order) -> int:
    """Return about how many characters an order has."""
    if isinstance(order, DefineTask):
        variables = order.environment.items()
        return (
            len(order.command_line)
            + sum(map(len, order.arguments))
            + sum([len(name) + len(value) for name, value in variables])
        )
    if isinstance(order, StartTasks):
        return _ENTRY * len(order.instances) + sum(len(one) for one in order.lines)
    if isinstance(order, StartAlike):
        return _ENTRY * len(order.job_ids) + _size(order.define)
    if isinstance(order, EndJobs):
        return _ENTRY * len(order.job_ids)
    if isinstance(order, (StopTasks, RecallTasks)):
        return _ENTRY * len(order.instances)
    return _ENTRY
