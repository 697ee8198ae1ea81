"""Stopping elements and jobs: who ends where, and what a later stop may still change.

lifecycle.md T12 to T21, D12 and section 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.recalling import asking
from hpcsched.core.job.states import CancelRequest, FailureReason, JobState
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.task.elements import FORCED, STARTED
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

WAIT = (
    TaskState.CONFIGURING,
    TaskState.SUBMITTED,
    TaskState.VALIDATING,
    TaskState.QUEUED,
)
LIVE = (TaskState.DISPATCHING, TaskState.RUNNING)
AGAIN = (TaskState.QUEUED, TaskState.CANCELED)
"""Pending ends of what runs again; instances of services are followed by new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOf:
    """How elements are to be stopped.

    Attributes:
        end: State of those that ran: FAILED, FINISHED or QUEUED; in a service that is
            CANCELED in place of QUEUED.
        live: Note (code, text) of those that are stopped on a node.
        waiting: Note of those that never ran.
        force: No grace period.
        spare_running: Running ones end by themselves (graceful); only what has not
            started is stopped; what was dispatched its node is asked for.
        keep_waiting: Waiting ones stay as they are (requeue).
    """

    end: TaskState
    origin: CancelOrigin
    request: CancelRequest
    live: tuple[int, str]
    waiting: tuple[int, str]
    force: bool = False
    spare_running: bool = False
    keep_waiting: bool = False


def stop_elements(
    turn: Turn, record: TaskRecord, how: StopOf, ranges: Ranges | None = None
) -> list[TaskMove]:
    """Return the moves that stop elements of one task, but never terminal ones."""
    moves: list[TaskMove] = []
    if how.end is TaskState.QUEUED and record.spec.type is TaskType.SERVICE:
        how = _followed(how)
    for state, spans in runs_of(turn.job, record, ranges):
        if state in WAIT:
            if not how.keep_waiting:
                moves.append(_cancel_unstarted(turn, record, spans, state, how))
        elif state in LIVE:
            if not how.spare_running:
                moves.append(_stop_live(turn, record, spans, state, how))
            elif state == TaskState.DISPATCHING:
                moves.append(asking(record.task_id, spans))
        elif state == TaskState.CANCELING:
            moves.extend(_restop(turn, record, spans, how))
    return moves


def _followed(how: StopOf) -> StopOf:
    """Return how instances of a service end that are followed by new ones (4.1)."""
    text = "its job was queued again; a new instance takes its place"
    told = how.live if how.live[0] else (codes.SERVICE_CANCELED_ON_REQUEUE, text)
    return replace(how, end=TaskState.CANCELED, live=told)


def _cancel_unstarted(
    turn: Turn, record: TaskRecord, spans: Ranges, state: int, how: StopOf
) -> TaskMove:
    return move(
        record,
        spans,
        state,
        TaskState.CANCELED,
        origin=int(how.origin),
        request=int(how.request),
        note=turn.note(*how.waiting),
        end=turn.now,
    )


def _stop_live(
    turn: Turn, record: TaskRecord, spans: Ranges, state: int, how: StopOf
) -> TaskMove:
    stop = move(
        record,
        spans,
        state,
        TaskState.CANCELING,
        origin=int(how.origin),
        request=int(how.request),
        pending=int(how.end),
        note=turn.note(*how.live),
    )
    if how.force:
        stop.flags = FORCED
    return stop


def _restop(
    turn: Turn, record: TaskRecord, spans: Ranges, how: StopOf
) -> list[TaskMove]:
    """Stop what is being stopped: a pending Queued is replaced, others stay (5.5)."""
    moves = []
    for pending, spans_of in _pending_ends(turn, record, spans):
        columns: dict[str, Any] = {}
        if pending in AGAIN and how.end not in AGAIN:
            columns = {
                "origin": int(how.origin),
                "request": int(how.request),
                "pending": int(how.end),
                "note": turn.note(*how.live),
            }
        if columns or how.force:
            again = move(record, spans_of, TaskState.CANCELING, **columns)
            again.flags = FORCED if how.force else 0
            moves.append(again)
    return moves


def _pending_ends(
    turn: Turn, record: TaskRecord, spans: Ranges
) -> Iterator[tuple[int, Ranges]]:
    """Yield (pending end, range) of what is being stopped.

    What was preempted before it started goes back to the queue, whatever would become
    of it otherwise (``stopped_state``).
    """
    table = turn.job.table_of(record)
    for first, last in spans:
        low, high = record.row(first), record.row(last)
        for pending, a, b in table.runs(low, high, "pending"):
            for origin, c, d in table.runs(a, b, "origin"):
                if origin != CancelOrigin.PREEMPTION or pending in AGAIN:
                    yield pending, ((record.instance(c), record.instance(d)),)
                    continue
                for flags, e, f in table.runs(c, d, "flags"):
                    end = pending if flags & STARTED else int(TaskState.QUEUED)
                    yield end, ((record.instance(e), record.instance(f)),)


def stop_all(turn: Turn, how: StopOf) -> list[TaskMove]:
    """Return the moves that stop every element of the job, node preparation included.

    A running node release is stopped only by force. Neither runs again by itself.
    """
    per_node = replace(how, end=TaskState.FAILED, keep_waiting=False)
    moves: list[TaskMove] = []
    for record in turn.job.tasks:
        if not record.open:
            continue
        if record.ordinary:
            moves.extend(stop_elements(turn, record, how))
        elif how.force or record.spec.type is not TaskType.NODE_RELEASE:
            moves.extend(stop_elements(turn, record, per_node))
    return moves


def cancel_unsubmitted(turn: Turn) -> list[TaskMove]:
    """Return the moves of tasks that were never submitted, as their job ends (T20)."""
    moves = []
    text = "the job ended before the task was submitted"
    for record in turn.job.ordinary():
        if not record.counts[TaskState.CONFIGURING]:
            continue
        for was, spans in runs_of(turn.job, record):
            if was == TaskState.CONFIGURING:
                columns = {
                    "origin": int(CancelOrigin.SYSTEM),
                    "note": turn.note(codes.CANCELED_BEFORE_ASSIGNMENT, text),
                    "end": turn.now,
                }
                moves.append(move(record, spans, was, TaskState.CANCELED, **columns))
    return moves


def begin_stop(
    turn: Turn,
    name: EventName,
    how: StopOf,
    *,
    state: JobState,
    end: JobState,
    error: tuple[int, str] | None,
    params: Mapping[str, str] | None = None,
    failure: FailureReason = FailureReason.NONE,
    graceful: bool = False,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Start to stop a running job; it ends in ``end`` once everything has stopped.

    ``also`` are more fields of the job to set, ``params`` what the error says, by name.
    """
    patch: dict[str, Any] = {
        "pending_end": end,
        "request_cancel": how.request,
        "forced": how.force,
        "graceful": graceful,
        "front": (),
        **(also or {}),
    }
    if error is not None:
        patch |= told(error, params)
    if failure:
        patch["failure_reason"] = failure
    turn.emit(
        name,
        path=() if turn.job.state is state else (state,),
        patch=patch,
        moves=stop_all(turn, how),
        message=error[1] if error else "",
    )


def told(
    error: tuple[int, str], params: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the fields of a job that keep an error: number, text, facts by name."""
    fields = {"error_code": error[0], "error_message": error[1]}
    return {**fields, "error_params": dict(params)} if params else fields


def cancel_waiting(
    turn: Turn, how: StopOf, error: tuple[int, str], params: Mapping[str, str]
) -> None:
    """J17: nothing of it runs, so it ends at once."""
    turn.emit(
        EventName.JOB_CANCEL_REQUESTED,
        path=(JobState.CANCELED,),
        patch={
            **told(error, params),
            "request_cancel": how.request,
            "end_time": turn.now,
            "requeued": False,
            "front": (),
        },
        moves=stop_all(turn, how),
        uses=dict.fromkeys(turn.job.uses),
        message=error[1],
    )


def stopped_state(job: Job, pending: int, origin: int, *, started: bool) -> TaskState:
    """Return where a Canceling element ends (T13 to T15, T21, T25, D12)."""
    if pending in AGAIN:
        return TaskState(pending)
    goes_on = job.state is JobState.RUNNING or job.pending_end is JobState.QUEUED
    if not started and origin == CancelOrigin.PREEMPTION and goes_on:
        return TaskState.QUEUED  # nothing of it has run, so nothing runs again
    if not started and origin != CancelOrigin.NODE:
        return TaskState.CANCELED
    return TaskState.FINISHED if pending == TaskState.FINISHED else TaskState.FAILED
