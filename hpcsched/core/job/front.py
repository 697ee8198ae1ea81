"""The head of a job's line: elements that were queued again and start first (4.2, D7).

A front is a tuple of (task, first instance, last instance) without overlaps. Of a span
only what is Queued counts, so one span can stand for a whole sweep.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import CancelOrigin, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job

    Span = tuple[int, int, int]
    Front = tuple[Span, ...]


def joined(spans: Iterable[Span]) -> Front:
    """Return the spans in order, without what an earlier one already has."""
    taken: dict[int, list[tuple[int, int]]] = {}
    front: list[Span] = []
    for task_id, first, last in spans:
        known = taken.setdefault(task_id, [])
        for a, b in list(_rest(known, first, last)):
            front.append((task_id, a, b))
            known.insert(bisect_right(known, (a, b)), (a, b))
    return tuple(front)


def _rest(
    known: list[tuple[int, int]], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that ascending, disjoint ranges leave over."""
    for a, b in known[max(0, bisect_right(known, (first, first)) - 1) :]:
        if b < first:
            continue
        if a > last:
            break
        if first < a:
            yield first, a - 1
        first = max(first, b + 1)
    if first <= last:
        yield first, last


def queued_front(job: Job, moves: Sequence[TaskMove]) -> dict[str, Any]:
    """Return the patch that makes requeued tasks, now stopped, the next ones (4.2).

    Must be asked before the moves are applied.
    """
    front: list[Span] = []
    if job.state is not JobState.RUNNING:
        return {}
    for one in moves:
        if one.was != TaskState.CANCELING or one.path[-1:] != (TaskState.QUEUED,):
            continue
        record = job.tasks[one.task_id - 1]
        table = job.table_of(record)
        for first, last in one.ranges:
            rows = table.runs(record.row(first), record.row(last), "origin")
            front.extend(
                (one.task_id, record.instance(a), record.instance(b))
                for origin, a, b in rows
                if origin == CancelOrigin.REQUEUE
            )
    return {"front": joined((*front, *job.front))} if front else {}
