"""A job that cannot run with what is left of its resources (J24, J25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.pernode import blames_node, wants_release
from hpcsched.core.job.placing import is_stuck
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import StopOf, stop_all, told
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

_UNSETTLED: Final = (
    *(UsePhase.NEW, UsePhase.PREPARING, UsePhase.RELEASING),
    *(UsePhase.LEAVING, UsePhase.LOST_LEAVING),
)


def lack_resources(turn: Turn) -> bool:
    """Queue the job again, or fail it, when its nodes do not suffice any more.

    A job whose next task could never run on the nodes that it holds is queued again as
    well, so that it gets others; that is no error and is not counted.
    """
    job = turn.job
    if job.spec.job_type is JobType.ADMIN or job.on_nodes() or job.yields_all:
        return False
    if goes_back(job):
        return _go_back(turn)
    if job.uses.any_in(_UNSETTLED):
        return False
    if job.held_units() >= job.least():
        return _exchange(turn)
    code, text = codes.RESOURCE_FAILURE, "the nodes that are left do not suffice"
    if _unprepared(job):
        code = codes.NODE_PREP_FAILURE
        text = f"node preparation failed on {job.excluded[-1]}"
    elif job.eased:
        code = 0  # people took nodes from it: no error either
    _leave(turn, code, text)
    return True


def _unprepared(job: Job) -> bool:
    """Has the job lost a node of this run because its preparation failed there?"""
    prep = job.typed(TaskType.NODE_PREP)
    if prep is None or not job.excluded:
        return False
    table = job.table_of(prep)
    last = prep.base + prep.count - 1
    row = table.find(TaskState.FAILED, prep.base + prep.shown_from, last)
    while row >= 0:
        if table.get("node", row) in job.last_nodes and blames_node(table, row):
            return True
        row = table.find(TaskState.FAILED, row + 1, last)
    return False


def _go_back(turn: Turn) -> bool:
    """The nodes that did not suffice have been released: do what was decided then."""
    job = turn.job
    if job.uses:
        return False
    _queue(turn, job.error_code, job.error_message)
    return True


def goes_back(job: Job) -> bool:
    """Does it only release its nodes before it is queued again, or fails?"""
    runs = job.state is JobState.RUNNING
    return runs and job.request_cancel is CancelRequest.RESOURCE_FAILURE


def _leave(turn: Turn, code: int, text: str) -> None:
    """Release what the job still holds (5.3), then queue it again.

    Args:
        turn: Of the job.
        code: Of the system error; 0: it is none, and not held against the job.
        text: Why.
    """
    job = turn.job
    released = wants_release(job) and turn.settings.release_s > 0
    if not released or not any(use.prepared for use in job.uses.values()):
        _queue(turn, code, text)
        return
    turn.emit(
        EventName.NODE_RELEASING,
        uses={
            use.node_id: (use.cores, int(UsePhase.LEAVING), use.prepared)
            for use in job.uses.values()
        },
        patch={
            "request_cancel": CancelRequest.RESOURCE_FAILURE,
            **told((code, text), {"problem": text}),
        },
        message=text,
    )


def _queue(turn: Turn, code: int, text: str) -> None:
    """J24, J25."""
    job = turn.job
    if code and job.auto_requeue_count >= turn.settings.job_retries:
        _fail(turn, f"its nodes were lost too often: {text}")
        return
    error = told((code, text), {"problem": text}) if code else told((0, ""))
    turn.emit(
        EventName.JOB_LOST_RESOURCES,
        path=(JobState.QUEUED,),
        patch={
            "auto_requeue_count": job.auto_requeue_count + bool(code),
            "request_cancel": CancelRequest.NONE,
            "start_time": None,
            **error,
        },
        uses=dict.fromkeys(job.uses),
        message=text,
    )


def _fail(turn: Turn, text: str) -> None:
    """J25."""
    job = turn.job
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.RESOURCE_FAILURE,
        live=(codes.RESOURCE_FAILURE, text),
        waiting=(codes.RESOURCE_FAILURE, text),
    )
    patch: dict[str, Any] = {
        **told((codes.RESOURCE_FAILURE, text), {"problem": text}),
        "request_cancel": CancelRequest.RESOURCE_FAILURE,
        "failure_reason": FailureReason.RESOURCE_FAILURE,
        "end_time": turn.now,
        "requeued": False,
        "front": (),
    }
    turn.emit(
        EventName.JOB_LOST_RESOURCES,
        path=(JobState.FAILED,),
        patch=patch,
        moves=stop_all(turn, how),
        uses=dict.fromkeys(job.uses),
        message=text,
    )


def _exchange(turn: Turn) -> bool:
    job = turn.job
    if not (job.counts[TaskState.QUEUED] or job.service) or not job.uses:
        return False
    if not is_stuck(job):
        return False
    _leave(turn, 0, "the nodes that the job holds can not run its next task")
    return True
