"""Service tasks: an instance whenever a core is free (properties.md 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JOB_ROWS, JobTrigger
from hpcsched.core.job.validation import validate_new
from hpcsched.core.orders import DefineTask
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import (
    ANN,
    BOB,
    Bench,
    plain,
    prep,
    release,
    service,
    sweep,
)
from tests.support.job_services import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.task.spec import TaskSpec

J, T = JobState, TaskState


def test_an_instance_starts_on_every_free_core() -> None:
    bench = Bench(service()).submit()
    assert bench.state(1) is T.QUEUED
    assert bench.job.tasks[0].count == 0

    bench.grant({1: 2, 2: 1})

    assert bench.states(1) == ["Dispatching"] * 3
    assert bench.state(1) is T.QUEUED
    bench.run_all()
    assert bench.state(1) is T.RUNNING


def test_an_instance_takes_the_minimum_of_cores_and_no_node_has_half_of_one() -> None:
    bench = Bench(service(min_cores=2)).submit().grant({1: 5, 2: 1, 3: 2})

    assert bench.states(1) == ["Dispatching"] * 3
    assert sorted(bench.get("node", 1, i) for i in (1, 2, 3)) == [1, 1, 3]


def test_one_that_has_ended_is_followed_by_a_new_one_with_the_next_number() -> None:
    bench = running(1)

    bench.end(1, 1)

    assert bench.states(1) == ["Finished", "Dispatching"]
    assert bench.stands(J.RUNNING)
    assert bench.get("attempt", 1, 2) == 1


def test_no_more_instances_at_once_than_its_limit() -> None:
    bench = Bench(service(max_concurrent=2)).start({1: 4})
    assert bench.states(1) == ["Running"] * 2
    bench.now += 100

    bench.end(1, 1)

    assert bench.states(1) == ["Finished", "Running", "Dispatching"]


def test_the_asterisk_is_the_number_of_the_instance() -> None:
    bench = running(2)

    (definition,) = {
        order.task_id: order for _, order in bench.told(DefineTask)
    }.values()
    assert definition.substitute
    assert bench.job.tasks[0].spec.value_of(2) == 2


def test_a_concluded_service_starts_nothing_and_its_job_ends_with_its_last() -> None:
    bench = running(2)

    bench.conclude()

    assert bench.stands(J.RUNNING)
    assert bench.state(1) is T.RUNNING
    bench.end(1, 1)
    assert bench.states(1) == ["Finished", "Running"]
    bench.end(1, 2)
    assert bench.path[-2:] == ["Finishing", "Finished"]
    assert bench.state(1) is T.FINISHED


def test_concluding_again_changes_nothing() -> None:
    bench = running(1)
    bench.conclude()
    revision = bench.job.revision

    bench.conclude()

    assert bench.job.revision == revision


def test_concluded_with_its_instances_they_are_canceled_and_end_failed() -> None:
    bench = running(2)

    bench.conclude(cancel=True)

    assert bench.states(1) == ["Canceling"] * 2
    assert CancelOrigin(bench.get("origin", 1, 1)) is CancelOrigin.USER_TASK
    bench.end_all()
    assert bench.states(1) == ["Failed"] * 2
    assert bench.stands(J.FAILED)


def test_a_service_concluded_before_it_ran_is_finished_and_so_is_its_job() -> None:
    bench = Bench(service(), release()).submit()

    bench.conclude()

    assert bench.stands(J.FINISHED)
    assert bench.state(1) is T.FINISHED


@pytest.mark.parametrize("state", JobState, ids=lambda s: s.label)
def test_a_service_is_concluded_while_its_job_waits_or_runs(state: JobState) -> None:
    bench = Bench(service(), release())
    possible = {J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION, J.QUEUED, J.RUNNING}
    assert bool(JOB_ROWS[state, JobTrigger.CONCLUDE]) == (state in possible)
    if state in {J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION}:
        return  # passed within one commit
    if state is not J.CONFIGURING:
        bench.submit()
    if state not in {J.CONFIGURING, J.QUEUED}:
        bench.grant({1: 1}).run_all()
    if state in {J.FINISHING, J.FINISHED}:
        bench.finish_job()
    elif state is J.FAILED:
        bench = Bench(service(critical=True)).start({1: 1})
        bench.fail(1, 1)
    elif state in {J.CANCELING, J.CANCELED}:
        bench.cancel()
    if state.terminal:
        bench.end_all()
    assert bench.stands(state)

    command = c.ConcludeService(caller=ANN, task_id=1)
    if state in possible:
        bench.do(command)
        assert bench.job.tasks[0].concluded
    else:
        refusal = bench.refused(command)
        assert refusal.reason == "SERVICE_NOT_CONCLUDABLE"
        assert refusal.hresult == -2147220778


def test_only_a_service_is_concluded_and_only_by_its_owner() -> None:
    bench = Bench(plain(), sweep(2), prep()).submit()
    for task in (1, 2, 3):
        refusal = bench.refused(c.ConcludeService(caller=ANN, task_id=task))
        assert refusal.reason == "NOT_A_SERVICE_TASK"
        assert refusal.hresult == -2147220778
    missing = bench.refused(c.ConcludeService(caller=ANN, task_id=9))
    assert missing.reason == "TASK_NOT_FOUND"

    other = Bench(service()).submit()
    refusal = other.refused(c.ConcludeService(caller=BOB, task_id=1))
    assert refusal.reason == "PERMISSION_DENIED"


# -- what may be asked for --


@pytest.mark.parametrize(
    ("tasks", "number"),
    [
        ([service(), plain()], -2147219887),
        ([sweep(2), service()], -2147219887),
        ([service(), service()], -2147219887),
        ([service(depends_on=("a",), name="b")], -2147220908),
        ([service(is_rerunnable=False)], -2147220908),
        ([service(end=5)], -2147220908),
        ([service(start=5)], -2147220908),
        ([service(step=5)], -2147220908),
        ([service(lines=("a",))], -2147220908),
        ([plain(start=2)], -2147220908),
        ([plain(step=2)], -2147220908),
    ],
)
def test_what_a_service_may_not_have_is_refused(
    tasks: list[TaskSpec], number: int
) -> None:
    with pytest.raises(HpcError) as refused:
        validate_new(JobSpec(), tasks, Settings())

    assert refused.value.hresult == number


def test_a_service_may_have_preparation_release_and_a_count_of_failures() -> None:
    tasks = [service(critical_count=7, max_concurrent=3), prep(), release()]
    validate_new(JobSpec(), tasks, Settings())


def test_a_job_with_a_service_takes_no_other_task() -> None:
    for submitted in (False, True):
        bench = Bench(service())
        if submitted:
            bench.submit()
        refusal = bench.refused(c.AddTasks(caller=ANN, tasks=[plain()]))
        assert refusal.reason == "TASK_BESIDE_SERVICE"
        assert refusal.hresult == -2147220909


def test_a_service_is_added_only_to_a_draft() -> None:
    bench = Bench(plain()).submit()

    refusal = bench.refused(c.AddTasks(caller=ANN, tasks=[service()]))

    assert refusal.hresult == -2147220910
    draft = Bench()
    draft.add(service(), submit=False)
    draft.submit()
    assert draft.stands(J.QUEUED)


@pytest.mark.parametrize("make", [service, prep, release])
def test_t3_only_plain_tasks_and_sweeps_are_submitted_by_themselves(
    make: Callable[[], TaskSpec],
) -> None:
    bench = Bench(make())

    refusal = bench.refused(c.SubmitTasks(caller=ANN, task_ids=[1]))

    assert refusal.hresult == -2147220910


def test_neither_a_service_nor_its_instances_can_be_requeued() -> None:
    bench = running(1)

    for key in ((1, 0), (1, 1)):
        command = c.RequeueTasks(caller=ANN, tasks=[key], submit_order=1)
        assert bench.refused(command).hresult == -2147220915
