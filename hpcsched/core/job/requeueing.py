"""Queueing jobs again: the exact rules of lifecycle.md section 4.1 (S1, S3, D6).

Finished elements stay Finished; those that were canceled one by one before they ran
stay Canceled; all others are queued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.holds import hold_kept
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.job.parents import parents_again
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import StopOf, begin_stop
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.turn import runs_of
from hpcsched.core.job.verdict import (
    OUT_JOB,
    OUT_TASK,
    rejection,
    verdict_on,
    way_in,
)
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.commands import ConfigureJob, Kin, RequeueJob
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

__all__ = ["configure_job", "find_elements", "requeue_job", "requeue_now", "show"]


def again_patch(turn: Turn) -> dict[str, Any]:
    """Return the fields of a job that its user queues again (4.1, step 2)."""
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
        "front": (),
        **hold_kept(turn.job, turn.now),
    }


def again(
    record: TaskRecord, ranges: Ranges, was: int, path: tuple[TaskState, ...]
) -> TaskMove:
    """Return the move that makes elements fresh; the attempt of a sent one grows."""
    return TaskMove(
        task_id=record.task_id,
        ranges=ranges,
        was=was,
        path=path,
        clear=True,
        columns={"auto": 0, "retries": 0},
    )


def reset_per_node(job: Job) -> dict[int, dict[str, Any]]:
    """Return the fields that let prep, release and services start afresh (4.1)."""
    tasks: dict[int, dict[str, Any]] = {}
    for record in job.special.values():
        fields = tasks[record.task_id] = {"shown_from": record.count, "canceled": False}
        if record.ordinary:
            fields |= {"concluded": False, "strikes": 0, "not_before": 0.0}
            fields |= {"started": False, "forgiven": 0, "swept": 0}
    return tasks


def requeue_job(turn: Turn, command: RequeueJob) -> HpcError | None:
    """J26, S1: all preconditions hold before anything changes.

    Returns:
        The verdict when the job failed its validation, else None.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_OPERATION, COMMAND_NOT_RERUNNABLE,
            TASK_NOT_RERUNNABLE.
    """
    job = turn.job
    command.caller.require_operator(job.owner, f"requeue job {job.job_id}")
    require(job.state, JobTrigger.REQUEUE, job.job_id)
    if job.spec.job_type is JobType.ADMIN:
        raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job.job_id)
    for record in job.ordinary():
        if not record.spec.is_rerunnable and record.spec.type is not TaskType.SERVICE:
            task = show(job.job_id, (record.task_id, 0))
            raise HpcError("TASK_NOT_RERUNNABLE", task=task)
    order = {"submit_order": command.submit_order}
    if job.state is not JobState.RUNNING:
        return requeue_now(turn, order, kin=command.kin)
    how = StopOf(
        end=TaskState.QUEUED,
        origin=CancelOrigin.REQUEUE,
        request=CancelRequest.TASK_CANCEL_ON_REQUEUE,
        live=(0, ""),
        waiting=(0, ""),
        keep_waiting=True,
    )
    begin_stop(
        turn,
        EventName.JOB_REQUEUE_REQUESTED,
        how,
        state=JobState.CANCELING,
        end=JobState.QUEUED,
        error=None,
        also=order,
    )
    return None


def requeue_now(
    turn: Turn, also: dict[str, Any] | None = None, *, kin: Kin | None = None
) -> HpcError | None:
    """Apply the three-way table to every element and queue the job, if it is valid.

    Args:
        turn: Of the job.
        also: More fields of it.
        kin: What its parents say; None: it ran, so all of them have Finished.

    Returns:
        The verdict when the job failed its validation, else None.
    """
    job = turn.job
    verdict = verdict_on(turn, kin=kin)
    job_path, task_path, more = way_in(turn)
    patch = {**again_patch(turn), **(also or {}), **parents_again(job, kin)}
    columns: dict[str, Any] = {}
    if verdict is not None:
        rejected, columns = rejection(turn, verdict)
        job_path, task_path, more = OUT_JOB, OUT_TASK, rejected
    patch |= more
    moves: list[TaskMove] = []
    tasks = reset_per_node(job)
    for record in job.ordinary():
        if record.spec.type is TaskType.SERVICE:
            continue  # what it had stays; new instances come
        found = _rerun(turn, record, task_path)
        if found:
            moves.extend(found)
            tasks[record.task_id] = {"canceled": False, "started": False}
    for one in moves:
        one.columns = {**one.columns, **columns}
    turn.emit(
        EventName.JOB_REQUEUED if verdict is None else EventName.JOB_REJECTED,
        path=job_path,
        patch=patch,
        moves=moves,
        tasks=tasks,
        uses=dict.fromkeys(job.uses),
        message=patch["error_message"],
    )
    return verdict


def _rerun(
    turn: Turn, record: TaskRecord, path: tuple[TaskState, ...]
) -> list[TaskMove]:
    """Return the moves of all elements that run again; kept ones have none."""
    moves = []
    for state, spans in runs_of(turn.job, record):
        if state == TaskState.FINISHED:
            continue
        chosen = spans
        if state == TaskState.CANCELED:
            chosen = _not_by_name(turn.job, record, spans)
        if chosen:
            moves.append(again(record, chosen, state, path))
    return moves


def _not_by_name(job: Job, record: TaskRecord, spans: Ranges) -> Ranges:
    """Return those that were not canceled one by one before they ran (S3 9)."""
    table = job.table_of(record)
    return tuple(
        (record.instance(a), record.instance(b))
        for first, last in spans
        for origin, a, b in table.runs(record.row(first), record.row(last), "origin")
        if origin != CancelOrigin.USER_TASK
    )


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
    to_configuring(turn)


def to_configuring(turn: Turn) -> None:
    """J27 and J29: leave the queue, or the end, for editing."""
    job = turn.job
    moves: list[TaskMove] = []
    tasks = reset_per_node(job)
    for record in job.ordinary():
        if record.spec.type is TaskType.SERVICE:
            continue
        found = _rerun(turn, record, (TaskState.CONFIGURING,))
        found = [one for one in found if one.was != TaskState.CONFIGURING]
        moves.extend(found)
        if found:
            tasks[record.task_id] = {"canceled": False, "started": False}
    patch = {**again_patch(turn), "requeued": False, "submit_time": None}
    turn.emit(
        EventName.JOB_CONFIGURED,
        path=(JobState.CONFIGURING,),
        patch=patch,
        moves=moves,
        tasks=tasks,
    )
