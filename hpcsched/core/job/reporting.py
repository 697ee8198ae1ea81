"""Taking a node's reports: processes started, attempts ended (T6 to T11, T13 to T18).

Late, doubled and unknown reports are normal input: what names another attempt than the
current one, or an element that is not on that node, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.ahead import hear_of_it
from hpcsched.core.job.doubting import hear_of_doubts
from hpcsched.core.job.ending import TIME_LIMIT, Ending
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.front import queued_front
from hpcsched.core.job.locating import current_row, to_ranges
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.pernode import blames_node
from hpcsched.core.job.service import pace
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.job.told import sane_core, told_cores
from hpcsched.core.reports import Ended, Started
from hpcsched.core.task.elements import STARTED, WHOLE
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.commands import TakeReports
    from hpcsched.core.job.model import NodeUse
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.elements import ElementTable

S = TaskState
_Attempt = tuple[int, int, int]


def take_reports(turn: Turn, command: TakeReports) -> None:
    """Fold the reports of one node, one event per kind."""
    if turn.job.ahead:
        hear_of_it(turn, command)
    if turn.job.doubts:
        hear_of_doubts(turn, command)
    use = turn.job.uses.get(command.node_id)
    if use is not None:
        use.news, use.asked = turn.now, False
    started = [r for r in command.reports if isinstance(r, Started)]
    ended = [r for r in command.reports if isinstance(r, Ended)]
    also: set[_Attempt] = {
        (r.task_id, i, a)
        for r in ended
        for i, a in zip(r.instances, r.attempts, strict=False)
    }
    moves: list[TaskMove] = []
    for report in started:
        moves.extend(_started(turn, report, command.node_id, also))
    if moves:
        turn.emit(EventName.TASKS_STARTED, moves=moves)
    moves = []
    seen: set[tuple[int, int]] = set()
    used = [turn.job.user_ms, turn.job.kernel_ms, turn.job.memory_kib]
    for end in ended:
        ending = Ending(turn, end, command.node_id, seen)
        moves.extend(ending.moves())
        for at, more in enumerate(ending.used):
            used[at] += more
    if moves:
        patch = queued_front(turn.job, moves)
        patch["user_ms"], patch["kernel_ms"], patch["memory_kib"] = used
        tasks, text = pace(turn, moves)
        name = EventName.TASKS_ENDED
        turn.emit(name, moves=moves, patch=patch, tasks=tasks, message=text)
    _preparations(turn, moves, command)


def _started(
    turn: Turn, report: Started, node_id: int, told: set[_Attempt]
) -> list[TaskMove]:
    """T6; those whose end came along are left to it."""
    job = turn.job
    found: dict[tuple[int, bool], list[tuple[int, float, int]]] = {}
    sets: dict[int, tuple[int, ...]] = {}
    columns = zip(
        report.instances, report.attempts, report.times, report.cores, strict=False
    )
    for position, (instance, attempt, time, core) in enumerate(columns):
        key = (report.task_id, instance, attempt)
        at = current_row(job, *key, node_id)
        if at is None or key in told:
            continue
        told.add(key)
        record, row = at
        table = job.table_of(record)
        state = table.state[row]
        known = table.get("flags", row) & STARTED
        if state in (S.DISPATCHING, S.CANCELING) and not known:
            seen = (instance, sane_time(time, turn.now), sane_core(core))
            whole = False
            if report.widths:
                whole, others = told_cores(record, table, row, report, position)
                if others:
                    sets[instance] = others
            found.setdefault((state, whole), []).append(seen)
    task_id = report.task_id
    return [
        started_move(task_id, state, rows, whole=whole, sets=sets)
        for (state, whole), rows in found.items()
    ]


def started_move(
    task_id: int,
    state: int,
    rows: list[tuple[int, float, int]],
    *,
    whole: bool = False,
    sets: Mapping[int, tuple[int, ...]] | None = None,
) -> TaskMove:
    """Return the move of processes that have started: (instance, time, core + 1).

    Of ``whole`` ones the ids of all cores are known: those that do not follow the first
    one are in ``sets``, by instance. One that is being stopped stays so; that it ran
    decides where it ends (T15).
    """
    rows.sort()
    return TaskMove(
        task_id=task_id,
        ranges=to_ranges([instance for instance, _, _ in rows]),
        was=state,
        path=(S.RUNNING,) if state == S.DISPATCHING else (),
        columns={
            "start": [time for _, time, _ in rows],
            "core": [core for _, _, core in rows],
        },
        flags=STARTED | WHOLE if whole else STARTED,
        sets={i: sets[i] for i, _, _ in rows if i in sets} if whole and sets else {},
    )


def sane_time(time: float, now: float) -> float:
    """Return a node's time, or ours where it cannot be one."""
    return time if 0.0 < time < TIME_LIMIT else now


def _preparations(turn: Turn, moves: list[TaskMove], command: TakeReports) -> None:
    """A node preparation has ended: the node is ready, or goes."""
    job = turn.job
    prep = job.typed(TaskType.NODE_PREP)
    for one in moves:
        use = job.uses.get(command.node_id)
        if prep is None or use is None or one.task_id != prep.task_id:
            continue
        if one.path[-1] is S.FINISHED:
            phase = use.phase
            if phase is UsePhase.PREPARING:
                phase = UsePhase.READY
            node = {use.node_id: (use.cores, int(phase), True)}
            turn.emit(EventName.NODE_PREPARED, uses=node)
        elif job.state is JobState.RUNNING and blames_node(*_ended_row(turn, one)):
            turn.emit(
                EventName.NODE_PREP_FAILED,
                patch={"excluded": (*job.excluded, command.node)},
                uses={use.node_id: None},
                message=f"node preparation failed on {command.node}",
            )
        else:
            _leave(turn, use, released=_was_stopped(turn, one))


def _leave(turn: Turn, use: NodeUse, *, released: bool) -> None:
    leaving: dict[int, tuple[Any, ...]] = {
        use.node_id: (use.cores, int(UsePhase.LEAVING), released)
    }
    turn.emit(EventName.NODE_RELEASING, uses=leaving)


def _was_stopped(turn: Turn, one: TaskMove) -> bool:
    """Did the job stop its preparation? The node is released all the same (S3 13).

    What it has half done there is the release's to undo. At an immediate preemption
    nothing is released.
    """
    table, row = _ended_row(turn, one)
    request = table.get("request", row)
    return one.was == S.CANCELING and request != CancelRequest.PREEMPTION


def _ended_row(turn: Turn, one: TaskMove) -> tuple[ElementTable, int]:
    prep = turn.job.tasks[one.task_id - 1]
    return turn.job.table_of(prep), prep.row(one.ranges[-1][1])
