"""Every pair of state and trigger: a row allows it, or it is refused without a trace.

The expectations are written down from the rules, not taken from the tables.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.decide import HANDLERS
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JOB_ROWS, JOB_TABLE, JobTrigger
from hpcsched.core.task.states import EndReason, TaskState
from hpcsched.core.task.table import TASK_ROWS, TASK_TABLE, TaskTrigger
from tests.support.job_bench import ANN, plain, service
from tests.support.job_invariants import picture
from tests.support.table_inside import JOB_INSIDE, TASK_INSIDE
from tests.support.table_walk import (
    WAITING,
    explained,
    job_in,
    job_path,
    path_of,
    task_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable

J, T = JobState, TaskState

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
    JobTrigger.CONCLUDE: (
        lambda: c.ConcludeService(caller=ANN, task_id=1),
        {*WAITING, J.RUNNING} - {J.CONFIGURING},
        -2147220778,
    ),
    JobTrigger.MODIFY: (
        lambda: c.ModifyJob(caller=ANN, changes={"custom_properties": {"k": "v"}}),
        {J.CONFIGURING, J.QUEUED, J.RUNNING, *ENDED},
        -2147220961,
    ),
    JobTrigger.EXCLUDE_NODES: (
        lambda: c.ExcludeNodes(caller=ANN, add=("n1",)),
        set(J) - {J.FINISHED, *ENDED},
        -2147220884,
    ),
    JobTrigger.HOLD: (
        lambda: c.HoldJob(caller=ANN),
        {J.QUEUED},
        -2147220790,
    ),
}
#: What must be the job's first task for it: a service.
FIRST = {JobTrigger.CONCLUDE: service()}
#: What the scheduler and time do is never refused; without a row it changes nothing.
JOB_EVENTS: dict[JobTrigger, tuple[c.Command, set[JobState]]] = {
    JobTrigger.START: (c.GrantCores(cores={9: (0,)}), {J.QUEUED}),
    JobTrigger.RESIZE: (c.GrantCores(cores={9: (0,)}), {J.RUNNING}),
    JobTrigger.TIME_OUT: (c.Tick(), {J.RUNNING}),
    JobTrigger.PREEMPT: (c.PreemptCores(cores={}, whole=True), {J.RUNNING}),
    JobTrigger.VERDICT: (c.TakeVerdict(validation=0), {J.EXTERNAL_VALIDATION}),
    JobTrigger.FAIL_ACTIVATION: (c.FailActivation(), {J.QUEUED}),
}


@pytest.mark.parametrize("state", JobState, ids=lambda s: s.label)
@pytest.mark.parametrize("trigger", JOB_CALLS, ids=lambda t: t.value)
def test_every_call_in_every_state_of_a_job(
    state: JobState, trigger: JobTrigger
) -> None:
    command, possible, number = JOB_CALLS[trigger]
    assert bool(JOB_ROWS[state, trigger]) == (state in possible)
    bench = job_in(state, FIRST.get(trigger))

    if state in possible:
        bench.do(command())
        assert explained(state, job_path(bench), trigger)
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
        assert explained(state, job_path(bench), trigger)
        assert picture(bench.job) != before
    elif trigger is JobTrigger.TIME_OUT or state not in {J.QUEUED, J.RUNNING}:
        assert picture(bench.job) == before


def test_every_trigger_of_a_job_is_walked() -> None:
    inside = {*JOB_INSIDE, JobTrigger.LOSE_PARENT}  # test_parents.py walks that
    assert {*JOB_CALLS, *JOB_EVENTS, *inside} == set(JobTrigger)
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
        rows = TASK_ROWS[state, trigger]
        waits = trigger is TaskTrigger.SUBMIT  # for its job, in a draft
        paths = {path for row in rows for path in row.paths}
        assert path_of(bench) in paths or (waits and not path_of(bench))
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


def test_every_trigger_of_a_task_is_walked() -> None:
    of_masters = {TaskTrigger.CONCLUDE, TaskTrigger.FAIL_DEPENDENT}
    of_filters = {TaskTrigger.VERDICT}  # test_filters
    walked = {*TASK_CALLS, *TASK_INSIDE, *of_masters, *of_filters}
    assert walked == set(TaskTrigger)
    assert {row.trigger for row in TASK_TABLE} == set(TaskTrigger)


#: Commands that are no trigger of their own: test_inner_triggers, test_node_events,
#: test_commands_on_nodes, test_preemption, test_modifying_tasks, test_holding,
#: test_parents, test_excluded_nodes, test_quarantine, test_ahead.
OTHERS = {
    *(c.TakeReports, c.LoseNode, c.EvictNode, c.SyncNode),
    *(c.StartCommand, c.HoldActivation, c.EndBackfill, c.NoteAside),
    *(c.ModifyTask, c.ReleaseJob, c.NoteParent, c.ReviewNodes),
    *(c.SendAhead, c.RecallAhead, c.StartAhead),
}


def test_every_command_is_walked() -> None:
    calls = [make for make, _, _ in (*JOB_CALLS.values(), *TASK_CALLS.values())]
    walked = {type(make()) for make in calls}
    walked |= {type(command) for command, _ in JOB_EVENTS.values()}

    assert walked.isdisjoint(OTHERS)
    assert walked | OTHERS == set(get_args(c.Command)) == set(HANDLERS)


def test_terminal_states_are_left_only_by_a_user() -> None:
    for state in (T.FINISHED, T.FAILED, T.CANCELED):
        triggers = {t for t in TaskTrigger if TASK_ROWS[state, t]}
        users = {TaskTrigger.REQUEUE, TaskTrigger.CONFIGURE}
        assert triggers == (set() if state is T.FINISHED else users)
    for job in (J.FINISHED, J.FAILED, J.CANCELED):
        found = {t for t in JobTrigger if JOB_ROWS[job, t]}
        mine = {
            *(JobTrigger.REQUEUE, JobTrigger.REQUEUE_TASKS),
            *(JobTrigger.CONFIGURE, JobTrigger.MODIFY),
        }
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
