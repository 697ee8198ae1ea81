"""Whose fault it is that a job has failed with its tasks (FailureReason)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.codes import failure_of
from hpcsched.core.job.states import FailureReason
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job, TaskRecord


def blame(job: Job) -> FailureReason:
    """Return the job's own fault if one of its tasks failed by itself.

    Else its nodes' if it lost tasks with them; else it was preempted.
    """
    found = FailureReason.PREEMPTED
    for record in job.ordinary():
        if not record.counts[TaskState.FAILED]:
            continue
        for note in _notes(job, record):
            reason = failure_of(TaskState.FAILED, job.notes[note][0])
            if reason is FailureReason.EXECUTION_FAILURE:
                return reason
            if reason is FailureReason.RESOURCE_FAILURE:
                found = reason
    return found


def _notes(job: Job, record: TaskRecord) -> Iterator[int]:
    """Yield the error of each failed element, as far as it is asked for."""
    table = job.table_of(record)
    last = record.base + record.count - 1
    row = table.find(TaskState.FAILED, record.base, last)
    while row >= 0:
        yield int(table.get("note", row))
        row = table.find(TaskState.FAILED, row + 1, last)
