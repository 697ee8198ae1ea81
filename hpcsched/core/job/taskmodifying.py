"""Changing a task while it and its job are Configuring (properties.md 2 and 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.accounts import check_run_as
from hpcsched.core.job.commandjob import refuse_command
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import show
from hpcsched.core.job.modifying import changed, check_revision
from hpcsched.core.job.rewriting import other_values
from hpcsched.core.job.states import JobState
from hpcsched.core.job.validation import validate_changed
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.commands import ModifyTask
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.spec import TaskSpec

_INSTEAD: Final = (
    ("arguments", "command_line", ""),
    ("command_line", "arguments", ()),
    ("end", "lines", ()),
    ("lines", "end", 0),
)
"""Properties of which a task has one: giving it clears the other."""


def modify_task(turn: Turn, command: ModifyTask) -> None:
    """Change properties of a task, all or none.

    Another range makes other elements (lifecycle.md 6); those whose value stays are
    kept with what they have done.

    Raises:
        HpcError: PERMISSION_DENIED, REVISION_CONFLICT, TASK_NOT_FOUND,
            TASK_NOT_MODIFIABLE, ELEMENTS_HAVE_ENDED, or what a validation refuses.
    """
    job = turn.job
    name = show(job.job_id, (command.task_id, 0))
    command.caller.require_owner(job.owner, f"modify task {name}")
    check_run_as(job.spec.user_name, job.owner, command.caller)
    check_revision(job, command.expected_revision)
    refuse_command(job, "modify tasks of")
    record = job.task(command.task_id)
    if record is None:
        raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=name)
    _check_states(job, record, name)
    new = changed(record.spec, _in_place_of(command.changes), command.entries)
    if new == record.spec:
        return
    specs = [one.spec for one in job.tasks]
    specs[record.task_id - 1] = new
    validate_changed(job.spec, specs, record.task_id - 1, turn.settings)
    tables = _tables(job, record, new, name)
    turn.emit(EventName.TASK_MODIFIED, respecs={record.task_id: new}, tables=tables)


def _in_place_of(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes, with what each of them takes the place of."""
    also = {
        other: empty
        for name, other, empty in _INSTEAD
        if changes.get(name) and other not in changes
    }
    return {**changes, **also}


def _check_states(job: Job, record: TaskRecord, name: str) -> None:
    """Refuse unless task and job are Configuring.

    A sweep of which elements wait to run again is, although others have ended.
    """
    if job.state is JobState.CONFIGURING and record.state is TaskState.CONFIGURING:
        return
    raise HpcError(
        "TASK_NOT_MODIFIABLE",
        task=name,
        state=record.state.label,
        job_state=job.state.label,
    )


def _tables(job: Job, record: TaskRecord, new: TaskSpec, name: str) -> tuple[int, ...]:
    """Return the element tables to be made anew (see Event.tables)."""
    old = record.spec
    if old.type is not new.type:
        if record.count > record.counts[TaskState.CONFIGURING]:
            _refuse(name, "type")
        plain = TaskType.BASIC in {old.type, new.type}
        return (0, record.task_id) if plain else (record.task_id,)
    if not new.is_sweep:
        return ()
    differs = other_values(old, new)
    if differs:
        if record.count > record.counts[TaskState.CONFIGURING]:
            _refuse(name, differs)
        return (record.task_id,)
    gone = job.table_of(record).state[new.size :]
    if gone.count(TaskState.CONFIGURING) < len(gone):
        _refuse(name, "lines" if new.lines else "end_value")
    return (record.task_id,) if new.size != old.size else ()


def _refuse(name: str, field: str) -> None:
    raise HpcError("ELEMENTS_HAVE_ENDED", task=name, field=field)
