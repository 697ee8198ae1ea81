"""What running tasks use, as their nodes say from time to time.

It is not stored, may be old or lost, and decides nothing; what a task has used when it
has ended comes with the report of its end (node-agent.md 10).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TaskKey = tuple[int, int]
"""(task number, instance number)."""

MOST: Final = 20_000
"""Attempts of one node of which it is kept."""
_LARGEST: Final = (1 << 53) - 1
_NONE: Final[Mapping[TaskKey, TaskUsage]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUsage:
    """What the processes of one attempt have used so far, and use now.

    Attributes:
        attempt: Whose use it is.
        user_ms, kernel_ms: Processor time so far.
        resident_kib: Memory now.
        peak_kib: The most memory that was told of it.
        processes: Number of processes.
        pids: Ids of the first of them.
    """

    job_id: int
    task_id: int
    instance_id: int
    attempt: int
    user_ms: int = 0
    kernel_ms: int = 0
    resident_kib: int = 0
    peak_kib: int = 0
    processes: int = 0
    pids: tuple[int, ...] = ()


@dataclass(slots=True)
class JobUsage:
    """What the running attempts of one job use on one node, and their sums."""

    tasks: dict[TaskKey, TaskUsage] = field(default_factory=dict)
    user_ms: int = 0
    kernel_ms: int = 0
    memory_kib: int = 0
    processes: int = 0

    def count(self, one: TaskUsage, sign: int) -> None:
        """Add an attempt to the sums (1), or take it out (-1)."""
        self.user_ms += sign * one.user_ms
        self.kernel_ms += sign * one.kernel_ms
        self.memory_kib += sign * one.peak_kib
        self.processes += sign * one.processes


class Usages:
    """What one node has told of the attempts that run there."""

    __slots__ = ("_count", "jobs")

    def __init__(self) -> None:
        self.jobs: dict[int, JobUsage] = {}
        self._count = 0

    def take(self, told: Iterable[TaskUsage]) -> None:
        """Note what a node tells; more than can be kept is not."""
        for one in told:
            job = self.jobs.get(one.job_id)
            if job is None:
                job = self.jobs[one.job_id] = JobUsage()
            key = (one.task_id, one.instance_id)
            before = job.tasks.get(key)
            if before is None:
                if self._count >= MOST:
                    continue
                self._count += 1
            else:
                job.count(before, -1)
            job.tasks[key] = kept = _sane(one, before)
            job.count(kept, 1)

    def ended(self, job_id: int, task_id: int, instances: Iterable[int]) -> None:
        """Forget attempts that have ended: their reports say what they used."""
        job = self.jobs.get(job_id)
        if job is None:
            return
        for instance in instances:
            before = job.tasks.pop((task_id, instance), None)
            if before is not None:
                job.count(before, -1)
                self._count -= 1
        if not job.tasks:
            del self.jobs[job_id]

    def forget_job(self, job_id: int) -> None:
        """The job holds nothing on the node any more."""
        job = self.jobs.pop(job_id, None)
        if job is not None:
            self._count -= len(job.tasks)

    def clear(self) -> None:
        """Forget all: another stream begins, and tells it anew."""
        self.jobs.clear()
        self._count = 0


def _sane(one: TaskUsage, before: TaskUsage | None) -> TaskUsage:
    """Return it with numbers that can be summed, and with its peak."""
    peak = one.resident_kib
    if before is not None and before.attempt == one.attempt:
        peak = max(peak, before.peak_kib)
    return TaskUsage(
        job_id=one.job_id,
        task_id=one.task_id,
        instance_id=one.instance_id,
        attempt=one.attempt,
        user_ms=min(max(0, one.user_ms), _LARGEST),
        kernel_ms=min(max(0, one.kernel_ms), _LARGEST),
        resident_kib=min(max(0, one.resident_kib), _LARGEST),
        peak_kib=min(max(0, peak), _LARGEST),
        processes=max(0, one.processes),
        pids=one.pids,
    )
