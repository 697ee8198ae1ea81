"""Attempts that a job has given up on a lost node, and that may live there (node_loss).

No job stays Canceling because of a lost node (lifecycle.md 5.5), so one that may not
run twice ends all the same. What it has given up is kept as a *doubt*: node to (task,
instance, attempt). While an attempt of a task may live, no other of it begins: the job
stays in the queue, and a running one does not take the task back. The doubt ends when
the node says that the attempt is not there (any more), or an administrator that nothing
is (``hpc node fence``). A job that may run twice has none, and pays for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import show
from hpcsched.core.job.states import NodeLoss
from hpcsched.core.reports import Ended

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from hpcsched.core.job.commands import SyncNode, TakeReports
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn


def doubted(
    job: Job, node_id: int, rows: Iterable[tuple[TaskRecord, int]]
) -> dict[str, Any]:
    """Return the field that keeps what is given up on a lost node, if it may live."""
    if job.spec.node_loss is NodeLoss.RERUN:
        return {}
    keys = [
        (
            record.task_id,
            record.instance(row),
            int(job.table_of(record).get("attempt", row)),
        )
        for record, row in rows
        if record.ordinary and record.spec.size  # a service never takes one up again
    ]
    if not keys:
        return {}
    return {"doubts": {**job.doubts, node_id: (*job.doubts.get(node_id, ()), *keys)}}


def end_doubts(turn: Turn, node_id: int, alive: Container[Any] = ()) -> None:
    """Forget what may live on a node, but for what does."""
    before = turn.job.doubts.get(node_id, ())
    left = tuple(key for key in before if key in alive)
    if len(left) == len(before):
        return
    doubts = {n: keys for n, keys in turn.job.doubts.items() if n != node_id}
    if left:
        doubts[node_id] = left
    turn.emit(EventName.ATTEMPTS_GONE, patch={"doubts": doubts})


def compare_doubts(turn: Turn, command: SyncNode) -> None:
    """The node is back, and says what lives there."""
    alive = {(a.task_id, a.instance_id, a.attempt) for a in command.live}
    end_doubts(turn, command.node_id, alive)


def hear_of_doubts(turn: Turn, command: TakeReports) -> None:
    """What has ended on its node lives no longer."""
    ended = {
        (report.task_id, instance, attempt)
        for report in command.reports
        if isinstance(report, Ended)
        for instance, attempt in zip(report.instances, report.attempts, strict=False)
    }
    before = turn.job.doubts.get(command.node_id, ())
    end_doubts(turn, command.node_id, [key for key in before if key not in ended])


def refuse_doubted(turn: Turn, record: TaskRecord, ranges: Ranges) -> None:
    """Refuse to take back elements of which an attempt may live.

    Raises:
        HpcError: ATTEMPT_MAY_LIVE.
    """
    job = turn.job
    if job.spec.node_loss is NodeLoss.RERUN:
        return
    for node_id, keys in job.doubts.items():
        for task_id, instance, _ in keys:
            here = any(first <= instance <= last for first, last in ranges)
            if task_id == record.task_id and here:
                task = show(job.job_id, (task_id, instance))
                node = _name_of(turn, node_id)
                raise HpcError("ATTEMPT_MAY_LIVE", task=task, node=node)


def _name_of(turn: Turn, node_id: int) -> str:
    nodes = () if turn.inventory is None else turn.inventory.nodes()
    return next((n.name for n in nodes if n.node_id == node_id), f"number {node_id}")
