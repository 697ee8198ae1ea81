"""What nobody calls: how it comes about, and where it leads from each state.

From the rules of lifecycle.md 3 and 5, not from the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.codec import encode_spec
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JobTrigger
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason, TaskState
from hpcsched.core.task.table import TaskTrigger
from tests.support.job_bench import ANN, Bench, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcsched.core.task.spec import TaskSpec

J, T = JobState, TaskState
JT, TT = JobTrigger, TaskTrigger


@dataclass(frozen=True, kw_only=True)
class JobCase:
    """One way in which a trigger comes about.

    Attributes:
        act: What brings it about where the job is able to.
        paths: State to the path that the job then passes; absent: none.
        first: Its first task, if not a plain one.
        begins: State to the trigger that the path begins with, if it is another one.
    """

    act: Callable[[Bench], object]
    paths: Mapping[JobState, tuple[JobState, ...]]
    first: TaskSpec | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    begins: Mapping[JobState, JobTrigger] = field(default_factory=dict)


def _cancel_first(bench: Bench) -> None:
    try:
        bench.cancel_tasks((1, 0), force=True)
    except HpcError:
        bench.tick(0)


def _end_once(code: int) -> Callable[[Bench], None]:
    def act(bench: Bench) -> None:
        """Report the end of the first task; nobody asks for more."""
        node = bench.get("node", 1) or 1
        bench.report(node, bench.ended(1, code=code))

    return act


def _stop_last(bench: Bench) -> None:
    if bench.job.state in _OVER:
        bench.end_all()
    else:
        bench.tick(0)


_OVER: Mapping[JobState, tuple[JobState, ...]] = {
    J.FINISHING: (J.FINISHED,),
    J.CANCELING: (J.CANCELED,),
}
JOB_INSIDE: Mapping[JobTrigger, tuple[JobCase, ...]] = {
    JT.END_EMPTY: (
        JobCase(
            act=_cancel_first,
            paths={J.QUEUED: (J.CANCELED,)},
        ),
    ),
    JT.CLOSE: (
        JobCase(act=_end_once(0), paths={J.RUNNING: (J.FINISHING,)}),
        JobCase(act=_end_once(1), paths={J.RUNNING: (J.FINISHING,)}),
    ),
    JT.FAIL_FAST: (
        JobCase(
            act=_end_once(1),
            first=plain(critical=True),
            paths={J.RUNNING: (J.CANCELING,)},
        ),
        JobCase(
            act=_end_once(1),
            fields={"fail_on_task_failure": True},
            paths={J.RUNNING: (J.CANCELING,)},
        ),
        JobCase(
            act=_end_once(0),
            first=plain(critical=True),
            paths={J.RUNNING: (J.FINISHING,)},
            begins={J.RUNNING: JT.CLOSE},
        ),
    ),
    JT.STOPPED: (JobCase(act=_stop_last, paths=_OVER),),
    JT.LOSE_RESOURCES: (
        JobCase(
            act=lambda b: b.lose(1),
            paths={**_OVER, J.RUNNING: (J.QUEUED,)},
            begins=dict.fromkeys(_OVER, JT.STOPPED),
        ),
        JobCase(
            act=lambda b: b.lose(1),
            fields={"settings": Settings(job_retries=0)},
            paths={**_OVER, J.RUNNING: (J.FAILED,)},
            begins=dict.fromkeys(_OVER, JT.STOPPED),
        ),
    ),
}


def _paths(
    *groups: tuple[tuple[TaskState, ...], tuple[TaskState, ...]],
) -> dict[TaskState, tuple[TaskState, ...]]:
    """Return state to path for (states, path) pairs."""
    return {state: path for states, path in groups for state in states}


@dataclass(frozen=True, kw_only=True)
class TaskCase:
    """One way in which a trigger meets the first task.

    Attributes:
        triggers: Those whose rows the path may be of, one after the other; the trigger
            itself if not given.
    """

    act: Callable[[Bench], object]
    paths: Mapping[TaskState, tuple[TaskState, ...]]
    triggers: tuple[TaskTrigger, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


def _report(reason: EndReason, code: int = 0, *, ran: bool = True) -> Any:
    def act(bench: Bench) -> None:
        node = bench.get("node", 1) or 1
        bench.report(node, bench.ended(1, reason=reason, code=code, ran=ran))

    return act


def _start(bench: Bench) -> None:
    bench.report(bench.get("node", 1) or 1, bench.started(1))


def _asked(command: c.Command) -> Any:
    """Ask for something of the job that its state may refuse."""

    def act(bench: Bench) -> None:
        try:
            bench.do(command)
        except HpcError:
            bench.tick(0)

    return act


def _reject(bench: Bench) -> None:
    """Submit a job that is not valid: its task is wider than the job."""
    bench.job.spec = replace(bench.job.spec, max_cores=0)
    bench.watcher.shadow.spec = bench.job.spec
    bench.watcher.specs[0] = encode_spec(bench.job.spec)
    _asked(c.SubmitJob(caller=ANN, submit_order=1))(bench)


def _configure_ended(bench: Bench) -> None:
    if bench.state(1) is T.FAILED:
        bench.end_all()
        bench.configure()
    else:
        bench.tick(0)


_LIVE = (T.DISPATCHING, T.RUNNING)
_WAIT = (T.CONFIGURING, T.SUBMITTED, T.VALIDATING, T.QUEUED)
_NO_RERUN = {"settings": Settings(task_retries=0)}
TASK_INSIDE: Mapping[TaskTrigger, tuple[TaskCase, ...]] = {
    TT.DISPATCH: (
        TaskCase(
            act=lambda b: b.grant({7: 2}),
            paths={T.QUEUED: (T.DISPATCHING,)},
        ),
    ),
    TT.START: (TaskCase(act=_start, paths={T.DISPATCHING: (T.RUNNING,)}),),
    TT.REFUSE: (
        TaskCase(
            act=_report(EndReason.NOT_STARTED, -1, ran=False),
            paths={
                T.DISPATCHING: (T.QUEUED, T.DISPATCHING),
                T.RUNNING: (T.QUEUED, T.DISPATCHING),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.REFUSE, TT.LOSE, TT.DISPATCH, TT.STOPPED),
        ),
        TaskCase(
            act=_report(EndReason.NOT_STARTED, -1, ran=False),
            paths={
                T.DISPATCHING: (T.FAILED,),
                T.RUNNING: (T.FAILED,),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.REFUSE, TT.LOSE, TT.STOPPED),
            fields=_NO_RERUN,
        ),
    ),
    TT.EXIT: (
        TaskCase(
            act=_report(EndReason.EXITED),
            paths={
                T.DISPATCHING: (T.RUNNING, T.FINISHING, T.FINISHED),
                T.RUNNING: (T.FINISHING, T.FINISHED),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.START, TT.EXIT, TT.STOPPED),
        ),
        TaskCase(
            act=_report(EndReason.EXITED, 1),
            paths={
                T.DISPATCHING: (T.RUNNING, T.FINISHING, T.FAILED),
                T.RUNNING: (T.FINISHING, T.FAILED),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.START, TT.EXIT, TT.STOPPED),
        ),
        TaskCase(
            act=_report(EndReason.EXITED, 1),
            paths={
                T.DISPATCHING: (T.RUNNING, T.FINISHING, T.QUEUED, T.DISPATCHING),
                T.RUNNING: (T.FINISHING, T.QUEUED, T.DISPATCHING),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.START, TT.EXIT, TT.DISPATCH, TT.STOPPED),
            fields={"retry_limit": 1},
        ),
    ),
    TT.TIME_OUT: (
        TaskCase(
            act=_report(EndReason.TIME_LIMIT),
            paths={
                T.DISPATCHING: (T.RUNNING, T.CANCELING, T.FAILED),
                T.RUNNING: (T.CANCELING, T.FAILED),
                T.CANCELING: (T.FAILED,),
            },
            triggers=(TT.START, TT.TIME_OUT, TT.STOPPED),
        ),
    ),
    TT.SWEEP: (
        TaskCase(
            act=_asked(c.CancelJob(caller=ANN)),
            paths=_paths((_LIVE, (T.CANCELING,)), (_WAIT, (T.CANCELED,))),
        ),
        TaskCase(
            act=_asked(c.FinishJob(caller=ANN)),
            paths=_paths((_LIVE, (T.CANCELING,)), (_WAIT[1:], (T.CANCELED,))),
        ),
    ),
    TT.LOSE: (
        TaskCase(
            act=lambda b: b.lose(b.get("node", 1) or 9),
            paths=_paths((_LIVE, (T.QUEUED,)), ((T.CANCELING,), (T.FAILED,))),
        ),
        TaskCase(
            act=lambda b: b.lose(b.get("node", 1) or 9),
            paths=_paths(((*_LIVE, T.CANCELING), (T.FAILED,))),
            fields=_NO_RERUN,
        ),
    ),
    TT.PREEMPT: (
        TaskCase(
            act=lambda b: b.preempt({1: 2}, immediate=True, whole=True),
            paths=_paths((_LIVE, (T.CANCELING,))),
        ),
    ),
    TT.STOPPED: (
        TaskCase(
            act=_report(EndReason.CANCELED, 143),
            paths={
                T.CANCELING: (T.FAILED,),
                T.DISPATCHING: (T.RUNNING, T.QUEUED, T.DISPATCHING),
                T.RUNNING: (T.QUEUED, T.DISPATCHING),
            },
            triggers=(TT.STOPPED, TT.START, TT.LOSE, TT.DISPATCH),
        ),
    ),
    TT.REJECT: (
        TaskCase(
            act=_reject,
            paths={T.CONFIGURING: (T.SUBMITTED, T.VALIDATING, T.FAILED)},
        ),
    ),
    TT.CONFIGURE: (
        TaskCase(
            act=_asked(c.ConfigureJob(caller=ANN)),
            paths=_paths(((T.QUEUED, T.SUBMITTED, T.VALIDATING), (T.CONFIGURING,))),
        ),
        TaskCase(
            act=_configure_ended,
            paths={T.FAILED: (T.CONFIGURING,)},
        ),
    ),
}
