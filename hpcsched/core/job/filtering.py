"""What the administrator's filters decide on a job (J6, J7, J9; lifecycle.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.filtered import rewrite
from hpcsched.core.job.holds import hold_at_submit
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
)
from hpcsched.core.job.stopping import StopOf, cancel_unsubmitted, stop_all, told
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.job.verdict import EXTERNAL_TASK, rejection
from hpcsched.core.task.states import CancelOrigin, TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.commands import FailActivation, HoldActivation, TakeVerdict
    from hpcsched.core.job.turn import Turn

_WAY = {
    TaskState.SUBMITTED: (TaskState.VALIDATING,),
    TaskState.VALIDATING: (),
}
"""States of tasks that wait for the verdict, and what they still pass."""


def take_verdict(turn: Turn, command: TakeVerdict) -> HpcError | None:
    """Queue or fail a job that waits for its submission filter.

    A verdict on an earlier submission is nobody's, and changes nothing.

    Returns:
        The verdict when the job failed, else None.
    """
    job = turn.job
    if job.state is not JobState.EXTERNAL_VALIDATION:
        return None
    if job.validation != command.validation:
        return None
    verdict = command.refusal
    fresh: frozenset[int] = frozenset()
    fields: dict[str, Any] = {}
    if verdict is None and command.rewrite is not None:
        try:
            fresh = rewrite(turn, command.rewrite)
        except HpcError as invalid:
            problem = f"the submission filter made the job invalid: {invalid}"
            verdict = HpcError(
                "SUBMISSION_FILTER_FAILED", job_id=job.job_id, problem=problem
            )
        else:
            fields = hold_at_submit(job, turn.now)
    if verdict is None:
        turn.emit(
            EventName.JOB_VALIDATED,
            path=(JobState.QUEUED,),
            patch=fields,
            moves=_moves(turn, TaskState.QUEUED, {}, fresh),
        )
        return None
    patch, columns = rejection(turn, verdict)
    turn.emit(
        EventName.JOB_REJECTED,
        path=(JobState.FAILED,),
        patch=patch,
        moves=_moves(turn, TaskState.FAILED, columns) + cancel_unsubmitted(turn),
        message=patch["error_message"],
    )
    return verdict


def _moves(
    turn: Turn,
    to: TaskState,
    columns: Mapping[str, Any],
    fresh: frozenset[int] = frozenset(),
) -> list[TaskMove]:
    """Return the moves of all that waits; new elements of ``fresh`` tasks as well."""
    moves = []
    for record in turn.job.ordinary():
        for state, spans in runs_of(turn.job, record):
            way = _WAY.get(TaskState(state))
            if state == TaskState.CONFIGURING and record.task_id in fresh:
                way = EXTERNAL_TASK
            if way is not None:
                moves.append(move(record, spans, state, *way, to, **columns))
    return moves


def fail_activation(turn: Turn, command: FailActivation) -> None:
    """J9 at exit code 4: the job never starts; its tasks go by T20."""
    job = turn.job
    if job.state is not JobState.QUEUED:
        return
    text = command.message or "the activation filter failed the job"
    error = (codes.FAILED_BY_ACTIVATION_FILTER, text)
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.NONE,
        live=error,
        waiting=error,
    )
    turn.emit(
        EventName.JOB_ACTIVATION_FAILED,
        path=(JobState.FAILED,),
        patch={
            **told(error, {"message": command.message}),
            "failure_reason": FailureReason.EXECUTION_FAILURE,
            "end_time": turn.now,
            "requeued": False,
            "front": (),
        },
        moves=stop_all(turn, how),
        message=text,
    )


def hold_activation(turn: Turn, command: HoldActivation) -> None:
    """J9 at exit code 3; a hold of people's stands."""
    job = turn.job
    if job.state is not JobState.QUEUED or job.held_by:
        return
    by = PendingReason.HELD_BY_ACTIVATION_FILTER
    turn.emit(
        EventName.JOB_HELD,
        patch={
            "held_by": by,
            "hold_until": command.until,
            "hold_note": command.message,
        },
        message=command.message,
    )
