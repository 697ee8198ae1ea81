"""Other values in a specification, and what they mean for a task's elements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hpcsched.common.errors import HpcError
from hpcsched.core.job.rewriting import other_values
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec

T = TypeVar("T", "JobSpec", "TaskSpec")

_INSTEAD: Final = (
    ("arguments", "command_line", ""),
    ("command_line", "arguments", ()),
    ("end", "lines", ()),
    ("lines", "end", 0),
)
"""Properties of which a task has one: giving it clears the other."""


def changed(
    spec: T, changes: Mapping[str, Any], entries: Mapping[str, Mapping[str, str | None]]
) -> T:
    """Return the specification with other values.

    Args:
        spec: As it is.
        changes: Fields and values.
        entries: Entries of maps, by field and name; None deletes one.
    """
    values = dict(changes)
    for name, pairs in entries.items():
        merged = {**values.get(name, getattr(spec, name))}
        for key, value in pairs.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        values[name] = merged
    return replace(spec, **values)


def in_place_of(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes, with what each of them takes the place of."""
    also = {
        other: empty
        for name, other, empty in _INSTEAD
        if changes.get(name) and other not in changes
    }
    return {**changes, **also}


def check_states(job: Job, record: TaskRecord, name: str) -> None:
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


def tables_of(
    job: Job, record: TaskRecord, new: TaskSpec, name: str
) -> tuple[int, ...]:
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
