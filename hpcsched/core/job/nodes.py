"""What happens to a job when a node is lost, taken away, or back (T22 to T25, 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import PER_NODE, UsePhase
from hpcsched.core.job.placing import rows_on
from hpcsched.core.job.reporting import may_rerun, to_ranges
from hpcsched.core.job.states import CancelRequest, JobState, NodeLoss
from hpcsched.core.job.stopping import stopped_state
from hpcsched.core.task.elements import STARTED
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.commands import EvictNode, LoseNode, SyncNode
    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.job.turn import Turn

S = TaskState
_Groups = dict[tuple[int, int, int, str], list[int]]


def lose_node(turn: Turn, command: LoseNode) -> None:
    """T22, T23 and 5.5: the old attempts are fenced by their number; no release runs there."""
    job = turn.job
    held = job.uses.get(command.node_id)
    keep = job.spec.node_loss is not NodeLoss.RERUN
    rows = [(record, row) for record, row in rows_on(job, command.node_id)]
    if keep:
        rows = [
            (t, row) for t, row in rows if job.table_of(t).state[row] == S.CANCELING
        ]
    moves = _lose_rows(turn, rows, EndReason.NODE_LOST)
    stays = (
        keep
        and held is not None
        and len(rows) < len(list(rows_on(job, command.node_id)))
    )
    uses = {command.node_id: None} if held is not None and not stays else {}
    if moves or uses:
        text = f"node {command.node} became unreachable"
        turn.emit(EventName.TASKS_LOST, moves=moves, uses=uses, message=text)


def _lose_rows(
    turn: Turn, rows: list[tuple[TaskRecord, int]], reason: EndReason
) -> list[TaskMove]:
    """Return the moves of attempts that nobody will hear of again."""
    job = turn.job
    groups: dict[tuple[int, int, int], list[int]] = {}
    for record, row in rows:
        table = job.table_of(record)
        state = table.state[row]
        if state == S.CANCELING:
            started = bool(table.get("flags", row) & STARTED)
            to = stopped_state(table.get("pending", row), started=started)
        else:
            to = S.QUEUED if may_rerun(turn, record, row) else S.FAILED
        groups.setdefault((record.task_id, state, int(to)), []).append(
            record.instance(row)
        )
    moves = []
    code, text = codes.SYSTEM_ERRORS[reason]
    for (task_id, state, to_state), instances in groups.items():
        ranges = to_ranges(sorted(instances))
        stopped = state == S.CANCELING
        if to_state == S.QUEUED:
            one = TaskMove(
                task_id=task_id,
                ranges=ranges,
                was=state,
                path=(S.QUEUED,),
                clear=True,
                bump=("attempt",) if stopped else ("attempt", "auto"),
            )
        else:
            columns = {"end": turn.now, "reason": int(reason)}
            if not stopped:
                columns["note"] = turn.note(code, text)
            one = TaskMove(
                task_id=task_id,
                ranges=ranges,
                was=state,
                path=(TaskState(to_state),),
                columns=columns,
            )
        moves.append(one)
    return moves


def evict_node(turn: Turn, command: EvictNode) -> None:
    """T24, T25: stop what runs there; rerunnable tasks are queued again."""
    job = turn.job
    use = job.uses.get(command.node_id)
    if use is None:
        return
    moves = []
    if job.state is JobState.RUNNING:
        groups: dict[tuple[int, int, bool], list[int]] = {}
        for record, row in rows_on(job, command.node_id):
            state = job.table_of(record).state[row]
            spared = command.drain and (state != S.DISPATCHING or not record.ordinary)
            if spared or state == S.CANCELING or record is job.typed(PER_NODE[1]):
                continue
            again = record.spec.is_rerunnable and record.ordinary
            groups.setdefault((record.task_id, state, again), []).append(
                record.instance(row)
            )
        text = f"node {command.node} was taken offline"
        for (task_id, state, again), instances in groups.items():
            columns = {
                "origin": int(CancelOrigin.NODE),
                "request": int(CancelRequest.NODE_NOT_USABLE_BY_JOB),
                "pending": int(S.QUEUED if again else S.FAILED),
            }
            if not again:
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
    phase = use.phase if use.phase is UsePhase.RELEASING else UsePhase.LEAVING
    uses = {use.node_id: (use.cores, int(phase), use.prepared)}
    turn.emit(EventName.NODE_RELEASING, moves=moves, uses=uses)


def sync_node(turn: Turn, command: SyncNode) -> tuple[list[tuple[int, int, int]], bool]:
    """Compare what a node says with the record (node-agent.md 9.1).

    Returns:
        Attempts (task, instance, attempt) that live there and should not, and whether the
        job has anything at all on the node.
    """
    job = turn.job
    live = {(a.task_id, a.instance_id, a.attempt): a for a in command.live}
    lost: list[tuple[TaskRecord, int]] = []
    started: dict[int, list[tuple[int, float, int]]] = {}
    known: set[tuple[int, int, int]] = set()
    for record, row in rows_on(job, command.node_id):
        table = job.table_of(record)
        key = (record.task_id, record.instance(row), table.get("attempt", row))
        there = live.get(key)
        known.add(key)
        state = table.state[row]
        if there is None:
            # A start that never arrived is sent again, but never to another boot.
            if state != S.DISPATCHING or command.rebooted:
                lost.append((record, row))
        elif there.running and state == S.DISPATCHING:
            seen = (key[1], there.start_time, there.core + 1)
            started.setdefault(record.task_id, []).append(seen)
    moves = _lose_rows(turn, lost, EndReason.STATUS_LOST)
    for task_id, found in started.items():
        found.sort()
        moves.append(
            TaskMove(
                task_id=task_id,
                ranges=to_ranges([instance for instance, _, _ in found]),
                was=S.DISPATCHING,
                path=(S.RUNNING,),
                columns={
                    "start": [t for _, t, _ in found],
                    "core": [c for _, _, c in found],
                },
                flags=STARTED,
            )
        )
    if moves:
        turn.emit(
            EventName.TASKS_LOST if lost else EventName.TASKS_STARTED, moves=moves
        )
    strangers = [key for key in live if key not in known]
    return strangers, command.node_id in job.uses
