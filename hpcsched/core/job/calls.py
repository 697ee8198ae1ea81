"""Calls on a whole job: cancel, finish, run-time limit, grant (J8, J11, J16 to J22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName
from hpcsched.core.job.excluding import barred_nodes
from hpcsched.core.job.model import Job, UsePhase
from hpcsched.core.job.resources import goes_back
from hpcsched.core.job.starting import started_patch
from hpcsched.core.job.states import (
    CancelRequest,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import (
    StopOf,
    begin_stop,
    cancel_waiting,
    stop_all,
    told,
)
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.target import exceeds_target
from hpcsched.core.job.waiting import held_back
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.commands import CancelJob, FinishJob, GrantCores
    from hpcsched.core.job.turn import Turn

MESSAGE_LIMIT: Final = 320
"""Unicode characters of a cancel message (S3 2, D16)."""
_GIVEN_BACK: Final = (
    *(UsePhase.LEAVING, UsePhase.RELEASING),
    *(UsePhase.LOST, UsePhase.LOST_LEAVING),
)
"""Nodes on which the job takes no cores any more."""


def check_message(message: str) -> None:
    """Refuse a message that is too long; nothing is canceled then.

    Raises:
        HpcError: CANCEL_MESSAGE_TOO_LONG.
    """
    if len(message) > MESSAGE_LIMIT:
        raise HpcError(
            "CANCEL_MESSAGE_TOO_LONG",
            field="message",
            length=len(message),
            limit=MESSAGE_LIMIT,
        )


def check_stop(message: str, *, force: bool, graceful: bool) -> None:
    """Refuse what cannot be meant.

    Raises:
        HpcError: CANCEL_MESSAGE_TOO_LONG, INVALID_FIELD.
    """
    check_message(message)
    if force and graceful:
        raise HpcError(
            "INVALID_FIELD", field="graceful", problem="not together with force"
        )


def cancel_job(turn: Turn, command: CancelJob) -> None:
    """J17 to J21, S3.

    Raises:
        HpcError: PERMISSION_DENIED, CANCEL_MESSAGE_TOO_LONG, INVALID_CANCEL_JOB_STATE.
    """
    job = turn.job
    if job.spec.job_type is JobType.ADMIN:
        command.caller.require_administrator(f"cancel command {job.job_id}")
    command.caller.require_operator(job.owner, f"cancel job {job.job_id}")
    check_stop(command.message, force=command.force, graceful=command.graceful)
    replaces = job.state is JobState.CANCELING and job.pending_end is JobState.QUEUED
    if not replaces:
        trigger = JobTrigger.FORCE_CANCEL if command.force else JobTrigger.CANCEL
        require(job.state, trigger, job.job_id)
    request = CancelRequest.CANCEL_BY_USER
    if command.force:
        request = CancelRequest.CANCEL_FORCE_BY_USER
    elif command.graceful:
        request = CancelRequest.CANCEL_GRACEFUL
    text = command.message
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.USER_JOB,
        request=request,
        live=(codes.TASKS_JOB_CANCELED, text or "its job was canceled"),
        waiting=(codes.TASKS_JOB_CANCELED, text or "its job was canceled"),
        force=command.force,
        spare_running=command.graceful,
    )
    error = (codes.CANCELED_BY_USER, text)
    params = {"message": text, "user": turn.actor}
    if job.state is JobState.RUNNING:
        begin_stop(
            turn,
            EventName.JOB_CANCEL_REQUESTED,
            how,
            state=JobState.CANCELING,
            end=JobState.CANCELED,
            error=error,
            params=params,
            graceful=command.graceful,
        )
    elif job.state is JobState.CANCELING:
        _cancel_again(turn, how, told(error, params))
    else:
        cancel_waiting(turn, how, error, params)


def _cancel_again(turn: Turn, how: StopOf, error: Mapping[str, Any]) -> None:
    """J19 escalation and 5.5: a pending Queued becomes Canceled, others stay."""
    job = turn.job
    patch: dict[str, Any] = {}
    if job.pending_end is JobState.QUEUED:
        patch["pending_end"] = JobState.CANCELED
        patch["request_cancel"] = how.request
        patch |= error
    elif error["error_message"] and not job.error_message:
        patch |= error
    if how.force:
        patch["forced"] = True
        patch["graceful"] = False
        patch["request_cancel"] = how.request
    name, text = EventName.JOB_CANCEL_REQUESTED, error["error_message"]
    turn.emit(name, patch=patch, moves=stop_all(turn, how), message=text)


def finish_job(turn: Turn, command: FinishJob) -> None:
    """J22: like cancel, but the end is Finished (D12 for its tasks).

    Raises:
        HpcError: PERMISSION_DENIED, CANCEL_MESSAGE_TOO_LONG, INVALID_OPERATION.
    """
    job = turn.job
    if job.spec.job_type is JobType.ADMIN:
        command.caller.require_administrator(f"finish command {job.job_id}")
    command.caller.require_operator(job.owner, f"finish job {job.job_id}")
    check_stop(command.message, force=command.force, graceful=command.graceful)
    trigger = JobTrigger.FORCE_FINISH if command.force else JobTrigger.FINISH
    require(job.state, trigger, job.job_id)
    request = CancelRequest.FINISH
    if command.graceful:
        request = CancelRequest.FINISH_GRACEFUL
    text = command.message
    how = StopOf(
        end=TaskState.FINISHED,
        origin=CancelOrigin.USER_JOB,
        request=request,
        live=(codes.FINISHED_DURING_EXECUTION, text or "its job was finished"),
        waiting=(codes.FINISHED_DURING_EXECUTION, text or "its job was finished"),
        force=command.force,
        spare_running=command.graceful,
    )
    error = (codes.FINISHED_BY_USER, text) if text else (0, "")
    params = {"message": text, "user": turn.actor} if text else {}
    if job.state is JobState.FINISHING:
        _force_finish(turn, how, told(error, params))
        return
    if job.state is JobState.RUNNING:
        begin_stop(
            turn,
            EventName.JOB_FINISH_REQUESTED,
            how,
            state=JobState.FINISHING,
            end=JobState.FINISHED,
            error=error,
            params=params,
            graceful=command.graceful,
        )
        return
    turn.emit(
        EventName.JOB_FINISH_REQUESTED,
        path=(JobState.FINISHING, JobState.FINISHED),
        patch={
            **told(error, params),
            "request_cancel": request,
            "end_time": turn.now,
            "requeued": False,
            "front": (),
        },
        moves=stop_all(turn, how),
        message=text,
    )


def _force_finish(turn: Turn, how: StopOf, error: Mapping[str, Any]) -> None:
    """J22 as J19: no grace period, no node release any more; a known end stays."""
    job = turn.job
    patch: dict[str, Any] = {"forced": True, "graceful": False}
    name, text = EventName.JOB_FINISH_REQUESTED, error["error_message"]
    if text and not job.error_message:
        patch |= error
    turn.emit(name, patch=patch, moves=stop_all(turn, how), message=text)


def deadline_of(job: Job, release_s: float) -> float | None:
    """Return when the job's run-time limit ends its tasks, or None (lifecycle.md 3.3).

    The node release task must still fit inside the limit. It also holds for tasks that
    a graceful cancel or finish lets go on (J20).
    """
    ending = job.state in {JobState.CANCELING, JobState.FINISHING} and job.graceful
    if not (job.state is JobState.RUNNING or ending):
        return None
    if not job.spec.runtime or job.start_time is None:
        return None
    reserve = 0.0
    record = job.typed(TaskType.NODE_RELEASE)
    if record is not None and release_s:
        reserve = min(record.spec.runtime or release_s, release_s)
    return job.start_time + max(0.0, job.spec.runtime - reserve)


def time_out(turn: Turn) -> None:
    """J16: over its run-time limit the job is Canceled (D5)."""
    job = turn.job
    deadline = deadline_of(job, turn.settings.release_s)
    if deadline is None or turn.now < deadline:
        return
    text = f"the job's run-time limit of {job.spec.runtime:g} s was reached"
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.TIMEOUT,
        request=CancelRequest.TIMEOUT,
        live=(codes.TASKS_JOB_CANCELED, text),
        waiting=(codes.TASKS_JOB_CANCELED, text),
    )
    if job.graceful:
        patch = {"graceful": False}
        moves = stop_all(turn, how)
        turn.emit(EventName.JOB_TIMED_OUT, patch=patch, moves=moves, message=text)
        return
    begin_stop(
        turn,
        EventName.JOB_TIMED_OUT,
        how,
        state=JobState.CANCELING,
        end=JobState.CANCELED,
        error=(codes.JOB_RUNTIME_EXPIRED, text),
        params={"limit": f"{job.spec.runtime:g} s"},
    )


def grant_cores(turn: Turn, command: GrantCores) -> None:
    """J8, J11: take what is given; a job that no longer wants it keeps nothing."""
    job = turn.job
    uses: dict[int, tuple[Any, ...]] = {}
    barred = barred_nodes(turn)  # excluded while the grant was under way
    prep = job.typed(TaskType.NODE_PREP)
    ready = prep is None or prep.canceled
    phase = UsePhase.READY if ready else UsePhase.NEW
    for node_id, cores in command.cores.items():
        use = job.uses.get(node_id)
        if node_id in barred:
            continue
        if use is None:
            shape = command.shapes.get(node_id, ())
            uses[node_id] = (cores, int(phase), ready, *shape)
        elif use.phase not in _GIVEN_BACK and node_id not in job.owing:
            uses[node_id] = (cores, int(use.phase), use.prepared)
    if not uses or job.yields_all or goes_back(job) or exceeds_target(job, uses):
        return
    sites = _known_sites(job, command)
    if job.state is JobState.QUEUED:
        if held_back(job) or len(uses) < len(command.cores):
            return
        turn.emit(
            EventName.JOB_STARTED,
            path=(JobState.RUNNING,),
            patch={**started_patch(turn.now, backfill=command.backfill), **sites},
            uses=uses,
        )
    elif job.state is JobState.RUNNING:
        patch = {"has_grown": True, **sites}
        turn.emit(EventName.JOB_RESIZED, uses=uses, patch=patch)


def _known_sites(job: Job, command: GrantCores) -> dict[str, Any]:
    """Return the fields of what tasks that are choosy about nodes need to know."""
    patch: dict[str, Any] = {}
    if job.picky:
        kept = {n: site for n, site in job.sites.items() if n in job.uses}
        patch["sites"] = {**kept, **command.sites}
    if job.widest > 1 and command.largest != job.largest:
        patch["largest"] = command.largest
    return patch
