"""Giving cores up for others: preemption of tasks and of whole jobs (J23, T26, 3.5).

Gracefully the job starts nothing more on what it owes, and gives each core back as it
falls idle; at once it stops as many tasks as that takes. A job keeps running as long as
its minimum is left to it; else it gives up everything and is queued again.
"""

from __future__ import annotations

from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.holding import cores_of, held_rows, taken_on
from hpcsched.core.job.locating import rows_on, to_ranges
from hpcsched.core.job.model import NodeUse, UsePhase
from hpcsched.core.job.resources import goes_back
from hpcsched.core.job.shrinking import kept_cores
from hpcsched.core.job.states import CancelRequest, FailureReason, JobState, JobType
from hpcsched.core.job.stopping import StopOf, stop_elements, told
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcsched.core.job.commands import EndBackfill, PreemptCores
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

_KEPT: Final = (UsePhase.NEW, UsePhase.PREPARING, UsePhase.READY)
"""Phases of nodes that the job is not leaving anyway."""


def preempt_cores(turn: Turn, command: PreemptCores) -> None:
    """J23, T26: take note of what the job owes now, and stop tasks for it if need be.

    What would leave the job with less than it needs to run is not done by halves: the
    scheduler asks for the whole job then, or for something else.
    """
    job = turn.job
    if job.state is not JobState.RUNNING or job.spec.job_type is JobType.ADMIN:
        return
    if goes_back(job):
        return  # it gives up everything as it is
    if command.whole and command.immediate:
        _stop_job(turn, command)
        return
    whole = command.whole or (job.yields_all and job.held_units() < job.least())
    owing = _owing(job, command.cores, whole=whole)
    if not whole and owing and _left(job, owing) < job.least():
        return
    # A service never ends by itself: its instances are asked to (ExitIfPossible).
    stop = command.immediate or job.service is not None
    moves = _stops(turn, owing, command) if stop else []
    news = {
        "owing": owing,
        "preempted_now": command.immediate and bool(owing),
        "yields_all": whole,
    }
    patch = {name: to for name, to in news.items() if getattr(job, name) != to}
    if not moves and not patch:
        return
    stops = any(one.was == TaskState.RUNNING for one in moves)
    turn.emit(
        EventName.TASKS_PREEMPTED if stops else EventName.JOB_PREEMPTION_REQUESTED,
        patch=patch,
        moves=moves,
        message=command.text,
    )


def _owing(job: Job, cores: Mapping[int, int], *, whole: bool) -> dict[int, int]:
    """Return what is owed by node, of nodes that the job is not leaving anyway.

    A job in sockets or nodes gives up whole ones.
    """
    owing = {}
    unit = job.spec.unit_type
    for use in job.uses.values():
        asked = cores.get(use.node_id, 0)
        count = len(use.cores) if whole else use.up_to_units(unit, asked)
        if count > 0 and use.phase in _KEPT:
            owing[use.node_id] = count
    return owing


def _left(job: Job, owing: Mapping[int, int]) -> int:
    """Return the job's units without what it owes."""
    unit = job.spec.unit_type
    uses = job.uses.values()
    return sum(use.units_without(unit, owing.get(use.node_id, 0)) for use in uses)


def _stops(
    turn: Turn, owing: Mapping[int, int], command: PreemptCores
) -> list[TaskMove]:
    """Return the moves that stop as few tasks as what is owed takes."""
    job = turn.job
    chosen: set[tuple[int, int]] = set()
    for node_id, count in owing.items():
        _choose(job, job.uses[node_id], count, chosen)
    groups: dict[int, list[int]] = {}
    for task_id, row in chosen:
        groups.setdefault(task_id, []).append(job.tasks[task_id - 1].instance(row))
    moves = []
    for task_id, instances in sorted(groups.items()):
        record = job.tasks[task_id - 1]
        how = _how(record, command)
        moves.extend(stop_elements(turn, record, how, to_ranges(sorted(instances))))
    return moves


def _choose(job: Job, use: NodeUse, count: int, chosen: set[tuple[int, int]]) -> None:
    """Choose what is stopped so that so many cores of a node fall idle."""
    excess = use.busy + count - len(use.cores)
    stops = excess > 0
    rest: list[tuple[int, int]] = []
    unknown = False
    for record, row in _victims(job, use, empties=count >= len(use.cores)):
        table = job.table_of(record)
        width = taken_on(job, record, row, use.node_id)
        key = (record.task_id, row)
        if table.state[row] == TaskState.CANCELING or key in chosen:
            excess -= width
        elif excess > 0 or not record.ordinary:
            excess -= width
            chosen.add(key)
        else:
            rest.append(key)
            own = table.get("node", row) == use.node_id
            unknown |= own and width > 1 and cores_of(record, table, row) is None
    if stops and unknown:
        # Which cores a process of several has its node has not told, so while it stays
        # nobody can tell which ones are idle.
        chosen.update(rest)


def _victims(
    job: Job, use: NodeUse, *, empties: bool
) -> Iterable[tuple[TaskRecord, int]]:
    """Return what lives on a node: first what goes anyway, then what loses least.

    Those that can be run again before those that can not, the latest started first.
    """
    found = []
    beside = held_rows(job, use.node_id)
    for record, row in chain(rows_on(job, use.node_id), beside):
        table = job.table_of(record)
        state = table.state[row]
        waits = state == TaskState.DISPATCHING
        if state == TaskState.CANCELING:
            found.append(((0, 0, 0.0, 0), record, row))
        elif record.ordinary or (empties and record.spec.type is TaskType.NODE_PREP):
            fails = 0 if record.spec.is_rerunnable else 1  # it may have started
            since = -inf if waits else -table.get("start", row)
            found.append(((1, fails, since, -row), record, row))
    found.sort(key=lambda one: one[0])
    return ((record, row) for _, record, row in found)


def _how(record: TaskRecord, command: PreemptCores) -> StopOf:
    """T26: what can be run again is queued, the rest fails."""
    again = record.ordinary and record.spec.is_rerunnable
    text = command.text or "its cores were needed for another job"
    # A node preparation is never queued again, not even one that had not started.
    origin = CancelOrigin.PREEMPTION if record.ordinary else CancelOrigin.SYSTEM
    return StopOf(
        end=TaskState.QUEUED if again else TaskState.FAILED,
        origin=origin,
        request=CancelRequest.PREEMPTION,
        live=(codes.TASKS_PREEMPTED, text),
        waiting=(codes.TASKS_PREEMPTED, text),
        keep_waiting=True,
    )


def _stop_job(turn: Turn, command: PreemptCores) -> None:
    """J23 at once: everything is stopped, and the job is queued again after it."""
    job = turn.job
    moves: list[TaskMove] = []
    for record in job.tasks:
        if record.open and record.spec.type is not TaskType.NODE_RELEASE:
            moves.extend(stop_elements(turn, record, _how(record, command)))
    turn.emit(
        EventName.JOB_PREEMPTION_REQUESTED,
        path=(JobState.CANCELING,),
        patch={
            "pending_end": JobState.QUEUED,
            "request_cancel": CancelRequest.PREEMPTION,
            "forced": False,
            "graceful": False,
            **_told(command.text),
        },
        moves=moves,
        message=command.text,
    )


def _told(text: str) -> dict[str, Any]:
    text = text or "its cores were needed for another job"
    return told((codes.JOB_PREEMPTED, text), {"problem": text})


def give_up(turn: Turn) -> None:
    """Give back what the job owes and does not use; a node left empty is left."""
    job = turn.job
    if not job.owing:
        return
    owing = dict(job.owing)
    uses: dict[int, tuple[Any, ...]] = {}
    for node_id, count in job.owing.items():
        use = job.uses[node_id]
        if use.phase not in _KEPT:
            del owing[node_id]
            continue
        kept = kept_cores(job, use, count)
        owing[node_id] -= len(use.cores) - len(kept)
        if not owing[node_id]:
            del owing[node_id]
        if not kept:
            prepared = use.prepared and not job.preempted_now
            uses[node_id] = (use.cores, int(UsePhase.LEAVING), prepared)
        elif len(kept) < len(use.cores):
            uses[node_id] = (kept, int(use.phase), use.prepared)
    if owing != job.owing:
        patch = {"owing": owing, "has_shrunk": job.has_shrunk or bool(uses)}
        turn.emit(EventName.JOB_RESIZED, uses=uses, patch=patch)


def go_back_empty(turn: Turn) -> bool:
    """J23: a job that was to give up everything holds nothing any more."""
    job = turn.job
    if not job.yields_all or job.uses:
        return False
    _requeue(turn, (JobState.CANCELING, JobState.QUEUED), _told(""))
    return True


def requeue_preempted(turn: Turn) -> None:
    """J23: everything has stopped; its place in the queue is its old one."""
    _requeue(turn, (JobState.QUEUED,), {})


def _requeue(turn: Turn, path: tuple[JobState, ...], told: Mapping[str, Any]) -> None:
    job = turn.job
    patch = {
        "pending_end": None,
        "request_cancel": CancelRequest.NONE,
        "failure_reason": FailureReason.NONE,
        "start_time": None,
        **told,
    }
    turn.emit(
        EventName.JOB_PREEMPTED,
        path=path,
        patch=patch,
        uses=dict.fromkeys(job.uses),
        message=patch.get("error_message", job.error_message),
    )


def end_backfill(turn: Turn, _: EndBackfill) -> None:
    """Nobody waits before the job any more."""
    if turn.job.is_backfill:
        turn.emit(EventName.JOB_BACKFILL_OVER, patch={"is_backfill": False})
