"""Changing properties of a job: which, in which state (properties.md 2, J28 to J30)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.accounts import check_run_as
from hpcsched.core.job.calls import time_out
from hpcsched.core.job.commandjob import refuse_command
from hpcsched.core.job.details import check_hold
from hpcsched.core.job.events import EventName
from hpcsched.core.job.requeueing import to_configuring
from hpcsched.core.job.resourcecheck import check_excluded_known
from hpcsched.core.job.restoring import NO_TASKS, TaskPlan, plan_tasks
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState
from hpcsched.core.job.stopping import cancel_unsubmitted
from hpcsched.core.job.taskchanging import changed
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.job.validation import validate_job
from hpcsched.core.job.verdict import (
    OUT_JOB,
    OUT_TASK,
    rejection,
    verdict_on,
    way_in,
)
from hpcsched.core.task.states import TaskState
from hpcsched.core.template.applying import (
    apply_template,
    check_sizes,
    check_user,
    check_values,
    template_of,
)
from hpcsched.core.template.properties import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.commands import ModifyJob
    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.spec import TaskSpec

_PROGRESS: Final = frozenset({"progress", "progress_message"})
"""May always be set, and changes nothing else."""
_ALL: Final = frozenset(
    {f.name for f in fields(JobSpec)} - {"job_type", "pool", "templated"}
)
_OF_TASKS: Final = frozenset({"runtime", "environment"})
"""Those that limits of tasks refer to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Editable:
    """What may be changed in a state beside the progress.

    Attributes:
        owner: By the owner.
        administrator: By administrators as well.
    """

    owner: frozenset[str] = frozenset()
    administrator: frozenset[str] = frozenset()


EDITABLE: Final[Mapping[JobState, Editable]] = {
    JobState.CONFIGURING: Editable(owner=_ALL),
    JobState.QUEUED: Editable(
        owner=frozenset({"user_name", "custom_properties"}),
        administrator=frozenset({"priority"}),
    ),
    JobState.RUNNING: Editable(
        owner=frozenset(
            {
                *("job_template", "project", "runtime", "run_until_canceled"),
                *("custom_properties", "target_resource_count"),
            }
        ),
        administrator=frozenset({"priority"}),
    ),
    JobState.FAILED: Editable(owner=_ALL),
    JobState.CANCELED: Editable(owner=_ALL),
}
"""properties.md 2. A state that is not here knows nothing but the progress."""
_UNVALIDATED: Final = EDITABLE[JobState.QUEUED].administrator | _PROGRESS
"""What a queued job may get without being validated again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an edit comes to.

    Attributes:
        spec: The job as it would be.
        named: Properties that get another value.
        tasks: What becomes of its tasks.
    """

    spec: JobSpec
    named: frozenset[str] = frozenset()
    tasks: TaskPlan = NO_TASKS


def plan_edit(turn: Turn, command: ModifyJob) -> Plan:
    """Return what an edit comes to; nothing is changed.

    Raises:
        HpcError: PERMISSION_DENIED, REVISION_CONFLICT, JOB_NOT_MODIFIABLE,
            PROPERTY_NOT_MODIFIABLE, BACKFILL_RUNTIME, what ``plan_tasks`` refuses, or
            what a validation does.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"modify job {job.job_id}")
    check_revision(job, command.expected_revision)
    changes = {k: v for k, v in command.changes.items() if k != "explicit"}
    given = {*changes, *command.entries}
    new = changed(job.spec, changes, command.entries)
    named = {name for name in given if getattr(new, name) != getattr(job.spec, name)}
    if command.tasks or not given <= _PROGRESS:
        refuse_command(job, "modify")
    for name in sorted(named - _PROGRESS):
        _check_editable(job, name, command)
    if "excluded_nodes" in named:
        field = "spec.excluded_nodes"
        check_excluded_known(field, new.excluded_nodes, turn.inventory)
    if named:
        new = _templated(turn, command, new, given, named)
    again = job.state is not JobState.RUNNING and bool(named & _OF_TASKS)
    tasks = plan_tasks(turn, new, command.tasks, again=again)
    if named or tasks.changes:
        _check_values(turn, command, new, named)
    return Plan(spec=new, named=frozenset(named), tasks=tasks)


def check_edit(turn: Turn, command: ModifyJob) -> None:
    """Refuse what ``modify_job`` would refuse; nothing is changed (validate_only).

    Raises:
        HpcError: as ``plan_edit``, or the verdict on a queued job.
    """
    plan = plan_edit(turn, command)
    if turn.job.state is JobState.QUEUED and not plan.named <= _UNVALIDATED:
        verdict = _verdict_on(turn, plan.spec)
        if verdict is not None:
            raise verdict


def modify_job(turn: Turn, command: ModifyJob) -> HpcError | list[int] | None:
    """Change properties, and tasks with them, all or none.

    Returns:
        The verdict when a queued job did not pass its validation again, else the
        numbers of the tasks that the command speaks of.

    Raises:
        HpcError: as ``plan_edit``.
    """
    job = turn.job
    plan = plan_edit(turn, command)
    ids = list(plan.tasks.ids)
    if not plan.named and not plan.tasks.changes:
        return ids
    if job.state is JobState.QUEUED and not plan.named <= _UNVALIDATED:
        return _resubmit(turn, plan.spec)
    if job.state.terminal and not plan.named <= _PROGRESS:
        to_configuring(turn)
    respecs: dict[int, JobSpec | TaskSpec] = dict(plan.tasks.respecs)
    if plan.named:
        respecs[0] = plan.spec
    turn.emit(
        EventName.JOB_MODIFIED,
        respecs=respecs,
        tables=plan.tasks.tables,
        added=plan.tasks.added,
    )
    if job.state is JobState.RUNNING:
        time_out(turn)  # a lower limit may be over already
    return ids


def _templated(
    turn: Turn, command: ModifyJob, new: JobSpec, given: set[str], named: set[str]
) -> JobSpec:
    """Return the job with what its template says of it (``ISchedulerJob.Commit``).

    A read-only property is reset without a word; a value out of range is refused. A job
    that runs keeps its values when it gets another template.
    """
    template = template_of(new, turn.settings.templates)
    if new.job_template != turn.job.spec.job_template:
        check_user(template, command.caller)
    wanted = set(command.changes.get("explicit", given)) & given
    explicit = {*(set(new.explicit) - given), *wanted} & KINDS.keys()
    new = replace(
        new,
        explicit=tuple(sorted(explicit)),
        templated=tuple(name for name in new.templated if name not in given),
    )
    if turn.job.state is not JobState.RUNNING:
        new = apply_template(new, template)
        check_sizes(new, template)
    overruled = turn.job.state in {JobState.QUEUED, JobState.RUNNING}
    beyond = {"priority"} if overruled else set()
    check_values(new, template, frozenset(named - beyond))
    return new


def check_revision(job: Job, expected: int) -> None:
    """Refuse an edit of something that the editor has not seen.

    Raises:
        HpcError: REVISION_CONFLICT.
    """
    if expected and expected != job.revision:
        raise HpcError(
            "REVISION_CONFLICT",
            job_id=job.job_id,
            revision=job.revision,
            expected=expected,
        )


def _check_editable(job: Job, name: str, command: ModifyJob) -> None:
    rules = EDITABLE.get(job.state)
    state, field = job.state.label, f"spec.{name}"
    if rules is None:
        raise HpcError(
            "JOB_NOT_MODIFIABLE", job_id=job.job_id, state=state, field=field
        )
    if name in rules.administrator:
        command.caller.require_administrator(f"change {name} of a {state} job")
    elif name not in rules.owner:
        raise HpcError(
            "PROPERTY_NOT_MODIFIABLE", field=field, job_id=job.job_id, state=state
        )
    running = job.state is JobState.RUNNING
    if name == "runtime" and running and job.is_backfill:
        raise HpcError("BACKFILL_RUNTIME", job_id=job.job_id, field=field)


def _check_values(
    turn: Turn, command: ModifyJob, new: JobSpec, named: set[str]
) -> None:
    """Check what the job would be, as when it was made."""
    job = turn.job
    validate_job(new, turn.settings)
    if command.tasks or not named <= _PROGRESS:
        check_run_as(new.user_name, job.owner, command.caller)
    if new.hold_until != job.spec.hold_until:
        check_hold("spec.hold_until", new.hold_until, turn.now)
    if job.job_id in new.parent_job_ids:
        problem = "a job cannot be its own parent"
        raise HpcError("INVALID_PARENT", field="spec.parent_job_ids", problem=problem)


def _resubmit(turn: Turn, new: JobSpec) -> HpcError | None:
    """J28: out, changed and in again; its place and its count of requeues stay."""
    job = turn.job
    job_path, task_path, patch = way_in(turn)
    verdict = _verdict_on(turn, new)
    columns: dict[str, Any] = {}
    if verdict is not None:
        patch, columns = rejection(turn, verdict)
        job_path, task_path = OUT_JOB, OUT_TASK
    moves: list[TaskMove] = []
    for record in job.ordinary():
        for state, spans in runs_of(job, record):
            if state == TaskState.QUEUED:
                way = (TaskState.CONFIGURING, *task_path)
                moves.append(move(record, spans, state, *way, **columns))
    if verdict is not None:
        moves += cancel_unsubmitted(turn)
    turn.emit(
        EventName.JOB_MODIFIED,
        path=(JobState.CONFIGURING, *job_path),
        patch=patch,
        moves=moves,
        respecs={0: new},
        message=patch.get("error_message", ""),
    )
    return verdict


def _verdict_on(turn: Turn, new: JobSpec) -> HpcError | None:
    """Return the verdict on what the job would be; the event says that again."""
    job = turn.job
    old, job.spec = job.spec, new
    try:
        return verdict_on(turn)
    finally:
        job.spec = old
