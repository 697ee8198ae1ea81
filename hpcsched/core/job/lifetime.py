"""When tasks were added, and when the elements of a master began and ended.

What masters show is noted as it happens: nobody looks at a million elements to say when
a sweep began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job, TaskRecord


def note_created(job: Job, record: TaskRecord, time: float) -> None:
    """Remember when a task was added, unless that was with its job."""
    own = 0.0 if time == job.create_time else time
    if record.has_elements:
        record.created = own
    else:
        record.created = 0.0
        job.table_of(record).fill("made", record.base, record.base, own)


def created(job: Job, record: TaskRecord) -> float:
    """Return when a task was added."""
    made = record.created
    if not record.has_elements:
        made = job.table_of(record).get("made", record.base)
    return float(made) or job.create_time


def note_times(record: TaskRecord, move: TaskMove) -> None:
    """Remember the first start and the last end of a master's elements."""
    start = _bound(move.columns.get("start", 0.0), min)
    if start and not 0.0 < record.first_start <= start:
        record.first_start = start
    record.last_end = max(record.last_end, _bound(move.columns.get("end", 0.0), max))


def _bound(column: Any, best: Any) -> float:
    if isinstance(column, (int, float)):
        return float(column)
    return float(best((time for time in column if time), default=0.0))


def forget_times(record: TaskRecord) -> None:
    """Some of its elements run again, as if for the first time."""
    record.first_start = record.last_end = 0.0
