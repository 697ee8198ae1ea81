"""What happens to a job when a node is lost, taken away, or back (T22 to T25, 9.1)."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codes
from hpcsched.core.job.ahead import compare_it, lose_it
from hpcsched.core.job.cutting import cut_moves
from hpcsched.core.job.doubting import compare_doubts, doubted, end_doubts
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.front import queued_front
from hpcsched.core.job.holding import held_rows
from hpcsched.core.job.locating import rows_on, to_ranges
from hpcsched.core.job.losses import lost_moves, returned_moves
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.numbering import may_have_ended
from hpcsched.core.job.recalling import asked_of, way_back, way_of_unstarted
from hpcsched.core.job.reporting import sane_time, started_move
from hpcsched.core.job.states import CancelRequest, JobState, NodeLoss
from hpcsched.core.job.stopping import stopped_state
from hpcsched.core.job.told import sane_core, told_live
from hpcsched.core.job.uses import Shelf
from hpcsched.core.task.elements import RECALLED, STARTED
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.commands import EvictNode, LoseNode, SyncNode
    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
    from hpcsched.core.job.turn import Turn

S = TaskState
_Rows = list[tuple["TaskRecord", int]]
_Uses = dict[int, tuple[Any, ...] | None]


def lose_node(turn: Turn, command: LoseNode) -> None:
    """T22, T23 and 5.5: old attempts are fenced by number; no release runs there.

    A job that must never overlap keeps what ran there until the node is back or fenced,
    and gives up only what is being stopped for good; that may live (``doubting``).
    """
    job = turn.job
    if job.doubts and command.fenced:
        end_doubts(turn, command.node_id)
    if job.ahead:
        lose_it(turn, command)
    use = job.uses.get(command.node_id)
    rows = list(rows_on(job, command.node_id))
    beside = list(held_rows(job, command.node_id))
    lost, cut = rows, beside
    if job.spec.node_loss is not NodeLoss.RERUN and not command.fenced:
        lost = [one for one in rows if _given_up(job, *one)]
        cut = [one for one in beside if _given_up(job, *one)]
    moves = lost_moves(turn, lost, EndReason.NODE_LOST)
    moves += cut_moves(turn, cut, command.node_id, EndReason.NODE_LOST)
    doubts = {} if command.fenced else doubted(job, command.node_id, lost)
    uses: _Uses = {}
    if use is not None and len(lost) + len(cut) == len(rows) + len(beside):
        uses[use.node_id] = None
    elif use is not None and not use.phase.lost:
        leaving = use.phase is UsePhase.LEAVING
        phase = UsePhase.LOST_LEAVING if leaving else UsePhase.LOST
        uses[use.node_id] = _phase(use, phase)
    if moves or uses:
        turn.emit(
            EventName.TASKS_LOST,
            moves=moves,
            uses=uses,
            patch={**queued_front(job, moves), **doubts},
            message=f"node {command.node} became unreachable",
        )


def _given_up(job: Job, record: TaskRecord, row: int) -> bool:
    """May an attempt on a lost node be given up although the job holds them?

    One that is to be followed by another is not, as long as the job runs.
    """
    if not record.ordinary or job.state is not JobState.RUNNING:
        return True
    table = job.table_of(record)
    if table.state[row] != S.CANCELING:
        return False
    started = bool(table.get("flags", row) & STARTED)
    pending, origin = table.get("pending", row), table.get("origin", row)
    to = stopped_state(job, pending, origin, started=started)
    return job.spec.node_loss is NodeLoss.RERUN or to != S.QUEUED


def _phase(use: NodeUse, phase: UsePhase) -> tuple[Any, ...]:
    return (use.cores, int(phase), use.prepared)


def give_up_lost(turn: Turn) -> bool:
    """Apply the pending ends of what is being stopped on lost nodes at once (5.5)."""
    job = turn.job
    lost = job.uses.on(Shelf.LOST)
    if not lost:
        return False
    stopped = False
    for use in lost:  # one by one: an attempt may have cores on several of them
        rows = [one for one in rows_on(job, use.node_id) if _given_up(job, *one)]
        moves = lost_moves(turn, rows, EndReason.NODE_LOST)
        cut = [one for one in held_rows(job, use.node_id) if _given_up(job, *one)]
        moves += cut_moves(turn, cut, use.node_id, EndReason.NODE_LOST)
        if moves:
            stopped = True
            patch = {**queued_front(job, moves), **doubted(job, use.node_id, rows)}
            turn.emit(EventName.TASKS_LOST, moves=moves, patch=patch)
    empty: _Uses = {use.node_id: None for use in lost if not use.live}
    if empty:
        turn.emit(EventName.NODE_DROPPED, uses=empty)
    return bool(stopped or empty)


def evict_node(turn: Turn, command: EvictNode) -> None:
    """T24, T25: stop what runs there; rerunnable tasks are queued again.

    While a node drains nothing is stopped: it is asked for what it has not started.
    """
    use = turn.job.uses.get(command.node_id)
    if use is None:
        return
    text = command.why or f"node {command.node} was taken offline"
    moves, encoded = leaving(turn, use, text, drain=command.drain)
    if moves or encoded is not None:
        uses: _Uses = {} if encoded is None else {use.node_id: encoded}
        patch = {} if turn.job.eased else {"eased": True}
        turn.emit(EventName.NODE_RELEASING, moves=moves, uses=uses, patch=patch)


def leaving(
    turn: Turn, use: NodeUse, text: str, *, drain: bool = False
) -> tuple[list[TaskMove], tuple[Any, ...] | None]:
    """Return the moves and the change of a node that the job has to leave.

    Args:
        turn: Of the job.
        use: What it holds there.
        text: Why, for tasks that end because of it.
        drain: What runs there may end.
    """
    phase = UsePhase.LEAVING
    if use.phase is UsePhase.RELEASING:
        phase = UsePhase.RELEASING
    moves = []
    if use.phase.lost:
        phase = UsePhase.LOST_LEAVING  # what runs there nobody can stop now
    elif drain:
        moves = _asked_back(turn.job, use.node_id)
    else:
        moves = _evictions(turn, use.node_id, text)
    return moves, None if phase is use.phase else _phase(use, phase)


def _asked_back(job: Job, node_id: int) -> list[TaskMove]:
    """Ask for what could start elsewhere; what has started there may end (drain)."""
    found: dict[int, list[int]] = {}
    if job.state is not JobState.RUNNING:
        return []
    for record, row in chain(rows_on(job, node_id), held_rows(job, node_id)):
        table = job.table_of(record)
        waits = table.state[row] == S.DISPATCHING and record.ordinary
        asked = table.get("flags", row) & RECALLED
        if waits and not asked and not record.spec.node:
            found.setdefault(record.task_id, []).append(record.instance(row))
    return [asked_of(task_id, instances) for task_id, instances in found.items()]


def _evictions(turn: Turn, node_id: int, text: str) -> list[TaskMove]:
    job = turn.job
    groups: dict[tuple[int, int, bool], list[int]] = {}
    everything = (rows_on(job, node_id), held_rows(job, node_id))
    for record, row in chain(*everything):
        state = job.table_of(record).state[row]
        again = record.spec.is_rerunnable and record.ordinary
        again = again and job.state is JobState.RUNNING and not record.spec.node
        release = record.spec.type is TaskType.NODE_RELEASE
        if not (release or state == S.CANCELING):
            key = (record.task_id, state, again)
            groups.setdefault(key, []).append(record.instance(row))
    end = S.FINISHED if job.pending_end is JobState.FINISHED else S.FAILED
    moves = []
    for (task_id, state, again), instances in groups.items():
        record = job.tasks[task_id - 1]
        columns = {
            "origin": int(CancelOrigin.NODE),
            "request": int(CancelRequest.NODE_NOT_USABLE_BY_JOB),
            "pending": int(S.QUEUED if again else end),
        }
        if again and not record.spec.size:  # a service: a new one takes its place
            columns["pending"] = int(S.CANCELED)
        if columns["pending"] != S.QUEUED:
            columns["note"] = turn.note(codes.NODE_NOT_USABLE, text)
        moves.append(
            TaskMove(
                task_id=task_id,
                ranges=to_ranges(sorted(instances)),
                was=state,
                path=(S.CANCELING,),
                columns=columns,
            )
        )
    return moves


def sync_node(turn: Turn, command: SyncNode) -> tuple[list[tuple[int, int, int]], bool]:
    """Compare what a node says with the record (node-agent.md 9.1).

    Returns:
        Attempts (task, instance, attempt) that live there and should not, and whether
        the job has anything at all on the node.
    """
    job = turn.job
    waits = compare_it(turn, command) if job.ahead else None
    if job.doubts:
        compare_doubts(turn, command)
    live = {(a.task_id, a.instance_id, a.attempt): a for a in command.live}
    lost: _Rows = []
    back: _Rows = []
    started: dict[tuple[int, int, bool], list[tuple[int, float, int]]] = {}
    sets: dict[int, dict[int, tuple[int, ...]]] = {}
    known: set[tuple[int, int, int]] = set()
    for record, row in rows_on(job, command.node_id):
        table = job.table_of(record)
        key = (record.task_id, record.instance(row), table.get("attempt", row))
        there = live.get(key)
        known.add(key)
        state = table.state[row]
        if there is None:
            if not _never_came(turn, command, record, row):
                lost.append((record, row))
            elif _is_given_back(job, command.node_id, record, row):
                back.append((record, row))
        elif there.running and not table.get("flags", row) & STARTED:
            time = sane_time(there.start_time, turn.now)
            seen = (key[1], time, sane_core(there.core))
            whole, others = told_live(record, table, row, there)
            if others:
                sets.setdefault(record.task_id, {})[key[1]] = others
            started.setdefault((record.task_id, state, whole), []).append(seen)
    reason = EndReason.NODE_REBOOTED if command.rebooted else EndReason.STATUS_LOST
    moves = lost_moves(turn, lost, reason)
    if command.rebooted:
        cut = list(held_rows(job, command.node_id))
        moves += cut_moves(turn, cut, command.node_id, reason)
    moves += [
        started_move(task_id, state, found, whole=whole, sets=sets.get(task_id))
        for (task_id, state, whole), found in started.items()
    ]
    _return(turn, back)
    uses = _found_again(job, command.node_id)
    if moves or uses:
        name = (
            EventName.TASKS_LOST
            if lost or command.rebooted
            else EventName.TASKS_STARTED
        )
        turn.emit(name, moves=moves, uses=uses, patch=queued_front(job, moves))
    strangers = [key for key in live if key not in known and key != waits]
    return strangers, command.node_id in job.uses or waits is not None


def _is_given_back(job: Job, node_id: int, record: TaskRecord, row: int) -> bool:
    """Is what its node does not know sent there no more?

    It would start before it is asked for again; or the job has to leave a node that was
    taken away while it was lost.
    """
    if way_back(job, record, row) is not None:
        return True
    use = job.uses.get(node_id)
    if use is None or use.phase is not UsePhase.LOST_LEAVING or record.spec.node:
        return False
    return way_of_unstarted(job, record) is not None


def _return(turn: Turn, back: _Rows) -> None:
    if moves := returned_moves(turn, back):
        turn.emit(EventName.TASKS_ENDED, moves=moves)


def _never_came(turn: Turn, command: SyncNode, record: TaskRecord, row: int) -> bool:
    """Has the start of what is not there never arrived?

    Then it is sent again; but never to another boot, nor where it may have arrived
    since a backup.
    """
    table = turn.job.table_of(record)
    if table.state[row] != S.DISPATCHING or command.rebooted:
        return False
    return not may_have_ended(turn, table.get("attempt", row))


def _found_again(job: Job, node_id: int) -> _Uses:
    """Return how a node is used that was lost, and is back."""
    use = job.uses.get(node_id)
    if use is None or not use.phase.lost:
        return {}
    leaving = use.phase is UsePhase.LOST_LEAVING
    return {node_id: _phase(use, UsePhase.LEAVING if leaving else UsePhase.READY)}
