"""A job as its submission filter has changed it: checked, then put in place.

What has ended, or was never submitted, is not the filter's to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import show
from hpcsched.core.job.rewriting import other_values
from hpcsched.core.job.validation import (
    validate_added,
    validate_job,
    validate_together,
)
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.commands import Rewrite
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.spec import TaskSpec

_OPEN = (TaskState.SUBMITTED, TaskState.VALIDATING)


def rewrite(turn: Turn, wanted: Rewrite) -> frozenset[int]:
    """Change a job that is being validated; return the tasks that have new elements.

    Raises:
        HpcError: ELEMENTS_HAVE_ENDED, or what a validation refuses.
    """
    job = turn.job
    tasks = [wanted.tasks.get(one.task_id, one.spec) for one in job.tasks]
    everything = [*tasks, *wanted.added]
    changed = [
        (record, new)
        for record, new in zip(job.tasks, tasks, strict=True)
        if new != record.spec
    ]
    respecs: dict[int, JobSpec | TaskSpec] = {one.task_id: new for one, new in changed}
    if wanted.spec != job.spec:
        respecs[0] = wanted.spec
    if not respecs and not wanted.added:
        return frozenset()
    validate_job(wanted.spec, turn.settings)
    validate_added(wanted.spec, [], everything, turn.settings)
    validate_together(wanted.spec, everything, turn.settings)
    tables: list[int] = []
    for record, new in changed:
        tables += _tables(job, record, new)
    first = len(job.tasks) + 1
    added = range(first, first + len(wanted.added))
    turn.emit(
        EventName.JOB_MODIFIED,
        respecs=respecs,
        tables=tuple(dict.fromkeys(tables)),
        added=wanted.added,
        message="changed by the submission filter",
    )
    return frozenset((*(record.task_id for record, _ in changed), *added))


def _tables(job: Job, record: TaskRecord, new: TaskSpec) -> tuple[int, ...]:
    """Return the element tables to be made anew (see Event.tables)."""
    old, counts = record.spec, record.counts
    name = show(job.job_id, (record.task_id, 0))
    waiting = sum(counts[state] for state in _OPEN)
    if record.ordinary and not waiting and record.spec.type is not TaskType.SERVICE:
        _refuse(name, "it")
    all_wait = waiting == record.count
    if old.type is not new.type:
        if not all_wait:
            _refuse(name, "type")
        plain = TaskType.BASIC in {old.type, new.type}
        return (0, record.task_id) if plain else (record.task_id,)
    if not new.is_sweep:
        return ()
    differs = other_values(old, new)
    if differs:
        if not all_wait:
            _refuse(name, differs)
        return (record.task_id,)
    gone = job.table_of(record).state[new.size :]
    if sum(gone.count(state) for state in _OPEN) < len(gone):
        _refuse(name, "lines" if new.lines else "end_value")
    return (record.task_id,) if new.size != old.size else ()


def _refuse(name: str, field: str) -> None:
    raise HpcError("ELEMENTS_HAVE_ENDED", task=name, field=field)
