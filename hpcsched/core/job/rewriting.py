"""Applying edits: other specifications, and the elements that follow from them.

What an edit may change is decided in ``modifying`` and ``taskmodifying``; here an event
says what it changed, and folding it needs no rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hpcsched.core.job.lifetime import created, forget_times, note_created
from hpcsched.core.job.model import PER_NODE
from hpcsched.core.task.elements import ElementTable
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.events import Event
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec

_NEW = TaskState.CONFIGURING


def respecify(job: Job, event: Event) -> None:
    """Put the event's specifications in place of those that the job has."""
    for task_id, spec in event.respecs.items():
        if not task_id:
            new_unit = job.spec.unit_type is not cast("JobSpec", spec).unit_type
            job.spec = cast("JobSpec", spec)
            job.exit_codes = {}
            if new_unit:
                job.reindex()
            continue
        record = job.tasks[task_id - 1]
        new = cast("TaskSpec", spec)
        made, kind = created(job, record), record.spec.type
        if task_id in event.tables:
            _rewrite(job, record, new)
        record.spec = new
        record.has_elements = new.type is not TaskType.BASIC
        if new.type is not kind:
            note_created(job, record, made)
        job.exit_codes.pop(task_id, None)
    if any(event.respecs):
        job.reindex()


def other_values(old: TaskSpec, new: TaskSpec) -> str:
    """Return the property by which elements of the same numbers differ, or nothing."""
    both = min(len(old.lines), len(new.lines))
    if bool(old.lines) != bool(new.lines) or old.lines[:both] != new.lines[:both]:
        return "lines"
    if old.lines:
        return ""
    if old.start != new.start:
        return "start_value"
    return "increment_value" if old.step != new.step else ""


def next_attempt(job: Job, record: TaskRecord) -> int:
    """Return the lowest attempt that a node may not have seen of any element."""
    table = job.table_of(record)
    if not record.has_elements:
        return int(table.get("attempt", record.base))
    return max(record.floor, table.highest("attempt"))


def _rewrite(job: Job, record: TaskRecord, spec: TaskSpec) -> None:
    """Make the elements that a new range, or another kind of task, asks for.

    Elements with the same value as before stay what they are (D6).
    """
    floor = next_attempt(job, record)
    if not record.has_elements and spec.type is TaskType.BASIC:
        return
    _count(job, record, -1)
    was_plain, is_plain = not record.has_elements, spec.type is TaskType.BASIC
    if was_plain:
        _move_plain(job, record, -1)
    kept = min(record.count, spec.size)
    if was_plain or is_plain or other_values(record.spec, spec):
        kept = 0
    if is_plain:
        del job.tables[record.table]
        _move_plain(job, record, 1)
        record.table, record.count = 0, 1
        job.tables[0].fill("attempt", record.base, record.base, floor)
    else:
        table = job.tables.get(record.task_id) or ElementTable()
        table.splice(kept, table.size - kept, spec.size - kept, _NEW)
        if floor > 1 and spec.size > kept:
            table.fill("attempt", kept, spec.size - 1, floor)
        job.tables[record.task_id] = table
        record.table, record.base, record.count = record.task_id, 0, spec.size
    record.floor = 1 if is_plain else floor
    if was_plain or is_plain:
        _start_afresh(job, record)
    table = job.tables[record.table]
    states = table.state[record.base : record.base + record.count]
    record.counts = [states.count(n) for n in range(len(record.counts))]
    record.hint = record.base
    _count(job, record, 1, ordinary=spec.type not in PER_NODE)


def _start_afresh(job: Job, record: TaskRecord) -> None:
    """Forget what a master and a plain task do not have in common."""
    record.canceled = record.started = False
    record.created = 0.0
    forget_times(record)
    record.swept = record.shown_from = record.requeues = record.forgiven = 0
    record.previous = record.submit_time = None
    job.marked.pop(record.task_id, None)


def _move_plain(job: Job, record: TaskRecord, sign: int) -> None:
    """Take a plain task's row out of the common table, or make one for it."""
    before = sum(not one.table for one in job.tasks[: record.task_id - 1])
    table = job.tables.get(0)
    if table is None:
        table = job.tables[0] = ElementTable()
    if sign > 0:
        table.splice(before, 0, 1, _NEW)
        record.base = before
    else:
        table.splice(record.base, 1, 0, _NEW)
        if not table.size:
            del job.tables[0]
    for later in job.tasks[record.task_id :]:
        if not later.table:
            later.base += sign
            later.hint = later.base


def _count(
    job: Job, record: TaskRecord, sign: int, *, ordinary: bool | None = None
) -> None:
    if record.ordinary if ordinary is None else ordinary:
        for state, count in enumerate(record.counts):
            job.counts[state] += sign * count
