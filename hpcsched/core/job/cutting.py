"""Attempts that span nodes and have lost one beside their own (T22, T23).

The process of such an attempt still runs on its own node, so the attempt is stopped
there first; as soon as it has ended the task is queued again, or has failed. A loss is
a system error: it counts against TaskRetryCount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codes
from hpcsched.core.job.ending import may_rerun
from hpcsched.core.job.events import TaskMove
from hpcsched.core.job.states import CancelRequest
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.elements import Place

S = TaskState


def cut_moves(
    turn: Turn,
    rows: Iterable[tuple[TaskRecord, int]],
    node_id: int,
    reason: EndReason,
) -> list[TaskMove]:
    """Return the moves of attempts that have lost a node beside their own.

    What is being stopped already keeps its end; the lost node is no longer held for it.
    """
    job = turn.job
    groups: dict[tuple[int, int, bool], dict[int, Place]] = {}
    for record, row in rows:
        table = job.table_of(record)
        state = table.state[row]
        again = state != S.CANCELING and may_rerun(turn, record, row)
        left = tuple(
            (node, () if node == node_id else cores)
            for node, cores in table.places[row]
        )
        key = (record.task_id, state, again)
        groups.setdefault(key, {})[record.instance(row)] = left
    moves = []
    code, text = codes.SYSTEM_ERRORS[reason]
    for (task_id, state, again), places in groups.items():
        instances = sorted(places)
        columns: dict[str, Any] = {}
        if state != S.CANCELING:
            columns = {
                "origin": int(CancelOrigin.NODE),
                "request": int(CancelRequest.RESOURCE_FAILURE),
                "pending": int(S.QUEUED if again else S.FAILED),
            }
            if not again:
                columns["note"] = turn.note(code, text)
        moves.append(
            TaskMove(
                task_id=task_id,
                ranges=tuple((i, i) for i in instances),
                was=state,
                path=() if state == S.CANCELING else (S.CANCELING,),
                columns=columns,
                bump=("auto",) if again else (),
                places=places,
            )
        )
    return moves
