"""Every pair of state and trigger: a row allows it, or it is refused without a trace.

The expectations are written down from the rules, not taken from the tables.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JOB_ROWS, JOB_TABLE, JobTrigger
from hpcsched.core.task.states import EndReason, TaskState
from hpcsched.core.task.table import TASK_ROWS, TASK_TABLE, TaskTrigger
from tests.support.job_bench import ANN, Bench, plain, release
from tests.support.job_invariants import picture

if TYPE_CHECKING:
    from collections.abc import Callable

J, T = JobState, TaskState

WAITING = {
    *(J.CONFIGURING, J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION),
    J.QUEUED,
}
ENDED = {J.FAILED, J.CANCELED}

#: Trigger: its command, the states in which it is possible, the number of its refusal.
JOB_CALLS: dict[JobTrigger, tuple[Callable[[], c.Command], set[JobState], int]] = {
    JobTrigger.SUBMIT: (
        lambda: c.SubmitJob(caller=ANN, submit_order=1),
        {J.CONFIGURING},
        -2147220990,
    ),
    JobTrigger.CANCEL: (
        lambda: c.CancelJob(caller=ANN),
        {*WAITING, J.RUNNING},
        -2147220984,
    ),
    JobTrigger.FORCE_CANCEL: (
        lambda: c.CancelJob(caller=ANN, force=True),
        {*WAITING, J.RUNNING, J.CANCELING},
        -2147220984,
    ),
    JobTrigger.FINISH: (
        lambda: c.FinishJob(caller=ANN),
        {J.QUEUED, J.RUNNING},
        -2147220977,
    ),
    JobTrigger.FORCE_FINISH: (
        lambda: c.FinishJob(caller=ANN, force=True),
        {J.QUEUED, J.RUNNING, J.FINISHING},
        -2147220977,
    ),
    JobTrigger.REQUEUE: (
        lambda: c.RequeueJob(caller=ANN, submit_order=1),
        {J.RUNNING, *ENDED},
        -2147220977,
    ),
    JobTrigger.REQUEUE_TASKS: (
        lambda: c.RequeueTasks(caller=ANN, tasks=[(2, 0)], submit_order=1),
        {*WAITING, J.RUNNING, *ENDED},
        -2147220977,
    ),
    JobTrigger.CONFIGURE: (
        lambda: c.ConfigureJob(caller=ANN),
        {J.SUBMITTED, J.QUEUED, *ENDED},
        -2147220982,
    ),
    JobTrigger.ADD_TASKS: (
        lambda: c.AddTasks(caller=ANN, tasks=[plain()]),
        {*WAITING, J.RUNNING},
        -2147220977,
    ),
    JobTrigger.SUBMIT_TASKS: (
        lambda: c.SubmitTasks(caller=ANN, task_ids=[4]),
        {*WAITING, J.RUNNING},
        -2147220977,
    ),
}
#: What the scheduler and time do is never refused; without a row it changes nothing.
JOB_EVENTS: dict[JobTrigger, tuple[c.Command, set[JobState]]] = {
    JobTrigger.START: (c.GrantCores(cores={9: (0,)}), {J.QUEUED}),
    JobTrigger.RESIZE: (c.GrantCores(cores={9: (0,)}), {J.RUNNING}),
    JobTrigger.TIME_OUT: (c.Tick(), {J.RUNNING}),
    JobTrigger.PREEMPT: (c.PreemptCores(cores={}, whole=True), {J.RUNNING}),
}
ONLY_INSIDE = {
    *(JobTrigger.END_EMPTY, JobTrigger.CLOSE, JobTrigger.FAIL_FAST),
    *(JobTrigger.LOSE_RESOURCES, JobTrigger.STOPPED),
}
#: Needs a service: tests/core/test_services.py walks its states.
OF_SERVICES = {JobTrigger.CONCLUDE}


def job_in(state: JobState) -> Bench:
    """Return a job in a state, with a task canceled by name and one never submitted."""
    tasks = (plain(), plain(), release())
    bench = Bench(*tasks, runtime=60.0, min_cores=1, max_cores=9)
    bench.cancel_tasks((2, 0))
    if state is J.CONFIGURING:
        bench.add(plain())
        return bench
    bench.submit()
    bench.add(plain(), submit=False)
    if state in {J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION}:
        bench.job.state = bench.watcher.shadow.state = state
        bench.watcher.told[0, 0] = state
        for job in (bench.job, bench.watcher.shadow):
            job.tasks[2].state = T.SUBMITTED if state is J.SUBMITTED else T.VALIDATING
            job.tasks[2].previous = T.CONFIGURING
        bench.watcher.told[3, 0] = bench.job.tasks[2].state
    if state in WAITING:
        return bench
    bench.grant({1: 2}).run_all()
    if state in {J.FINISHING, J.FINISHED}:
        bench.end(1)
    elif state is J.FAILED:
        bench.fail(1)
    elif state in {J.CANCELING, J.CANCELED}:
        bench.cancel("enough")
    if state.terminal:
        bench.end_all()
    assert bench.job.state is state
    return bench


@pytest.mark.parametrize("state", JobState, ids=lambda s: s.label)
@pytest.mark.parametrize("trigger", JOB_CALLS, ids=lambda t: t.value)
def test_every_call_in_every_state_of_a_job(
    state: JobState, trigger: JobTrigger
) -> None:
    command, possible, number = JOB_CALLS[trigger]
    rows = JOB_ROWS[state, trigger]
    assert bool(rows) == (state in possible)
    bench = job_in(state)

    if state in possible:
        before = len(bench.path)
        bench.do(command())
        passed = tuple(bench.path[before:])
        paths = [tuple(s.label for s in path) for row in rows for path in row.paths]
        assert any(passed[: len(path)] == path for path in paths)
    else:
        assert bench.refused(command()).hresult == number


@pytest.mark.parametrize("state", JobState, ids=lambda s: s.label)
@pytest.mark.parametrize("trigger", JOB_EVENTS, ids=lambda t: t.value)
def test_every_event_in_every_state_of_a_job(
    state: JobState, trigger: JobTrigger
) -> None:
    command, possible = JOB_EVENTS[trigger]
    bench = job_in(state)
    before = picture(bench.job)

    bench.do(command, after=100.0)

    if state in possible:
        assert JOB_ROWS[state, trigger]
        assert picture(bench.job) != before
    elif trigger is JobTrigger.TIME_OUT or state not in {J.QUEUED, J.RUNNING}:
        assert picture(bench.job) == before


def test_every_trigger_of_a_job_is_walked() -> None:
    assert {*JOB_CALLS, *JOB_EVENTS, *ONLY_INSIDE, *OF_SERVICES} == set(JobTrigger)
    assert {row.trigger for row in JOB_TABLE} == set(JobTrigger)


#: Trigger: its command, the states in which it is possible, the number of its refusal.
TASK_CALLS: dict[TaskTrigger, tuple[Callable[[], c.Command], set[TaskState], int]] = {
    TaskTrigger.SUBMIT: (
        lambda: c.SubmitTasks(caller=ANN, task_ids=[1]),
        {T.CONFIGURING},
        -2147220940,
    ),
    TaskTrigger.CANCEL: (
        lambda: c.CancelTasks(caller=ANN, tasks=[(1, 0)]),
        {
            *(T.CONFIGURING, T.SUBMITTED, T.VALIDATING, T.QUEUED),
            *(T.DISPATCHING, T.RUNNING),
        },
        -2147220983,
    ),
    TaskTrigger.FORCE_CANCEL: (
        lambda: c.CancelTasks(caller=ANN, tasks=[(1, 0)], force=True),
        {
            *(T.CONFIGURING, T.SUBMITTED, T.VALIDATING, T.QUEUED),
            *(T.DISPATCHING, T.RUNNING, T.CANCELING),
        },
        -2147220983,
    ),
    TaskTrigger.FINISH: (
        lambda: c.FinishTasks(caller=ANN, tasks=[(1, 0)]),
        {T.RUNNING},
        -2147220977,
    ),
    TaskTrigger.REQUEUE: (
        lambda: c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=1),
        {T.QUEUED, T.RUNNING, T.DISPATCHING, T.FAILED, T.CANCELED},
        -2147220916,
    ),
}


def task_in(state: TaskState) -> Bench:
    """Return a running job whose first task is in a state; others keep it alive."""
    bench = Bench(plain(), plain(), plain(), min_cores=2, max_cores=2)
    if state is T.CONFIGURING:
        return Bench(plain(), plain())
    if state in {T.QUEUED, T.SUBMITTED, T.VALIDATING, T.FINISHING}:
        bench.submit()
        if state is not T.QUEUED:
            _force(bench, state)
        return bench
    if state is T.CANCELED:
        bench.submit()
        bench.cancel_tasks((1, 0))
        return bench.grant({1: 2})
    bench.submit().grant({1: 2})
    if state is not T.DISPATCHING:
        bench.run_all()
    if state is T.FINISHED:
        bench.end(1)
    elif state is T.FAILED:
        bench.fail(1)
    elif state is T.CANCELING:
        bench.cancel_tasks((1, 0))
    assert bench.state(1) is state
    return bench


def _force(bench: Bench, state: TaskState) -> None:
    """Put the first task where none ever rests."""
    for job in (bench.job, bench.watcher.shadow):
        job.tables[0].fill("state", 0, 0, state)
        job.tasks[0].state = state
        for table in (job.counts, job.tasks[0].counts):
            table[T.QUEUED] -= 1
            table[state] += 1
    bench.watcher.told[1, 0] = state


@pytest.mark.parametrize("state", TaskState, ids=lambda s: s.label)
@pytest.mark.parametrize("trigger", TASK_CALLS, ids=lambda t: t.value)
def test_every_call_in_every_state_of_a_task(
    state: TaskState, trigger: TaskTrigger
) -> None:
    command, possible, number = TASK_CALLS[trigger]
    if not (trigger is TaskTrigger.REQUEUE and state is T.CONFIGURING):
        assert bool(TASK_ROWS[state, trigger]) == (state in possible)
    bench = task_in(state)

    if state in possible:
        bench.do(command())
    else:
        assert bench.refused(command()).hresult == number


@pytest.mark.parametrize(
    "state", sorted(set(TaskState) - {T.FINISHING}), ids=lambda s: s.label
)
@pytest.mark.parametrize("trigger", ["start", "exit", "refuse", "lose", "time out"])
def test_every_report_in_every_state_of_a_task(state: TaskState, trigger: str) -> None:
    bench = task_in(state)
    before = picture(bench.job)
    node = bench.get("node", 1) or 1

    if trigger == "start":
        bench.report(node, bench.started(1))
    elif trigger == "lose":
        bench.lose(node)
    else:
        reason = {
            "exit": EndReason.EXITED,
            "refuse": EndReason.NOT_STARTED,
            "time out": EndReason.TIME_LIMIT,
        }[trigger]
        bench.report(node, bench.ended(1, reason=reason, ran=trigger != "refuse"))

    heard = state in {T.DISPATCHING, T.RUNNING, T.CANCELING}
    if trigger == "start":
        heard = state is T.DISPATCHING
    if trigger == "lose":
        assert bench.state(1) is state or heard
    else:
        assert (picture(bench.job) != before) == heard


def test_every_trigger_of_a_task_has_a_row() -> None:
    assert {row.trigger for row in TASK_TABLE} == set(TaskTrigger)


def test_terminal_states_are_left_only_by_a_user() -> None:
    for state in (T.FINISHED, T.FAILED, T.CANCELED):
        triggers = {t for t in TaskTrigger if TASK_ROWS[state, t]}
        users = {TaskTrigger.REQUEUE, TaskTrigger.CONFIGURE}
        assert triggers == (set() if state is T.FINISHED else users)
    for job in (J.FINISHED, J.FAILED, J.CANCELED):
        found = {t for t in JobTrigger if JOB_ROWS[job, t]}
        mine = {JobTrigger.REQUEUE, JobTrigger.REQUEUE_TASKS, JobTrigger.CONFIGURE}
        assert found == (set() if job is J.FINISHED else mine)


def test_a_refusal_names_the_job_its_state_and_the_call() -> None:
    bench = job_in(J.FINISHED)

    with pytest.raises(HpcError) as refused:
        bench.requeue()

    assert refused.value.facts == {
        "job_id": "7",
        "state": "Finished",
        "operation": "requeue",
    }
    assert str(refused.value) == "job 7 is Finished: requeue is not possible"


def test_the_page_with_the_diagrams_is_up_to_date() -> None:
    path = Path(__file__).parents[2] / "scripts" / "draw_states.py"
    spec = importlib.util.spec_from_file_location("draw_states", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.PAGE.read_text() == script.page(), f"run {path.name}"
