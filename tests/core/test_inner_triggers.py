"""What the scheduler, nodes and time do to a job and a task, in every state of it.

With test_transition_tables, which walks the calls, every pair of state and trigger is
walked. Expectations are written down from the rules (lifecycle.md 3 and 5): the path
that a pair leads along, nothing where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JobTrigger
from hpcsched.core.task.states import TaskState
from hpcsched.core.task.table import TASK_ROWS, TaskTrigger
from tests.support.job_bench import ANN
from tests.support.table_inside import JOB_INSIDE, TASK_INSIDE
from tests.support.table_walk import (
    dependant_in,
    explained,
    job_in,
    job_path,
    master_in,
    path_of,
    task_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

J, T = JobState, TaskState

JOB_CASES = [
    (trigger, number)
    for trigger, cases in JOB_INSIDE.items()
    for number in range(len(cases))
]


@pytest.mark.parametrize("state", JobState, ids=lambda s: s.label)
@pytest.mark.parametrize(("trigger", "number"), JOB_CASES)
def test_what_follows_by_itself_in_every_state_of_a_job(
    state: JobState, trigger: JobTrigger, number: int
) -> None:
    case = JOB_INSIDE[trigger][number]
    bench = job_in(state, case.first, **case.fields)

    case.act(bench)

    path = case.paths.get(state, ())
    assert job_path(bench) == path
    assert not path or explained(state, path, case.begins.get(state, trigger))


TASK_CASES = [
    (trigger, number)
    for trigger, cases in TASK_INSIDE.items()
    for number in range(len(cases))
]
RESTING = [state for state in TaskState if state is not T.FINISHING]
"""A task that finishes has ended in the same commit: nothing can meet it."""


@pytest.mark.parametrize("state", RESTING, ids=lambda s: s.label)
@pytest.mark.parametrize(("trigger", "number"), TASK_CASES)
def test_what_happens_to_a_task_in_every_state_of_it(
    state: TaskState, trigger: TaskTrigger, number: int
) -> None:
    case = TASK_INSIDE[trigger][number]
    bench = task_in(state, **case.fields)

    case.act(bench)

    path = case.paths.get(state, ())
    assert path_of(bench) == path
    assert not path or led_by(state, path, case.triggers or (trigger,))


def led_by(
    state: TaskState, path: Sequence[TaskState], triggers: Sequence[TaskTrigger]
) -> bool:
    """Say whether rows of these triggers, in any order, lead along a path."""
    if not path:
        return True
    rows = [row for trigger in triggers for row in TASK_ROWS[state, trigger]]
    ways = [way for row in rows for way in row.paths if way]
    begun = [way for way in ways if tuple(path[: len(way)]) == way]
    return any(led_by(way[-1], path[len(way) :], triggers) for way in begun)


@pytest.mark.parametrize("state", RESTING, ids=lambda s: s.label)
def test_what_a_failed_task_does_to_one_that_depends_on_it(state: TaskState) -> None:
    if state in {T.SUBMITTED, T.VALIDATING}:
        return  # passed within one commit
    bench = dependant_in(state)
    task = 3 if state is T.CONFIGURING else 1

    bench.fail(2)

    paths = {
        **dict.fromkeys((T.CONFIGURING, T.QUEUED), (T.FAILED,)),
        **dict.fromkeys((T.DISPATCHING, T.RUNNING), (T.CANCELING,)),
    }
    path = paths.get(state, ())
    assert path_of(bench, task)[: len(path) or None] == path
    assert not path or led_by(state, path, (TaskTrigger.FAIL_DEPENDENT,))


#: Trigger: its command for a master, and its refusal.
MASTER_CALLS: dict[TaskTrigger, tuple[Callable[[], c.Command], int]] = {
    TaskTrigger.CANCEL: (
        lambda: c.CancelTasks(caller=ANN, tasks=[(1, 0)]),
        -2147220983,
    ),
    TaskTrigger.FORCE_CANCEL: (
        lambda: c.CancelTasks(caller=ANN, tasks=[(1, 0)], force=True),
        -2147220983,
    ),
    TaskTrigger.FINISH: (
        lambda: c.FinishTasks(caller=ANN, tasks=[(1, 0)]),
        -2147220977,
    ),
    TaskTrigger.REQUEUE: (
        lambda: c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=1),
        -2147220916,
    ),
    TaskTrigger.CONCLUDE: (
        lambda: c.ConcludeService(caller=ANN, task_id=1),
        -2147220778,
    ),
}
MASTER_STATES = {
    TaskTrigger.CANCEL: {T.CONFIGURING, T.QUEUED, T.RUNNING},
    TaskTrigger.FORCE_CANCEL: {T.CONFIGURING, T.QUEUED, T.RUNNING, T.CANCELING},
    TaskTrigger.FINISH: {T.RUNNING},
    TaskTrigger.REQUEUE: {T.QUEUED, T.RUNNING, T.FAILED, T.CANCELED},
    TaskTrigger.CONCLUDE: {T.QUEUED, T.RUNNING},
}
OF_MASTERS = [
    *(T.CONFIGURING, T.QUEUED, T.RUNNING, T.CANCELING),
    *(T.FINISHED, T.FAILED, T.CANCELED),
]


@pytest.mark.parametrize("kind", ["sweep", "service"])
@pytest.mark.parametrize("state", OF_MASTERS, ids=lambda s: s.label)
@pytest.mark.parametrize("trigger", MASTER_CALLS, ids=lambda t: t.value)
def test_every_call_in_every_state_of_a_master(
    state: TaskState, trigger: TaskTrigger, kind: str
) -> None:
    command, number = MASTER_CALLS[trigger]
    possible = MASTER_STATES[trigger]
    if kind == "service" and trigger is TaskTrigger.REQUEUE:
        possible, number = set(), -2147220915
    if kind == "sweep" and trigger is TaskTrigger.CONCLUDE:
        possible = set()
    bench = master_in(state, kind)

    if state in possible:
        bench.do(command())
    else:
        assert bench.refused(command()).hresult == number
