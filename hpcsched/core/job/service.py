"""Service tasks: a new instance whenever a core is free, until concluded.

properties.md 4.3, lifecycle.md 4.1. An instance exists once a core is there for it. It
is never queued again: one that fails, or whose node is lost, is followed by a new one.

Instances that end at once must not follow each other as fast as nodes can start them.
After one that fails within STEADY_S no new one starts for a second, then two, four, …
up to LONGEST_PAUSE_S, and the service gives idle nodes back and does not grow; a round
of which none has failed for STEADY_S ends that. Those that end well within a second are
followed by others a second later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.job.stopping import StopOf, stop_elements
from hpcsched.core.job.table import JOB_ROWS, JobTrigger
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType
from hpcsched.core.task.table import TaskTrigger, allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.commands import ConcludeService
    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

STEADY_S: Final = 10.0
"""An instance that has lasted so long has started well."""
QUICK_S: Final = 1.0
"""One that ends well sooner is followed by the next one only after this time."""
LONGEST_PAUSE_S: Final = 60.0


def conclude_service(turn: Turn, command: ConcludeService) -> None:
    """ServiceConclude: no new instances; if asked, those that there are are canceled.

    Raises:
        HpcError: PERMISSION_DENIED, TASK_NOT_FOUND, NOT_A_SERVICE_TASK,
            SERVICE_NOT_CONCLUDABLE.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"conclude the service of job {job.job_id}")
    record, ranges = find_elements(job, (command.task_id, 0))
    name = show(job.job_id, (command.task_id, 0))
    if record.spec.type is not TaskType.SERVICE:
        kind = record.spec.type.label
        raise HpcError("NOT_A_SERVICE_TASK", task=name, type=kind)
    fits = JOB_ROWS[job.state, JobTrigger.CONCLUDE]
    if not (fits and allowed(record.state, TaskTrigger.CONCLUDE)):
        states = {"state": record.state.label, "job_state": job.state.label}
        raise HpcError("SERVICE_NOT_CONCLUDABLE", task=name, **states)
    moves: list[TaskMove] = []
    if command.cancel_sub_tasks:
        text = "the service was concluded"
        how = StopOf(
            end=TaskState.FAILED,
            origin=CancelOrigin.USER_TASK,
            request=CancelRequest.CANCEL_BY_USER,
            live=(codes.CANCELED_DURING_EXECUTION, text),
            waiting=(codes.CANCELED_BEFORE_ASSIGNMENT, text),
        )
        moves = stop_elements(turn, record, how, ranges)
    if moves or not record.concluded:
        turn.emit(
            EventName.SERVICE_CONCLUDED,
            moves=moves,
            tasks={record.task_id: {"concluded": True}},
        )


def look_after(turn: Turn) -> None:
    """Conclude a service that has had all its instances; end a time of trouble."""
    record = turn.job.service
    if record is None:
        return
    if record.count >= turn.settings.max_sweep:
        turn.emit(
            EventName.SERVICE_CONCLUDED,
            tasks={record.task_id: {"concluded": True}},
            message=f"it has had {record.count} instances, and no more are possible",
        )
    elif _is_behind(record, turn.now) or (
        record.strikes and turn.now >= record.not_before + STEADY_S
    ):
        steady = {"strikes": 0, "not_before": 0.0}
        turn.emit(EventName.SERVICE_STEADY, tasks={record.task_id: steady})


def wake_time(job: Job, now: float) -> float | None:
    """Return when the service has something to do although nothing happens."""
    record = job.service
    if record is None or job.state is not JobState.RUNNING:
        return None
    if _is_behind(record, now):
        return now
    if now < record.not_before:
        return record.not_before
    return record.not_before + STEADY_S if record.strikes else None


def rests(record: TaskRecord, now: float) -> bool:
    """May no new instance start yet?"""
    return now < record.not_before and not _is_behind(record, now)


def _is_behind(record: TaskRecord, now: float) -> bool:
    """Was the wall clock set back in a pause? None lasts as long as this one (F64)."""
    return 0 < record.not_before > now + LONGEST_PAUSE_S


def replaces(job: Job, record: TaskRecord) -> bool:
    """Does a new instance follow one that is lost through nobody's fault?"""
    return record.serving and job.state is JobState.RUNNING


def pace(
    turn: Turn, moves: Sequence[TaskMove]
) -> tuple[dict[int, dict[str, Any]], str]:
    """Return what ended instances mean for the next ones: fields, and a text.

    Must be asked before the moves are applied.
    """
    record = turn.job.service
    if record is None:
        return {}, ""
    failed = short = steady = False
    for one in moves:
        if one.task_id != record.task_id or one.was == TaskState.CANCELING:
            continue
        if one.path[0] is TaskState.CANCELING and one.path[-1] is TaskState.CANCELED:
            continue  # given back, as it was asked for
        good = one.path[-1] is TaskState.FINISHED
        for life in _lives(one):
            steady |= life >= STEADY_S or (good and life >= QUICK_S)
            failed |= not good and life < STEADY_S
            short |= good
    if rests(record, turn.now) or not (failed or short):
        return {}, ""
    if failed and not steady:
        strikes = record.strikes + 1
        pause = min(LONGEST_PAUSE_S, 2.0 ** min(strikes - 1, 10))
        text = f"its instances end at once; new ones start in {pause:g} s"
        fields = {"strikes": strikes, "not_before": turn.now + pause}
        return {record.task_id: fields}, text
    if steady:
        return {}, ""
    fields = {"strikes": 0, "not_before": turn.now + QUICK_S}
    return {record.task_id: fields}, ""


def _lives(one: TaskMove) -> list[float]:
    """Return how long each process lived, in seconds; 0 for what never started."""
    starts, ends = one.columns.get("start", 0.0), one.columns.get("end", 0.0)
    if isinstance(starts, (int, float)) and isinstance(ends, (int, float)):
        return [ends - starts if starts else 0.0]
    count = one.count
    many_starts = [starts] * count if isinstance(starts, (int, float)) else starts
    many_ends = [ends] * count if isinstance(ends, (int, float)) else ends
    pairs = zip(many_starts, many_ends, strict=True)
    return [end - start if start else 0.0 for start, end in pairs]
