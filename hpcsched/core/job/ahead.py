"""A queued job that is sent to a node before a core is free there.

Jobs of one small task come and go so fast that a core would mostly wait: for the commit
of an end, for the next grant and its commit, for the way to the node. So the next ones
of the queue may wait on the node itself, which starts each as soon as one of the named
cores is idle. Nothing else changes: such a job is Queued, it holds nothing, and it is
as if its grant were still on its way. When the node tells that the task has started,
the job has started, then and on that core (J8).

The node's answer decides what became of it. So whoever wants anything else of the job
waits until the node has given it back (``RecallAhead``) or has started it; the actor
sees to that. What is given back was never started, and is queued as it was, as another
attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.numbering import may_have_ended
from hpcsched.core.job.starting import started_patch
from hpcsched.core.job.states import JobState, JobType, NodeLoss
from hpcsched.core.job.waiting import held_back
from hpcsched.core.reports import Ended
from hpcsched.core.task.elements import RECALLED, SENT
from hpcsched.core.task.states import EndReason, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.commands import LoseNode, SendAhead, SyncNode, TakeReports
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

_TASK: Final = 1
_PLAIN: Final = ((0, 0),)


def may_go_ahead(job: Job) -> bool:
    """Is it one small task, which may run on any core and again if it is lost?"""
    if len(job.tasks) != 1 or job.special or job.picky or not job.uniform:
        return False
    if job.excluded or job.spec.excluded_nodes or job.spec.requested_nodes:
        return False
    task, spec = job.tasks[0].spec, job.spec
    return (
        task.type is TaskType.BASIC
        and task.is_rerunnable
        and job.widest == 1
        and spec.job_type is JobType.BATCH
        and spec.node_loss is NodeLoss.RERUN
        and not (spec.run_until_canceled or spec.is_exclusive)
    )


def send_ahead(turn: Turn, command: SendAhead) -> None:
    """Let it wait on a node, if it is still one that may; else nothing changes."""
    job = turn.job
    if job.state is not JobState.QUEUED or job.ahead or held_back(job):
        return
    if not job.counts[TaskState.QUEUED] or not may_go_ahead(job):
        return
    turn.emit(
        EventName.JOB_SENT_AHEAD,
        patch={"ahead": (command.node_id, command.cores, *command.shape)},
        moves=[_mark(SENT)],
    )


def recall_ahead(turn: Turn, _: Any) -> None:
    """Ask its node to give it back; what it says to that decides."""
    if turn.job.ahead and not is_recalled(turn.job):
        turn.emit(EventName.JOB_RECALLED, moves=[_mark(RECALLED)])


def start_ahead(turn: Turn, _: Any) -> None:
    """Take it as started: its node is away, and may say later that it never was."""
    if turn.job.ahead:
        _start(turn, 0.0, -1)


def is_recalled(job: Job) -> bool:
    """Has its node been asked to give it back?"""
    return bool(job.tables[0].get("flags", 0) & RECALLED)


def _mark(flag: int) -> TaskMove:
    return TaskMove(task_id=_TASK, ranges=_PLAIN, was=TaskState.QUEUED, flags=flag)


def attempt_ahead(job: Job) -> int:
    """Return the number of the attempt that waits on its node."""
    return int(job.tables[0].get("attempt", 0))


def hear_of_it(turn: Turn, command: TakeReports) -> None:
    """Take the news of a job that waits on this node; the rest is told as ever."""
    job = turn.job
    if command.node_id != job.ahead[0]:
        return
    attempt = attempt_ahead(job)
    for report in command.reports:
        if report.task_id != _TASK or attempt not in report.attempts:
            continue
        at = list(report.attempts).index(attempt)
        if not isinstance(report, Ended):
            _start(turn, _at(report.times, at, 0.0), _at(report.cores, at, -1))
        elif _at(report.starts, at, 0.0) <= 0 and _was_not(report, at):
            give_back(turn)
        else:
            start = _at(report.starts, at, 0.0)
            lived = on_our_clock(start, _at(report.ends, at, 0.0), turn.now)
            _start(turn, lived, _at(report.cores, at, -1))
        return


def _was_not(report: Ended, at: int) -> bool:
    return bool(_at(report.reasons, at, 0) == EndReason.NOT_STARTED)


def _at(column: Sequence[Any], at: int, default: Any) -> Any:
    """Return an item; a peer may send columns of other lengths."""
    return column[at] if at < len(column) else default


def on_our_clock(start: float, end: float, now: float) -> float:
    """Return when what has ended had begun, if the node's clock may be ahead of ours.

    It has ended now at the latest, and has lasted as long by any clock: what it held is
    charged in full. 0.0 stays what nobody knows.
    """
    return max(min(start, now - max(end - start, 0.0)), 1.0) if start > 0 else 0.0


def _start(turn: Turn, time: float, core: int) -> None:
    """J8: the task has started there, so the job has, at the same moment."""
    job = turn.job
    node_id, cores, *shape = job.ahead
    core = core if core in cores else cores[0]
    # Between what was known before and now, whatever clock the node has.
    time = min(max(time, job.change_time), turn.now) if time > 0 else turn.now
    turn.emit(
        EventName.JOB_STARTED,
        time=time,
        path=(JobState.RUNNING,),
        patch={**started_patch(time, backfill=False), "ahead": ()},
        moves=[
            TaskMove(
                task_id=_TASK,
                ranges=_PLAIN,
                was=TaskState.QUEUED,
                path=(TaskState.DISPATCHING,),
                columns={"node": node_id},
            )
        ],
        uses={node_id: ((core,), int(UsePhase.READY), True, *shape)},
    )


def give_back(turn: Turn) -> None:
    """The node has not started it and never will: it is queued as it was."""
    job = turn.job
    node_id = job.ahead[0]
    again = TaskMove(task_id=_TASK, ranges=_PLAIN, was=TaskState.QUEUED, clear=True)
    turn.emit(EventName.JOB_RETURNED, patch={"ahead": ()}, moves=[again])
    turn.gone.append(node_id)


def lose_it(turn: Turn, command: LoseNode) -> None:
    """The node is lost: what waited there is fenced by its number (T22)."""
    if turn.job.ahead[0] == command.node_id:
        give_back(turn)


def compare_it(turn: Turn, command: SyncNode) -> tuple[int, int, int] | None:
    """Compare what the node says with a job that is to wait there.

    Returns:
        The attempt, if it lives there or is to be sent there again.
    """
    job = turn.job
    if job.ahead[0] != command.node_id:
        return None
    key = (_TASK, 0, attempt_ahead(job))
    for one in command.live:
        if (one.task_id, one.instance_id, one.attempt) == key:
            if one.running:
                _start(turn, one.start_time, one.core)
            return key
    # Never to another boot, nor where it may have ended since a backup.
    if command.rebooted or may_have_ended(turn, key[2]):
        give_back(turn)
        return None
    return key
