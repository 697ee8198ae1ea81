"""Creating, adding and submitting (J2 to J7, T1 to T4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.accounts import check_run_as
from hpcsched.core.job.commandjob import refuse_command
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.holds import hold_at_submit
from hpcsched.core.job.locating import show
from hpcsched.core.job.model import PER_NODE
from hpcsched.core.job.parents import known_parents
from hpcsched.core.job.states import CancelRequest, FailureReason, JobState
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.job.validation import validate_added, validate_together
from hpcsched.core.job.verdict import (
    EXTERNAL_TASK,
    IN_TASK,
    OUT_JOB,
    OUT_TASK,
    rejection,
    verdict_of_parents,
    verdict_on,
    way_in,
)
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.commands import AddTasks, SubmitJob, SubmitTasks
    from hpcsched.core.job.turn import Turn

S = TaskState
_BY_ITSELF: Final = (TaskType.BASIC, TaskType.PARAMETRIC_SWEEP)
"""Types of tasks that can be submitted apart from their job (T3)."""


def create(turn: Turn, tasks: tuple[Any, ...]) -> None:
    """J1, J2: the first event of a job; its state Configuring is no change of state."""
    turn.emit(EventName.JOB_CREATED, added=tasks)


def submit_job(turn: Turn, command: SubmitJob) -> HpcError | None:
    """J3 to J7: Submitted, Validating, then Queued, or Failed with the verdict (D9).

    Where there is a submission filter, a valid job waits for it (J5).

    Returns:
        The verdict when the job failed its validation, else None.

    Raises:
        HpcError: PERMISSION_DENIED, JOB_NOT_CONFIGURING.
    """
    job = turn.job
    _check_call(turn, command)
    patch: dict[str, Any] = {
        "submit_time": turn.now,
        "submit_order": command.submit_order,
        "error_code": 0,
        "error_message": "",
        "failure_reason": FailureReason.NONE,
        "request_cancel": CancelRequest.NONE,
        **hold_at_submit(job, turn.now),
    }
    if job.spec.parent_job_ids:
        patch["parents"] = known_parents(job, command.kin)
    if command.checked:
        verdict = verdict_of_parents(job, command.kin)
    else:
        verdict = verdict_on(turn, resubmitted=True, kin=command.kin)
    if verdict is None:
        path, task_path, more = way_in(turn)
        moves = _configuring_moves(turn, task_path)
        turn.emit(EventName.JOB_SUBMITTED, path=path, patch=patch | more, moves=moves)
        return None
    rejected, columns = rejection(turn, verdict)
    moves = _configuring_moves(turn, OUT_TASK, **columns)
    turn.emit(
        EventName.JOB_REJECTED,
        path=OUT_JOB,
        patch={**patch, **rejected},
        moves=moves,
        message=rejected["error_message"],
    )
    return verdict


def _check_call(turn: Turn, command: SubmitJob) -> None:
    job = turn.job
    command.caller.require_owner(job.owner, f"submit job {job.job_id}")
    check_run_as(job.spec.user_name, job.owner, command.caller)
    require(job.state, JobTrigger.SUBMIT, job.job_id)
    refuse_command(job, "submit")


def check_submission(turn: Turn, command: SubmitJob) -> None:
    """Refuse what ``submit_job`` would refuse or fail; nothing changes.

    Raises:
        HpcError: the refusal, or the verdict.
    """
    _check_call(turn, command)
    verdict = verdict_on(turn, resubmitted=True, kin=command.kin)
    if verdict is not None:
        raise verdict


def _configuring_moves(
    turn: Turn, path: tuple[TaskState, ...], **columns: Any
) -> list[TaskMove]:
    moves = []
    for record in turn.job.tasks:
        if record.spec.type in PER_NODE:
            continue
        for state, spans in runs_of(turn.job, record):
            if state == S.CONFIGURING:
                moves.append(move(record, spans, state, *path, **columns))
    return moves


def add_tasks(turn: Turn, command: AddTasks) -> list[int]:
    """T1; with ``submit`` in a submitted job T3 as well. All or none.

    Returns:
        The new tasks' numbers.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_OPERATION, TASK_TYPE_ADDED_LATE, or what a
            validation refuses.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"add tasks to job {job.job_id}")
    check_run_as(job.spec.user_name, job.owner, command.caller)
    require(job.state, JobTrigger.ADD_TASKS, job.job_id)
    refuse_command(job, "add tasks to")
    late = job.state is not JobState.CONFIGURING
    for spec in command.tasks:
        if late and spec.type not in _BY_ITSELF:
            kind = spec.type.label
            raise HpcError("TASK_TYPE_ADDED_LATE", type=kind, job_id=job.job_id)
    before = [record.spec for record in job.tasks]
    validate_added(job.spec, before, list(command.tasks), turn.settings)
    submit = command.submit and late
    if submit:
        everything = [*before, *command.tasks]
        validate_together(job.spec, everything, turn.settings, first=len(before))
    first = len(job.tasks) + 1
    turn.emit(EventName.TASKS_ADDED, added=command.tasks)
    numbers = list(range(first, len(job.tasks) + 1))
    if submit:
        _submit_records(turn, numbers)
    return numbers


def submit_tasks(turn: Turn, command: SubmitTasks) -> None:
    """T3: all or none. In a Configuring job a task waits for SubmitJob.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_OPERATION, TASK_NOT_FOUND,
            TASK_NOT_CONFIGURING, or what a validation refuses.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"submit tasks of job {job.job_id}")
    require(job.state, JobTrigger.SUBMIT_TASKS, job.job_id)
    refuse_command(job, "submit tasks of")
    for task_id in command.task_ids:
        record = job.task(task_id)
        name = show(job.job_id, (task_id, 0))
        if record is None:
            raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=name)
        if record.state is not S.CONFIGURING:
            raise HpcError("TASK_NOT_CONFIGURING", task=name, state=record.state.label)
        if record.spec.type not in _BY_ITSELF:
            kind = record.spec.type.label
            raise HpcError("TASK_TYPE_ADDED_LATE", type=kind, job_id=job.job_id)
    specs = [record.spec for record in job.tasks]
    validate_together(job.spec, specs, turn.settings)
    if job.state is not JobState.CONFIGURING:
        _submit_records(turn, sorted(set(command.task_ids)))


def _submit_records(turn: Turn, task_ids: list[int]) -> None:
    job = turn.job
    if not task_ids:
        return
    # While a filter decides on the job its tasks wait with it.
    path = EXTERNAL_TASK if job.state is JobState.EXTERNAL_VALIDATION else IN_TASK
    moves = []
    for task_id in task_ids:
        record = job.tasks[task_id - 1]
        for state, spans in runs_of(job, record):
            if state == S.CONFIGURING:  # some may have been canceled by themselves
                moves.append(move(record, spans, state, *path))
    times = {task_id: {"submit_time": turn.now} for task_id in task_ids}
    turn.emit(EventName.TASKS_SUBMITTED, moves=moves, tasks=times)
