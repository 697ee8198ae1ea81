"""Tasks of a job as a file has them: changed and added in one turn (RestoreFromXml).

api.md 4: normally while the job is Configuring; properties.md 2: tasks can only be
changed while they and their job are. What changes nothing is possible in any state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.locating import show
from hpcsched.core.job.resourcecheck import check_task_known
from hpcsched.core.job.states import JobState
from hpcsched.core.job.taskchanging import (
    changed,
    check_states,
    in_place_of,
    tables_of,
)
from hpcsched.core.job.validation import validate_added
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.job.edits import TaskEdit
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.turn import Turn

_PLACE: Final = re.compile(r"spec\.tasks\[(\d+)\]")
_RANGE: Final[Mapping[str, Any]] = {"start": 1, "end": 0, "step": 1, "lines": ()}
"""What a task that is no sweep (any more) has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """What becomes of a job's tasks.

    Attributes:
        ids: The task that each edit is of; those that are added have the next numbers.
        respecs: Specifications that replace others, by number.
        tables: Element tables to be made anew (see Event.tables).
        added: Tasks that are added, in order.
    """

    ids: tuple[int, ...] = ()
    respecs: Mapping[int, TaskSpec] = field(default_factory=dict)
    tables: tuple[int, ...] = ()
    added: tuple[TaskSpec, ...] = ()

    @property
    def changes(self) -> bool:
        """Does anything become of them?"""
        return bool(self.respecs or self.added)


NO_TASKS: Final = TaskPlan()


def plan_tasks(
    turn: Turn, spec: JobSpec, edits: Sequence[TaskEdit], *, again: bool
) -> TaskPlan:
    """Return what becomes of the tasks; nothing is changed.

    Args:
        turn: Of the job.
        spec: The job as it would be.
        edits: Tasks to change or to add.
        again: Something of the job that limits of its tasks refer to changes, so that
            all of them are checked in any case.

    Raises:
        HpcError: INVALID_FIELD (two edits of one task), TASK_NOT_MODIFIABLE,
            INVALID_OPERATION (tasks are added to a job that is not Configuring),
            ELEMENTS_HAVE_ENDED, or what a validation refuses; ``field`` says of which
            edit.
    """
    if not edits and not again:
        return NO_TASKS
    job = turn.job
    ids = _numbered(job, edits)
    respecs: dict[int, TaskSpec] = {}
    added: list[TaskSpec] = []
    places: dict[int, int] = {}
    for place, (task_id, edit) in enumerate(zip(ids, edits, strict=True)):
        if task_id > len(job.tasks):
            _check_adding(job, place)
            added.append(edit.spec)
        elif (new := _changed(job, edit, task_id, place)) is not None:
            respecs[task_id] = new
        else:
            continue
        places[task_id] = place
    specs = [respecs.get(one.task_id, one.spec) for one in job.tasks]
    specs += added
    if places or again:
        _check(turn, spec, specs, places)
    tables: list[int] = []
    for task_id, new in respecs.items():
        name = show(job.job_id, (task_id, 0))
        tables += tables_of(job, job.tasks[task_id - 1], new, name)
    return TaskPlan(
        ids=tuple(ids),
        respecs=respecs,
        tables=tuple(dict.fromkeys(tables)),
        added=tuple(added),
    )


def _changed(job: Job, edit: TaskEdit, task_id: int, place: int) -> TaskSpec | None:
    """Return what an edit makes of a task; None: what it is."""
    record = job.tasks[task_id - 1]
    new = changed(record.spec, _changes(edit, record.spec), edit.entries)
    if new == record.spec:
        return None
    try:
        check_states(job, record, show(job.job_id, (task_id, 0)))
    except HpcError as refusal:
        facts = {**refusal.facts, "field": f"tasks[{place}]"}
        raise HpcError(refusal.reason, **facts) from None
    return new


def _check(
    turn: Turn, spec: JobSpec, specs: Sequence[TaskSpec], places: Mapping[int, int]
) -> None:
    """Check all tasks together; what is wrong with one is told of its edit."""
    try:
        validate_added(spec, [], specs, turn.settings)
        for task_id in places:
            task = specs[task_id - 1]
            if turn.inventory is not None and task.is_picky:
                where = f"spec.tasks[{task_id - 1}]"
                check_task_known(where, task, turn.inventory)
    except HpcError as refusal:
        raise _placed(refusal, places) from None


def _numbered(job: Job, edits: Sequence[TaskEdit]) -> list[int]:
    """Return the number of the task that each edit is of.

    First those whose number says so, then by name: the first edit of a name is of the
    first task of that name that no number took, and so on. What names no task that
    there is becomes a new one.

    Raises:
        HpcError: INVALID_FIELD.
    """
    ids = [0] * len(edits)
    taken: dict[int, int] = {}
    for place, edit in enumerate(edits):
        task_id = edit.task_id
        if not 1 <= task_id <= len(job.tasks):
            continue
        if task_id in taken:
            problem = f"tasks[{taken[task_id]}] is of task {task_id} as well"
            where = f"tasks[{place}].task_id"
            raise HpcError("INVALID_FIELD", field=where, problem=problem)
        taken[task_id] = place
        ids[place] = task_id
    named: dict[str, list[int]] = {}
    for record in reversed(job.tasks):
        if record.task_id not in taken:
            named.setdefault(record.spec.name, []).append(record.task_id)
    fresh = len(job.tasks)
    for place, edit in enumerate(edits):
        if ids[place]:
            continue
        nameless = edit.task_id and not edit.spec.name
        waiting = None if nameless else named.get(edit.spec.name)
        if waiting:
            ids[place] = waiting.pop()
        else:
            fresh += 1
            ids[place] = fresh
    return ids


def _changes(edit: TaskEdit, old: TaskSpec) -> Mapping[str, Any]:
    """Return the changes, with what goes because of them."""
    changes = in_place_of(edit.changes)
    kind = changes.get("type", old.type)
    if kind is not old.type and kind is not TaskType.PARAMETRIC_SWEEP:
        return {**_RANGE, **changes}
    return changes


def _check_adding(job: Job, place: int) -> None:
    if job.state is JobState.CONFIGURING:
        return
    operation = f"adding tasks while it is changed (tasks[{place}])"
    raise HpcError(
        "INVALID_OPERATION",
        job_id=job.job_id,
        state=job.state.label,
        operation=operation,
        field=f"tasks[{place}]",
    )


def _placed(refusal: HpcError, places: Mapping[int, int]) -> HpcError:
    """Return a refusal that speaks of an edit, not of a task that nobody sees so."""
    field_ = refusal.facts.get("field", "")
    found = _PLACE.match(field_)
    place = places.get(int(found[1]) + 1) if found else None
    if found is None or place is None:
        return refusal
    where = f"tasks[{place}].spec{field_[found.end() :]}"
    return HpcError(refusal.reason, **{**refusal.facts, "field": where})
