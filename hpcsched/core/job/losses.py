"""What becomes of attempts that nobody will hear of again, or that never started.

lifecycle.md T22, T23 and 5.5; J20 and T15 for what was asked back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codes
from hpcsched.core.job.ending import may_rerun, requeued_move
from hpcsched.core.job.events import TaskMove
from hpcsched.core.job.locating import to_ranges
from hpcsched.core.job.numbering import may_have_ended
from hpcsched.core.job.recalling import way_back, way_of_unstarted
from hpcsched.core.job.service import replaces
from hpcsched.core.job.stopping import stopped_state
from hpcsched.core.task.elements import STARTED
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.job.recalling import Back
    from hpcsched.core.job.turn import Turn

S = TaskState
_Rows = list[tuple["TaskRecord", int]]


def lost_moves(turn: Turn, rows: _Rows, reason: EndReason) -> list[TaskMove]:
    """Return the moves of attempts that nobody will hear of again."""
    job = turn.job
    groups: dict[tuple[int, int, int, bool], list[int]] = {}
    back: _Rows = []
    for record, row in rows:
        table = job.table_of(record)
        state = table.state[row]
        if state == S.DISPATCHING and job.graceful and way_back(job, record, row):
            back.append((record, row))
            continue
        to = _end_of(turn, record, row, reason)
        fresh = state == S.CANCELING
        fresh &= table.get("origin", row) == CancelOrigin.REQUEUE
        key = (record.task_id, state, int(to), fresh)
        groups.setdefault(key, []).append(record.instance(row))
    moves = returned_moves(turn, back)
    code, text = codes.SYSTEM_ERRORS[reason]
    for (task_id, state, to_state, fresh), instances in groups.items():
        record = job.tasks[task_id - 1]
        ranges = to_ranges(sorted(instances))
        stopped = state == S.CANCELING
        path = (S(to_state),)
        if to_state == S.QUEUED:
            counter = "" if stopped else "auto"
            one = requeued_move(record, ranges, state, path, counter, fresh=fresh)
            one.why = 0 if stopped else turn.note(code, text)
        else:
            columns: dict[str, Any] = {"end": turn.now, "reason": int(reason)}
            if not stopped:
                columns["note"] = turn.note(code, text)
            if not stopped and to_state == S.CANCELED:
                columns["origin"] = int(CancelOrigin.NODE)
            one = TaskMove(
                task_id=task_id, ranges=ranges, was=state, path=path, columns=columns
            )
        moves.append(one)
    return moves


def _end_of(turn: Turn, record: TaskRecord, row: int, reason: EndReason) -> TaskState:
    """Return where an attempt goes that nobody will hear of again."""
    job = turn.job
    table = job.table_of(record)
    if table.state[row] == S.CANCELING:
        origin = table.get("origin", row)
        started = bool(table.get("flags", row) & STARTED)
        # It may have started unless its node is there and does not know of it: what
        # must not run twice does not run again (T23).
        if origin == CancelOrigin.PREEMPTION and not record.spec.is_rerunnable:
            started |= reason is not EndReason.STATUS_LOST
            started |= may_have_ended(turn, table.get("attempt", row))
        return stopped_state(job, table.get("pending", row), origin, started=started)
    if may_rerun(turn, record, row):
        return S.QUEUED
    return S.CANCELED if replaces(job, record) else S.FAILED


def returned_moves(turn: Turn, rows: _Rows) -> list[TaskMove]:
    """Return the moves of what was asked for and will never start."""
    groups: dict[tuple[int, Back], list[int]] = {}
    for record, row in rows:
        back = way_of_unstarted(turn.job, record)
        if back is not None:
            groups.setdefault((record.task_id, back), []).append(record.instance(row))
    moves = []
    for (task_id, back), instances in groups.items():
        ranges, was = to_ranges(sorted(instances)), int(S.DISPATCHING)
        if back.path[-1] is S.QUEUED:
            record = turn.job.tasks[task_id - 1]
            one = requeued_move(record, ranges, was, back.path, "", fresh=False)
        else:
            columns: dict[str, Any] = {
                **dict(back.columns),
                "note": turn.note(back.code, back.text),
            }
            columns |= {"end": turn.now, "reason": int(EndReason.NOT_STARTED)}
            one = TaskMove(
                task_id=task_id,
                ranges=ranges,
                was=was,
                path=back.path,
                columns=columns,
            )
        moves.append(one)
    return moves
