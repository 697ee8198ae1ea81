"""Taking back what waits on a node behind tasks that take longer than expected.

Some elements are sent ahead of free cores, as many as would start within a moment,
judged by those before them. Where those that follow take long, what waits there would
wait for that node alone, whatever else is idle. So when the job has nothing left to
send, and a node on which something waits has told no news for a second, the node is
asked to give that back. It does so only with what it has not started, and says so in
its journal before it tells us; only then is it queued again, as another attempt.

That an attempt was asked for is kept with its row, so that a restart asks again. The
question is asked once: a node that says nothing has started what it was asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.locating import rows_on, to_ranges
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.task.elements import RECALLED
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job, NodeUse
    from hpcsched.core.job.turn import Turn

QUIET_S: Final = 1.0
"""A node that has told no news of the job for so long is busy with long tasks."""
LONG_S: Final = 60.0
"""What tasks are taken to last after that, until some have ended: nothing is sent ahead
of free cores then."""


def recall_time(job: Job) -> float | None:
    """Return when something is to be taken back unless there is news before; or None.

    0.0 where nobody knows since when there has been no news.
    """
    if not job.counts[TaskState.DISPATCHING] or job.counts[TaskState.QUEUED]:
        return None
    times = [use.news + QUIET_S if use.news else 0.0 for use in _crowded(job)]
    return min(times, default=None)


def _crowded(job: Job) -> Iterator[NodeUse]:
    """Yield nodes on which something waits that nobody has asked for yet."""
    if job.state is JobState.RUNNING and job.spec.job_type is not JobType.ADMIN:
        for use in job.uses.crowded.values():
            if not use.asked and not use.phase.lost:
                yield use


def take_back(turn: Turn) -> None:
    """Ask nodes without news for what waits there, if it is time."""
    job = turn.job
    due = recall_time(job)
    if due is None or due > turn.now:
        return
    moves: list[TaskMove] = []
    for use in list(_crowded(job)):
        if not use.news:
            use.news = turn.now  # the job was just loaded: it begins to count
        elif use.news + QUIET_S <= turn.now:
            use.asked = True
            job.mean_run = max(job.mean_run, LONG_S)
            moves += _asked(job, use)
    if moves:
        turn.emit(EventName.TASKS_RECALLED, moves=moves)


def _asked(job: Job, use: NodeUse) -> list[TaskMove]:
    """Return the moves that note what is asked for: the latest, as much as waits."""
    excess = use.busy - len(use.cores)
    waiting = []
    for record, row in rows_on(job, use.node_id):
        table = job.table_of(record)
        if table.state[row] == TaskState.DISPATCHING and record.width(table, row):
            waiting.append((record.task_id, row))
    found: dict[int, list[int]] = {}
    for task_id, row in reversed(waiting):
        if excess <= 0:
            break
        record = job.tasks[task_id - 1]
        table = job.table_of(record)
        excess -= record.width(table, row)
        if not table.get("flags", row) & RECALLED:
            found.setdefault(task_id, []).append(record.instance(row))
    return [
        TaskMove(
            task_id=task_id,
            ranges=to_ranges(sorted(instances)),
            was=TaskState.DISPATCHING,
            flags=RECALLED,
        )
        for task_id, instances in found.items()
    ]
