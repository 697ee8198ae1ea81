"""Queueing jobs and tasks again: the exact rules of lifecycle.md section 4 (S1, S2, S3).

Finished elements stay Finished; those that were canceled one by one before they ran stay
Canceled; all others are queued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import PER_NODE
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import StopOf, begin_stop
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.turn import runs_of
from hpcsched.core.task.states import (
    TASK_TERMINAL,
    CancelOrigin,
    TaskState,
    TaskType,
)

if TYPE_CHECKING:
    from hpcsched.core.job.commands import (
        ConfigureJob,
        RequeueJob,
        RequeueTasks,
        TaskKey,
    )
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

IN_JOB: Final = (JobState.SUBMITTED, JobState.VALIDATING, JobState.QUEUED)
IN_TASK: Final = (TaskState.SUBMITTED, TaskState.VALIDATING, TaskState.QUEUED)
_ON_NODE: Final = (TaskState.RUNNING, TaskState.DISPATCHING)
_ENDED: Final = (TaskState.FAILED, TaskState.CANCELED)


def again_patch(turn: Turn) -> dict[str, Any]:
    """Return the fields of a job that is queued again by its user (4.1, step 2)."""
    return {
        "requeue_count": turn.job.requeue_count + 1,
        "auto_requeue_count": 0,
        "error_code": 0,
        "error_message": "",
        "failure_reason": FailureReason.NONE,
        "request_cancel": CancelRequest.NONE,
        "pending_end": None,
        "forced": False,
        "graceful": False,
        "start_time": None,
        "end_time": None,
        "submit_time": turn.now,
        "requeued": True,
        "last_nodes": (),
    }


def again(
    record: TaskRecord, ranges: Ranges, was: int, path: tuple[TaskState, ...]
) -> TaskMove:
    """Return the move that makes elements fresh; their attempt grows (4.1)."""
    sent = was not in (TaskState.CONFIGURING, TaskState.SUBMITTED, TaskState.VALIDATING)
    columns = {"auto": 0, "retries": 0}
    return TaskMove(
        task_id=record.task_id,
        ranges=ranges,
        was=was,
        path=path,
        clear=True,
        bump=("attempt",) if sent and was != TaskState.QUEUED else (),
        columns=columns,
    )


def requeue_job(turn: Turn, command: RequeueJob) -> None:
    """J26, S1: all preconditions hold before anything changes.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_OPERATION, COMMAND_NOT_RERUNNABLE,
            TASK_NOT_RERUNNABLE.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"requeue job {job.job_id}")
    require(job.state, JobTrigger.REQUEUE, job.job_id)
    if job.spec.job_type is JobType.ADMIN:
        raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job.job_id)
    for record in job.ordinary():
        if not record.spec.is_rerunnable and record.spec.type is not TaskType.SERVICE:
            raise HpcError("TASK_NOT_RERUNNABLE", task=f"{job.job_id}.{record.task_id}")
    if job.state is not JobState.RUNNING:
        requeue_now(turn)
        return
    how = StopOf(
        end=TaskState.QUEUED,
        origin=CancelOrigin.REQUEUE,
        request=CancelRequest.TASK_CANCEL_ON_REQUEUE,
        live=(0, ""),
        waiting=(0, ""),
        keep_waiting=True,
    )
    name = EventName.JOB_REQUEUE_REQUESTED
    begin_stop(
        turn, name, how, state=JobState.CANCELING, end=JobState.QUEUED, error=None
    )


def requeue_now(turn: Turn) -> None:
    """Apply the three-way table to every element and queue the job."""
    job = turn.job
    moves: list[TaskMove] = []
    tasks: dict[int, dict[str, Any]] = {}
    for record in job.tasks:
        if record.spec.type in PER_NODE:
            tasks[record.task_id] = {"shown_from": record.count}
            continue
        found = _rerun(turn, record, IN_TASK)
        if found:
            moves.extend(found)
            tasks[record.task_id] = {
                "canceled": False,
                "swept": False,
                "started": False,
            }
    uses = dict.fromkeys(job.uses)
    patch = again_patch(turn)
    turn.emit(
        EventName.JOB_REQUEUED,
        path=IN_JOB,
        patch=patch,
        moves=moves,
        tasks=tasks,
        uses=uses,
    )


def _rerun(
    turn: Turn, record: TaskRecord, path: tuple[TaskState, ...]
) -> list[TaskMove]:
    """Return the moves of all elements that run again; kept ones have none."""
    table = turn.job.table_of(record)
    moves = []
    for state, spans in runs_of(turn.job, record):
        if state == TaskState.FINISHED:
            continue
        chosen = []
        for first, last in spans:
            if state != TaskState.CANCELED:
                chosen.append((first, last))
                continue
            for origin, a, b in table.runs(
                record.row(first), record.row(last), "origin"
            ):
                if origin != CancelOrigin.USER_TASK:
                    chosen.append((record.instance(a), record.instance(b)))
        if chosen:
            moves.append(again(record, tuple(chosen), state, path))
    return moves


def configure_job(turn: Turn, command: ConfigureJob) -> None:
    """J27: back to Configuring; tasks that will run again can be edited (D6).

    Raises:
        HpcError: PERMISSION_DENIED, JOB_NOT_CONFIGURABLE, COMMAND_NOT_RERUNNABLE.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"configure job {job.job_id}")
    require(job.state, JobTrigger.CONFIGURE, job.job_id)
    if job.spec.job_type is JobType.ADMIN:
        raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job.job_id)
    moves: list[TaskMove] = []
    tasks: dict[int, dict[str, Any]] = {}
    for record in job.tasks:
        if record.spec.type in PER_NODE:
            tasks[record.task_id] = {"shown_from": record.count}
            continue
        found = [
            one
            for one in _rerun(turn, record, (TaskState.CONFIGURING,))
            if one.was != TaskState.CONFIGURING
        ]
        moves.extend(found)
        if found:
            tasks[record.task_id] = {
                "canceled": False,
                "swept": False,
                "started": False,
            }
    patch = {**again_patch(turn), "requeued": False, "submit_time": None}
    turn.emit(
        EventName.JOB_CONFIGURED,
        path=(JobState.CONFIGURING,),
        patch=patch,
        moves=moves,
        tasks=tasks,
    )


def requeue_tasks(turn: Turn, command: RequeueTasks) -> HpcError | None:
    """S2: in order; at the first failure stop, those before stay queued.

    Returns:
        The refusal that stopped the list, or None.

    Raises:
        HpcError: the first task was refused, so nothing has changed.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"requeue tasks of job {job.job_id}")
    require(job.state, JobTrigger.REQUEUE_TASKS, job.job_id)
    if job.spec.job_type is JobType.ADMIN:
        raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job.job_id)
    revived: set[TaskKey] = set()
    for number, key in enumerate(command.tasks):
        try:
            _requeue_task(turn, key, revived)
        except HpcError as refusal:
            if not number:
                raise
            return refusal
    return None


def _requeue_task(turn: Turn, key: TaskKey, revived: set[TaskKey]) -> None:
    job = turn.job
    record, ranges = find_elements(job, key)
    name = show(job.job_id, key)
    if record.spec.type in (*PER_NODE, TaskType.SERVICE):
        raise HpcError(
            "TASK_TYPE_NOT_REQUEUEABLE", task=name, type=record.spec.type.label
        )
    if not record.spec.is_rerunnable:
        raise HpcError("TASK_NOT_RERUNNABLE", task=name)
    whole = record.has_elements and key[1] == 0
    found = runs_of(job, record, ranges)
    good = (TaskState.QUEUED, *_ON_NODE, *_ENDED)
    if whole:
        if record.state is TaskState.FINISHED or record.state in (
            TaskState.CONFIGURING,
            TaskState.CANCELING,
        ):
            raise HpcError("TASK_NOT_REQUEUEABLE", task=name, state=record.state.label)
        found = [(state, spans) for state, spans in found if state in good]
    elif found[0][0] not in good:
        label = TaskState(found[0][0]).label
        raise HpcError("TASK_NOT_REQUEUEABLE", task=name, state=label)
    ended = job.state.terminal
    to = _path_for(job, ended=ended)
    moves = []
    front: list[tuple[int, int, int]] = []
    for state, spans in found:
        moves.append(_requeue_move(record, spans, state, to))
        if state not in _ON_NODE:
            front.extend((record.task_id, a, b) for a, b in spans)
    tasks: dict[int, dict[str, Any]] = {record.task_id: {"canceled": False}}
    if whole:
        tasks[record.task_id]["requeues"] = record.requeues + 1
    if record.has_elements and not record.counts[TaskState.RUNNING]:
        tasks[record.task_id]["started"] = False
    patch: dict[str, Any] = {"front": (*front, *_without(job.front, front))}
    if ended:
        patch = {**again_patch(turn), "front": tuple(front)}
        for other in job.tasks:
            if other.spec.type in PER_NODE:
                tasks[other.task_id] = {"shown_from": other.count}
    elif job.state is JobState.CONFIGURING:
        patch = {}
    turn.emit(
        EventName.TASKS_REQUEUED,
        path=IN_JOB if ended else (),
        patch=patch,
        moves=moves,
        tasks=tasks,
    )


def _without(
    front: tuple[tuple[int, int, int], ...], taken: list[tuple[int, int, int]]
) -> tuple[tuple[int, int, int], ...]:
    return tuple(item for item in front if item not in taken)


def _path_for(job: Job, *, ended: bool) -> tuple[TaskState, ...]:
    if ended:
        return IN_TASK
    if job.state is JobState.CONFIGURING:
        return (TaskState.CONFIGURING,)
    return (TaskState.QUEUED,)


def _requeue_move(
    record: TaskRecord, spans: Ranges, state: int, path: tuple[TaskState, ...]
) -> TaskMove:
    if state in _ON_NODE:
        return TaskMove(
            task_id=record.task_id,
            ranges=spans,
            was=state,
            path=(TaskState.CANCELING,),
            bump=("requeues",),
            columns={
                "origin": int(CancelOrigin.REQUEUE),
                "request": int(CancelRequest.TASK_CANCEL_ON_REQUEUE),
                "pending": int(TaskState.QUEUED),
            },
        )
    if state == TaskState.QUEUED:
        # only requeue_count and its place in the job's line change (4.2)
        return TaskMove(
            task_id=record.task_id, ranges=spans, was=state, bump=("requeues",)
        )
    fresh = again(record, spans, state, path)
    fresh.bump = (*fresh.bump, "requeues")
    return fresh


def find_elements(job: Job, key: TaskKey) -> tuple[TaskRecord, Ranges]:
    """Return the task and the elements that a key names.

    Raises:
        HpcError: TASK_NOT_FOUND.
    """
    record = job.task(key[0])
    if record is None:
        raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=show(job.job_id, key))
    if key[1] == 0:
        return record, record.all_ranges()
    if not record.has_elements or not record.shown_from < key[1] <= record.count:
        raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=show(job.job_id, key))
    return record, ((key[1], key[1]),)


def show(job_id: int, key: TaskKey) -> str:
    """Return ``42.3`` or ``42.3.17``."""
    return f"{job_id}.{key[0]}.{key[1]}" if key[1] else f"{job_id}.{key[0]}"


def check_rerunnable(job: Job) -> tuple[int, str] | None:
    """P4 of a resubmission: a task that started before and would run again (4.1)."""
    for record in job.ordinary():
        if record.spec.is_rerunnable or not record.counts[TaskState.CONFIGURING]:
            continue
        table = job.table_of(record)
        for row in range(record.base, record.base + record.count):
            if table.get("attempt", row) > 1 and table.state[row] not in TASK_TERMINAL:
                text = f"task {job.job_id}.{record.task_id} is not rerunnable"
                return codes.TASK_NOT_RERUNNABLE, text
    return None
