"""Holding queued jobs back, and letting them go (J31, lifecycle.md 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.details import check_hold
from hpcsched.core.job.events import EventName
from hpcsched.core.job.states import JobState, PendingReason
from hpcsched.core.job.table import JobTrigger, require

if TYPE_CHECKING:
    from hpcsched.core.caller import Caller
    from hpcsched.core.job.commands import HoldJob, ReleaseJob
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn


def hold_job(turn: Turn, command: HoldJob) -> None:
    """Hold a queued job until a time, or until it is released.

    A hold takes the place of the one before, but the owner's not that of an
    administrator.

    Raises:
        HpcError: PERMISSION_DENIED, HOLD_STATE, HOLD_UNTIL_PAST, HOLD_UNTIL_TOO_FAR.
    """
    job = turn.job
    _check(job, command.caller, f"hold job {job.job_id}")
    check_hold("hold_until", command.until, turn.now)
    own = command.caller.user == job.owner
    by = PendingReason.HELD_BY_USER if own else PendingReason.HELD_BY_ADMIN
    if (job.held_by, job.hold_until) != (by, command.until):
        patch = _hold(by, command.until)
        turn.emit(EventName.JOB_HELD, patch=patch)


def release_job(turn: Turn, command: ReleaseJob) -> None:
    """Let a held job go; it competes like any other. Nothing held: no effect.

    Raises:
        HpcError: PERMISSION_DENIED, HOLD_STATE.
    """
    job = turn.job
    _check(job, command.caller, f"release job {job.job_id}")
    if job.held_by:
        _let_go(turn)


def _check(job: Job, caller: Caller, operation: str) -> None:
    caller.require_owner(job.owner, operation)
    require(job.state, JobTrigger.HOLD, job.job_id)
    if job.held_by is PendingReason.HELD_BY_ADMIN:
        caller.require_job_administrator(f"{operation}, which an administrator holds")


def end_hold(turn: Turn) -> None:
    """The time of a hold has come: the job is eligible, no more."""
    deadline = hold_deadline(turn.job)
    if deadline is not None and turn.now >= deadline:
        _let_go(turn)


def hold_deadline(job: Job) -> float | None:
    """Return when a queued job's hold ends by itself, or None."""
    if job.state is not JobState.QUEUED or not job.held_by:
        return None
    return job.hold_until


def _hold(by: PendingReason, until: float | None) -> dict[str, Any]:
    """Return the fields of a hold of people's, or of none."""
    return {"held_by": by, "hold_until": until, "hold_note": ""}


def _let_go(turn: Turn) -> None:
    patch = _hold(PendingReason.NONE, None)
    turn.emit(EventName.JOB_RELEASED, patch=patch)


def hold_at_submit(job: Job, now: float) -> dict[str, Any]:
    """Return the fields of a job that is submitted: the hold that it was given itself.

    It takes the place of the owner's earlier one, not of an administrator's.
    """
    until = job.spec.hold_until
    administrators = job.held_by is PendingReason.HELD_BY_ADMIN
    if until is not None and until > now and not administrators:
        return _hold(PendingReason.HELD_BY_USER, until)
    return hold_kept(job, now)


def hold_kept(job: Job, now: float) -> dict[str, Any]:
    """Return the fields of a job that is queued again.

    Holds of people last until their time or their release, through any cancel; one of
    the activation filter is about one place in the queue.
    """
    over = job.hold_until is not None and job.hold_until <= now
    if job.held_by and (over or job.held_by is PendingReason.HELD_BY_ACTIVATION_FILTER):
        return _hold(PendingReason.NONE, None)
    return {}
