"""Orders of the head, as values. Each is idempotent: it names attempts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Key: TypeAlias = tuple[int, int, int, int]
"""An attempt: job, task, instance (0 for a plain task), attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineTask:
    """What the attempts of a task have in common.

    Attributes:
        definition: Number of this definition; a start names the one it wants.
        arguments: Argument vector; empty when ``command_line`` is given.
        work_directory: Empty: the account's home.
        user: Account to run as that the job names; empty: none.
        owner: The job's owner, as whom it runs where it names nobody and the
            supervisor is told to.
        runtime_ms: Wall-clock limit of one process; 0: none.
        signal: Number of the signal that starts a grace period.
        substitute: Replace ``*`` by the value (properties.md 8.1).
    """

    job_id: int
    task_id: int
    definition: int
    arguments: Sequence[str] = ()
    command_line: str = ""
    environment: Mapping[str, str]
    work_directory: str = ""
    stdin_path: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    user: str = ""
    owner: str = ""
    runtime_ms: int = 0
    grace_ms: int = 0
    signal: int = 15
    pin: bool = False
    output_limit: int = 4096
    substitute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetGrant:
    """Replaces the set of cores that a job may use on this node; empty: none."""

    job_id: int
    cores: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTasks:
    """Starts attempts of one task; the columns are parallel and equally long.

    Attributes:
        values: A number, or the line of a sweep over lines.
        cores: Cores for each process; 0: starts at once and takes none.
        retries: Automatic reruns so far.
        allocation: Nodes that each of them has, (name, cores), this one first; empty:
            this one alone.
    """

    job_id: int
    task_id: int
    definition: int
    instances: Sequence[int]
    attempts: Sequence[int]
    values: Sequence[int | str]
    cores: int
    retries: Sequence[int]
    allocation: Sequence[tuple[str, int]] = ()


#: Variables by which jobs that are started alike differ, in the order of ``names_of``.
OWN_VARIABLES: Final = ("CCP_JOBID", "CCP_TASKSYSTEMID", "CCP_TASKCONTEXT")


def names_of(job_id: int, task_id: int) -> tuple[str, str, str]:
    """Return the values of the variables by which jobs that are alike differ."""
    name = f"{job_id}.{task_id}"
    return str(job_id), name, name


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAlike:
    """Grants, defines and starts the one task of each of several jobs.

    Attributes:
        job_ids: In the order in which they are to start.
        grant: Of the first of them; as ``define`` and ``start``.
    """

    job_ids: Sequence[int]
    grant: SetGrant
    define: DefineTask
    start: StartTasks

    def one_by_one(self) -> Iterator[SetGrant | DefineTask | StartTasks]:
        """Yield the orders that would have said the same of one job each."""
        for job_id in self.job_ids:
            own = zip(OWN_VARIABLES, names_of(job_id, self.define.task_id), strict=True)
            environment = {**self.define.environment, **dict(own)}
            yield replace(self.grant, job_id=job_id)
            yield replace(self.define, job_id=job_id, environment=environment)
            yield replace(self.start, job_id=job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJobs:
    """What EndJob says, of each of several jobs."""

    job_ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTasks:
    """Stops attempts of one task; the columns are parallel.

    Attributes:
        grace_ms: Between signal and kill; 0 kills at once. It only ever shortens.
        reason: The reference's CancelRequest name.
    """

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]
    grace_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTasks:
    """Asks for attempts that have not started; the columns are parallel."""

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJob:
    """The job holds nothing on this node any more: kill what is left, forget it."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeJob:
    """The job's record was deleted: its kept output goes."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOutput:
    """Asks for a part of a stream.

    Attributes:
        read_id: Names the request in the answers.
        offset: First byte; negative: so many bytes before the present end.
        follow: Go on until the task has ended.
        limit: At most so many bytes; 0: no bound.
    """

    read_id: int
    job_id: int
    task_id: int
    instance_id: int
    attempt: int
    stderr: bool = False
    offset: int = 0
    follow: bool = False
    limit: int = 0

    @property
    def key(self) -> Key:
        """The attempt."""
        return self.job_id, self.task_id, self.instance_id, self.attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReading:
    """The reader is gone."""

    read_id: int


Order: TypeAlias = (
    DefineTask
    | SetGrant
    | StartTasks
    | StopTasks
    | RecallTasks
    | StartAlike
    | EndJob
    | EndJobs
    | PurgeJob
    | ReadOutput
    | StopReading
)
