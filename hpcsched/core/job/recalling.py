"""Taking back what waits on a node, and nothing that has started there.

The head hears of a start a moment after it. So what it has dispatched may run, whatever
the record says, and must not be stopped where what runs may go on: its node is asked to
give it back, and knows. It is so where work waits behind tasks that take longer than
expected, where a node is drained, and where a job is to end gracefully (J20, J22).

Some elements are sent ahead of free cores, as many as would start within a moment,
judged by those before them. Where those that follow take long, what waits there would
wait for that node alone, whatever else is idle. So when the job has nothing left to
send, and a node on which something waits has told no news for a second, the node is
asked to give that back. It does so only with what it has not started, and says so in
its journal before it tells us; only then is it queued again, as another attempt.

That an attempt was asked for is kept with its row, so that a restart asks again. The
question is asked once: a node that says nothing has started what it was asked about. A
node that comes back and does not know the attempt never will: that is an answer, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.locating import rows_on, to_ranges
from hpcsched.core.job.states import CancelRequest, JobState, JobType
from hpcsched.core.task.elements import RECALLED
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
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
    return [asked_of(task_id, instances) for task_id, instances in found.items()]


def asked_of(task_id: int, instances: Sequence[int]) -> TaskMove:
    """Return the move that asks for elements of one task."""
    return asking(task_id, to_ranges(sorted(instances)))


def asking(task_id: int, ranges: Ranges) -> TaskMove:
    """Return the move that asks for dispatched elements which may have started."""
    return TaskMove(
        task_id=task_id, ranges=ranges, was=TaskState.DISPATCHING, flags=RECALLED
    )


class Back(NamedTuple):
    """Where an attempt goes that was asked for and never started.

    Attributes:
        path: States that it passes; those that end in QUEUED run again.
        code, text: Why it ends; 0: it does not.
        columns: What else is known of its end.
    """

    path: tuple[TaskState, ...]
    code: int = 0
    text: str = ""
    columns: tuple[tuple[str, int], ...] = ()


def way_back(job: Job, record: TaskRecord, row: int) -> Back | None:
    """Return where what was asked for goes; None: nobody has asked."""
    asked = job.table_of(record).get("flags", row) & RECALLED
    return way_of_unstarted(job, record) if asked else None


def way_of_unstarted(job: Job, record: TaskRecord) -> Back | None:
    """Return where an attempt goes that never will start; None: another is due.

    It is queued again, and that is nobody's fault; but an instance of a service is
    followed by a new one, and in a job that ends gracefully nothing starts any more
    (T15). It was stopped then, as far as anybody can see.
    """
    if job.state is JobState.RUNNING:
        if not record.ordinary:
            return None
        if record.spec.type is not TaskType.SERVICE:
            return Back((TaskState.QUEUED,))
        text = "it had not started when its node was given up"
        request = CancelRequest.NODE_NOT_USABLE_BY_JOB
        return _stopped(codes.NODE_NOT_USABLE, text, CancelOrigin.NODE, request)
    if not job.graceful:
        return None
    code, text = codes.TASKS_JOB_CANCELED, "its job was canceled"
    if job.pending_end is JobState.FINISHED:
        code, text = codes.FINISHED_DURING_EXECUTION, "its job was finished"
    text = job.error_message or text
    return _stopped(code, text, CancelOrigin.USER_JOB, job.request_cancel)


def _stopped(
    code: int, text: str, origin: CancelOrigin, request: CancelRequest
) -> Back:
    columns = (("origin", int(origin)), ("request", int(request)))
    return Back((TaskState.CANCELING, TaskState.CANCELED), code, text, columns)
