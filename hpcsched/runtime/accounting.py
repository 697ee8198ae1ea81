"""Rows of accounting that turns of a job lead to (properties.md 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.ranges import format_ranges, from_sorted_iterable
from hpcsched.core.job.accounting import charge, encode_end
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TASK_TERMINAL
from hpcsched.store.history import DAY_S, AllocationRow, JobHistoryRow, UsageRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.accounting import Held, JobEnd
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn
    from hpcsched.store.base import Delta


def add_accounting(delta: Delta, job: Job, turns: Sequence[Turn]) -> None:
    """Put into a delta what turns mean for accounting.

    Args:
        delta: Of these turns.
        job: After them.
        turns: All since the last commit, in order.
    """
    held: list[Held] = []
    ends: list[JobEnd] = []
    for turn in turns:
        if turn.held or turn.ends:
            held += turn.held
            ends += turn.ends
    if held:
        delta.allocations = [_allocation(job, one) for one in held]
    if ends:
        delta.history = [_history(job, one) for one in ends]
    if held or ends:
        delta.usage = list(_usage(job, held, ends))
    if turns and (job.state.terminal or turns[0].ended_counts is not None):
        delta.sums = ended_tasks(turns[0].ended_counts, job)


def ended_tasks(before: Sequence[int] | None, job: Job | None) -> dict[str, int]:
    """Return how the numbers of tasks of ended jobs change.

    Args:
        before: Elements per state while the job had ended; None: it had not.
        job: As it is now; None: it is gone.
    """
    after = job.counts if job is not None and job.state.terminal else None
    sums = {}
    for state in TASK_TERMINAL:
        change = (after[state] if after else 0) - (before[state] if before else 0)
        if change:
            sums[ended_name(state)] = change
    return sums


def ended_name(state: int) -> str:
    """Return the name of the stored counter for a terminal state of tasks."""
    return f"ended tasks {TASK_NAMES[state]}"


TASK_NAMES = {int(state): state.name.lower() for state in TASK_TERMINAL}


def _allocation(job: Job, one: Held) -> AllocationRow:
    return AllocationRow(
        job_id=job.job_id,
        requeue_id=job.requeue_count,
        node_id=one.node_id,
        cores=format_ranges(from_sorted_iterable(one.cores)),
        start_time=one.start,
        end_time=one.end,
    )


def _history(job: Job, end: JobEnd) -> JobHistoryRow:
    return JobHistoryRow(
        job_id=job.job_id,
        requeue_id=end.requeue_id,
        owner=job.owner,
        project=job.spec.project,
        state=int(end.state),
        event_time=end.event_time,
        body=encode_end(end),
    )


def _usage(
    job: Job, held: Sequence[Held], ends: Sequence[JobEnd]
) -> Iterator[UsageRow]:
    """Yield what was used per day, in UTC."""
    owner, project = job.owner, job.spec.project
    days: dict[int, int] = {}
    for one in held:
        for day, core_ms in by_day(len(one.cores), one.start, one.end):
            days[day] = days.get(day, 0) + core_ms
    for day, core_ms in days.items():
        if core_ms:
            yield UsageRow(day=day, owner=owner, project=project, core_ms=core_ms)
    for end in ends:
        yield UsageRow(
            day=int(end.event_time // DAY_S),
            owner=owner,
            project=project,
            user_ms=end.user_ms,
            kernel_ms=end.kernel_ms,
            finished=int(end.state is JobState.FINISHED),
            failed=int(end.state is JobState.FAILED),
            canceled=int(end.state is JobState.CANCELED),
        )


def by_day(cores: int, start: float, end: float) -> Iterator[tuple[int, int]]:
    """Yield (days since 1970, core-milliseconds) for each day that a time touches."""
    day = int(start // DAY_S)
    while start < end:
        until = min(end, float((day + 1) * DAY_S))
        yield day, charge(cores, start, until)
        start, day = until, day + 1
