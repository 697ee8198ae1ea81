"""Finding attempts and elements: what a report names, what lives on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.commands import TaskKey
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord

ACTIVE: Final = (TaskState.DISPATCHING, TaskState.RUNNING, TaskState.CANCELING)
"""States in which an attempt may live on a node."""


def current_row(
    job: Job, task_id: int, instance: int, attempt: int, node_id: int
) -> tuple[TaskRecord, int] | None:
    """Return the row of an attempt if it is the current one and on that node."""
    record = job.task(task_id)
    if record is None:
        return None
    first, last = (1, record.count) if record.has_elements else (0, 0)
    if not first <= instance <= last:
        return None
    row = record.row(instance)
    table = job.table_of(record)
    if table.get("attempt", row) != attempt or table.get("node", row) != node_id:
        return None
    return record, row


def rows_on(job: Job, node_id: int) -> Iterator[tuple[TaskRecord, int]]:
    """Yield (task, row) of every attempt of the job that may live on a node."""
    for record in job.tasks:
        if not sum(record.counts[state] for state in ACTIVE):
            continue
        table = job.table_of(record)
        last = record.base + record.count - 1
        for state in ACTIVE:
            row = table.find(state, record.base, last)
            while row >= 0:
                if table.get("node", row) == node_id:
                    yield record, row
                row = table.find(state, row + 1, last)


def active_rows(job: Job, record: TaskRecord) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield, by state, the rows of a task whose attempt may live on a node."""
    if sum(record.counts[state] for state in ACTIVE):
        found = job.table_of(record).runs(record.base, record.base + record.count - 1)
        yield tuple((first, last) for state, first, last in found if state in ACTIVE)


def to_ranges(instances: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending numbers as ranges."""
    ranges: list[tuple[int, int]] = []
    for number in instances:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def find_elements(job: Job, key: TaskKey) -> tuple[TaskRecord, Ranges]:
    """Return the task and the elements that a key names.

    Raises:
        HpcError: TASK_NOT_FOUND.
    """
    record = job.task(key[0])
    if record is not None and key[1] == 0:
        return record, record.all_ranges()
    if (
        record is None
        or not record.has_elements
        or not record.shown_from < key[1] <= record.count
    ):
        raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=show(job.job_id, key))
    return record, ((key[1], key[1]),)


def show(job_id: int, key: TaskKey) -> str:
    """Return ``42.3`` or ``42.3.17``."""
    return f"{job_id}.{key[0]}.{key[1]}" if key[1] else f"{job_id}.{key[0]}"
