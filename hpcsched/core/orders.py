"""Orders to a node, as values. Every one is idempotent: it names attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Role(IntEnum):
    """What a process does in its job; numbers are those of the protos."""

    MAIN = 1
    PREP = 2
    RELEASE = 3
    COMMAND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineTask:
    """A task's definition, sent once per stream before its first start.

    Attributes:
        definition: Number of this definition; a start names the one it wants.
        environment: Cluster's, job's and task's variables merged, and what the
            scheduler provides.
        user: Account that the job names; empty: none.
        owner: The job's; a node may run tasks as their owners.
        runtime_ms: Wall-clock limit of a process; 0: none.
        exclusive: The job shares its nodes with nobody; for a node's own word on
            ``pin``, not sent.
        substitute: Replace ``*`` by the element's value.
    """

    job_id: int
    task_id: int
    definition: int
    arguments: tuple[str, ...] = ()
    command_line: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    work_directory: str = ""
    stdin_path: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    user: str = ""
    owner: str = ""
    runtime_ms: int = 0
    grace_ms: int = 15000
    signal: int = 15
    role: Role = Role.MAIN
    pin: bool = True
    exclusive: bool = False
    output_limit: int = 4096
    substitute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetGrant:
    """Replaces the set of cores that a job may use on the node; empty: none."""

    job_id: int
    cores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTasks:
    """Starts attempts of one task; columns are parallel.

    Attributes:
        instances: Element numbers; (0,) for a plain task.
        attempts: One for each.
        values: One for each; the element's value.
        lines: One for each in sweeps over lines, else empty.
        cores: Cores for each process; 0: starts at once and takes none.
        retries: Automatic reruns so far, one for each.
        allocation: Nodes of each of them, (name, cores), this one first; empty: this
            one alone.
    """

    job_id: int
    task_id: int
    definition: int
    instances: Sequence[int]
    attempts: Sequence[int]
    values: Sequence[int]
    lines: Sequence[str] = ()
    cores: int = 1
    retries: Sequence[int] = ()
    allocation: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTasks:
    """Stops attempts of one task; ``grace_ms`` 0 kills, and it only ever shortens."""

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]
    grace_ms: int
    reason: str = "CancelByUser"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTasks:
    """Asks for attempts of one task that have not started; columns are parallel.

    Those that have started, or have ended, stay as they are. What is given back ends
    as never started, and says so.
    """

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJob:
    """The job holds nothing on this node any more: kill what is left, forget it."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJobs:
    """The same of several jobs."""

    job_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAlike:
    """Grants, defines and starts one task of each of several jobs that are alike.

    Attributes:
        grant, define, start: As one of them has it; the others with their own number.
    """

    job_ids: tuple[int, ...]
    grant: SetGrant
    define: DefineTask
    start: StartTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeJob:
    """The job's record was deleted: its kept output goes."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOutput:
    """Asks for a part of a task's output; answers carry ``read_id``."""

    read_id: int
    job_id: int
    task_id: int
    instance_id: int
    attempt: int
    stderr: bool = False
    offset: int = 0
    follow: bool = False
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReading:
    """The reader is gone."""

    read_id: int


Order = (
    DefineTask
    | SetGrant
    | StartTasks
    | StopTasks
    | RecallTasks
    | EndJob
    | EndJobs
    | StartAlike
    | PurgeJob
    | ReadOutput
    | StopReading
)
