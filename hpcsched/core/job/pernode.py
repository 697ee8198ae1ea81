"""Node preparation and release (lifecycle.md 5.3): one subtask per node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.job.uses import Shelf
from hpcsched.core.task.elements import SENT
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.task.elements import ElementTable


def prepare(turn: Turn) -> None:
    """Start the node preparation on new nodes; without one they are ready."""
    job = turn.job
    new = job.uses.on(Shelf.NEW)
    if not new:
        return
    prep = job.typed(TaskType.NODE_PREP)
    if prep is None or prep.canceled:
        uses = {u.node_id: (u.cores, int(UsePhase.READY), True) for u in new}
        turn.emit(EventName.NODE_PREPARED, uses=uses)
        return
    uses = {u.node_id: (u.cores, int(UsePhase.PREPARING), False) for u in new}
    turn.emit(
        EventName.TASKS_DISPATCHED,
        moves=_per_node(prep, [u.node_id for u in new]),
        uses=uses,
    )


def _per_node(record: TaskRecord, nodes: list[int]) -> list[TaskMove]:
    """Return the move that makes and dispatches one new subtask per node."""
    first = record.count + 1
    return [
        TaskMove(
            task_id=record.task_id,
            ranges=((first, first + len(nodes) - 1),),
            path=(TaskState.QUEUED, TaskState.DISPATCHING),
            columns={"node": nodes},
            flags=SENT,
        )
    ]


def blames_node(table: ElementTable, row: int) -> bool:
    """Did a preparation that has ended fail (5.3), or was it stopped, or its node gone?

    One that was canceled by name counts as failed.
    """
    origin = table.get("origin", row)
    if origin:
        return bool(origin == CancelOrigin.USER_TASK)
    reason = table.get("reason", row)
    return reason == EndReason.NOT_STARTED or reason not in codes.SYSTEM_ERRORS


def release(turn: Turn) -> None:
    """Leaving nodes: wait for what runs there, run the release task, give them back."""
    job = turn.job
    left = job.uses.on(Shelf.LEFT)
    if not left:
        return
    record = job.typed(TaskType.NODE_RELEASE)
    wanted = wants_release(job) and turn.settings.release_s > 0
    start: list[int] = []
    uses: dict[int, tuple[Any, ...] | None] = {}
    for use in left:
        if wanted and use.prepared:
            start.append(use.node_id)
            uses[use.node_id] = (use.cores, int(UsePhase.RELEASING), use.prepared)
        else:
            uses[use.node_id] = None
    moves = _per_node(record, start) if record is not None and start else []
    turn.emit(EventName.NODE_RELEASING, moves=moves, uses=uses)


def wants_release(job: Job) -> bool:
    """Does its node release run: not by force, not where it is preempted at once?"""
    record = job.typed(TaskType.NODE_RELEASE)
    if record is None or record.canceled or job.forced:
        return False
    ends = job.state is JobState.CANCELING and job.pending_end is JobState.QUEUED
    return not (ends and job.request_cancel is CancelRequest.PREEMPTION)


def drop_abandoned(turn: Turn) -> bool:
    """Give back nodes whose preparation or release has come to an end otherwise.

    A release that has ended, as much as one that was lost with the node's memory.
    """
    over = turn.job.uses.on(Shelf.OVER)
    if not over:
        return False
    turn.emit(EventName.NODE_DROPPED, uses={use.node_id: None for use in over})
    return True
