"""A job that cannot run with what is left of its resources (J24, J25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.placing import is_stuck
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import StopOf, stop_all, told
from hpcsched.core.task.states import CancelOrigin, TaskState

if TYPE_CHECKING:
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
    if job.uses.any_in(_UNSETTLED):
        return False
    if job.held_units() >= job.least():
        return _exchange(turn)
    failed = [e for e, _ in turn.events if e.name is EventName.NODE_PREP_FAILED]
    code = codes.NODE_PREP_FAILURE if failed else codes.RESOURCE_FAILURE
    text = failed[-1].message if failed else "the nodes that are left do not suffice"
    if job.eased and not failed:
        # People took nodes from it: no error either.
        _give_back(turn, text)
        return True
    if job.auto_requeue_count < turn.settings.job_retries:
        turn.emit(
            EventName.JOB_LOST_RESOURCES,
            path=(JobState.QUEUED,),
            patch={
                "auto_requeue_count": job.auto_requeue_count + 1,
                "start_time": None,
                **told((code, text), {"problem": text}),
            },
            uses=dict.fromkeys(job.uses),
            message=text,
        )
    else:
        _fail(turn, f"its nodes were lost too often: {text}")
    return True


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
    _give_back(turn, "the nodes that the job holds can not run its next task")
    return True


def _give_back(turn: Turn, text: str) -> None:
    """Queue the job again without holding it against it."""
    turn.emit(
        EventName.JOB_LOST_RESOURCES,
        path=(JobState.QUEUED,),
        patch={"start_time": None},
        uses=dict.fromkeys(turn.job.uses),
        message=text,
    )
