"""One attempt of a task on this node: waiting for cores, or alive."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from collections.abc import Mapping

    from node_agent.supervisor.definition import Definition, Value
    from node_agent.supervisor.procfs import TaskKey

InstanceKey = tuple[int, int, int]
"""Job, task, instance: what has at most one living attempt."""


class Queued:
    """An attempt that was accepted and has not been tried.

    Attributes:
        ncores: How many cores it needs; 0 starts at once and takes none.
        extra: Variables of this start alone.
        arrival: Its place in the order of acceptance.
        dropped: It was stopped while it waited in its job's queue.
    """

    __slots__ = (
        "arrival",
        "attempt",
        "definition",
        "dropped",
        "extra",
        "instance",
        "ncores",
        "value",
    )

    def __init__(
        self,
        definition: Definition,
        instance: int,
        attempt: int,
        *,
        value: Value,
        ncores: int,
        extra: Mapping[str, str] | None,
        arrival: int,
    ) -> None:
        self.definition = definition
        self.instance = instance
        self.attempt = attempt
        self.value = value
        self.ncores = ncores
        self.extra = extra
        self.arrival = arrival
        self.dropped = False

    @property
    def instance_key(self) -> InstanceKey:
        """Job, task, instance."""
        return self.definition.job, self.definition.task, self.instance


class Attempt:
    """An attempt that was tried and whose end has not been recorded.

    Attributes:
        slot: Which output files and which cgroup it uses.
        cores: Bit mask of the cores it has alone.
        contained: Whether it runs in its slot's cgroup.
        tried_at: When its intent was written, seconds since boot.
        pid: Its main process, 0 until that exists.
        born: Span, in seconds since boot, in which the process was made.
        started_at: The same for people, seconds since 1970.
        started_text: The ``started`` report.
        own: Whether the main process is a child of this very process.
        pidfd: Descriptor of a main process that is not, -1 if none.
        status: Wait status of the main process once that has ended.
        ended_at: When that was, seconds since 1970.
        stopping: ``stop`` or ``limit`` once it was asked to end, before that empty.
        why: The reason given with the stop.
        signalled: Whether the signal of the stop has been sent.
        deadline: When it is killed, seconds since boot.
        killed: Whether it has been sent SIGKILL by us.
        drain_until: Until when its leftovers are waited for, seconds since boot.
        lost: Its main process ended and nobody can tell how.
        reported: Its end was reported; processes of it may live on.
        over: Nothing of it is left.
        timed: Timers may be waiting for it.
    """

    __slots__ = (
        "attempt",
        "born",
        "contained",
        "cores",
        "deadline",
        "definition",
        "drain_until",
        "ended_at",
        "err_path",
        "instance",
        "killed",
        "lost",
        "max_rss_kb",
        "out_path",
        "over",
        "own",
        "pid",
        "pidfd",
        "reported",
        "signalled",
        "slot",
        "started_at",
        "started_text",
        "status",
        "stopping",
        "system_ms",
        "timed",
        "tried_at",
        "user_ms",
        "why",
    )

    def __init__(
        self,
        definition: Definition,
        instance: int,
        attempt: int,
        *,
        slot: int,
        cores: int,
        contained: bool,
        tried_at: float,
    ) -> None:
        self.definition = definition
        self.instance = instance
        self.attempt = attempt
        self.slot = slot
        self.cores = cores
        self.contained = contained
        self.tried_at = tried_at
        self.pid = 0
        self.born = (0.0, 0.0)
        self.started_at: float | None = None
        self.started_text = b""
        self.out_path: str | None = None
        self.err_path: str | None = None
        self.own = True
        self.pidfd = -1
        self.status: int | None = None
        self.ended_at: float | None = None
        self.user_ms = 0
        self.system_ms = 0
        self.max_rss_kb = 0
        self.stopping = ""
        self.why: str | None = None
        self.signalled = False
        self.deadline: float | None = None
        self.killed = False
        self.drain_until: float | None = None
        self.lost = False
        self.reported = False
        self.over = False
        self.timed = False

    @property
    def instance_key(self) -> InstanceKey:
        """Job, task, instance."""
        return self.definition.job, self.definition.task, self.instance

    @property
    def key(self) -> TaskKey:
        """Job, task, instance, attempt."""
        definition = self.definition
        return definition.job, definition.task, self.instance, self.attempt

    @property
    def state(self) -> str:
        """``running``, ``stopping`` or ``ending`` (only leftovers live)."""
        if self.status is not None or self.lost:
            return "ending"
        return "stopping" if self.stopping else "running"

    @property
    def core_list(self) -> list[int]:
        """The cores as a list of ids."""
        return cores_in(self.cores)

    def usage(self, usage: resource.struct_rusage) -> None:
        """Take over what the kernel counted for the main process."""
        self.user_ms = int(usage.ru_utime * 1000)
        self.system_ms = int(usage.ru_stime * 1000)
        self.max_rss_kb = usage.ru_maxrss


def cores_in(mask: int) -> list[int]:
    """Return the ids in a bit mask of cores, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


@functools.lru_cache(maxsize=1024)
def core_text(mask: int, between: str = ",") -> str:
    """Return the ids in a bit mask of cores as text."""
    return between.join(map(str, cores_in(mask)))


def mask_of(cores: list[int]) -> int:
    """Return the bit mask of core ids."""
    mask = 0
    for core in cores:
        mask |= 1 << core
    return mask
