"""Service tasks: an instance whenever a core is free (properties.md 4.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, NodeLoss
from hpcsched.core.job.table import JOB_ROWS, JobTrigger
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.job.validation import validate_new
from hpcsched.core.orders import DefineTask
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import (
    ANN,
    BOB,
    Bench,
    counts,
    plain,
    prep,
    release,
    service,
    sweep,
)

if TYPE_CHECKING:
    from hpcsched.core.task.spec import TaskSpec

J, T = JobState, TaskState


def running(cores: int = 2, *tasks: TaskSpec, **fields: Any) -> Bench:
    """Return a service with an instance on each of so many cores, past its start."""
    bench = Bench(service(), *tasks, **fields).start({1: cores})
    bench.now += 100
    return bench


def fail_late(bench: Bench, instance: int) -> None:
    """Report that an instance has failed after a long life."""
    ended = bench.ended(1, instance, code=1)
    node = bench.get("node", 1, instance)
    bench.report(node, replace(ended, starts=[bench.now - 50]))


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


def test_neither_a_service_nor_its_instances_can_be_requeued() -> None:
    bench = running(1)

    for key in ((1, 0), (1, 1)):
        command = c.RequeueTasks(caller=ANN, tasks=[key], submit_order=1)
        assert bench.refused(command).hresult == -2147220915


# -- what follows an instance --


def test_a_failed_one_is_followed_and_the_job_ends_failed_once_concluded() -> None:
    bench = running(1)

    fail_late(bench, 1)

    assert bench.states(1) == ["Failed", "Dispatching"]
    bench.run_all().conclude()
    bench.end(1, 2)
    assert bench.stands(J.FAILED)
    assert bench.state(1) is T.FAILED


def test_failed_instances_trip_fail_job_on_failure_count() -> None:
    bench = Bench(service(critical_count=2)).start({1: 2})
    bench.now += 100

    fail_late(bench, 1)
    assert bench.stands(J.RUNNING)
    fail_late(bench, 2)

    assert bench.stands(J.CANCELING)
    bench.end_all()
    assert bench.stands(J.FAILED)


def test_own_failures_are_not_retried_as_the_same_instance() -> None:
    bench = running(1, retry_limit=3)

    bench.fail(1, 1)

    assert bench.states(1)[0] == "Failed"


@pytest.mark.parametrize("way", ["lost", "rebooted", "refused", "evicted", "status"])
def test_one_that_is_lost_ends_canceled_and_a_new_one_takes_its_place(way: str) -> None:
    bench = Bench(service()).submit().grant({1: 1, 2: 1})
    if way != "refused":
        bench.run_all()
    bench.now += 100

    if way == "lost":
        bench.lose(1)
    elif way == "rebooted":
        bench.sync(1, rebooted=True)
    elif way == "refused":
        bench.refuse(1, 1)
    elif way == "status":
        bench.end(1, 1, reason=EndReason.STATUS_LOST, code=-1)
    else:
        bench.evict(1)
        assert bench.state(1, 1) is T.CANCELING
        bench.stop(1, 1)

    assert bench.state(1, 1) is T.CANCELED
    assert bench.note(1, 1)[0]
    assert CancelOrigin(bench.get("origin", 1, 1)) is CancelOrigin.NODE
    bench.tick(100)
    bench.grant({1: 1, 2: 1})
    assert counts(bench.job)["Dispatching"] >= 1
    bench.run_all().conclude()
    bench.end_all()
    assert bench.stands(J.FINISHED)


def test_one_that_a_concluded_service_loses_has_failed() -> None:
    bench = running(1)
    bench.conclude()

    bench.lose(1)

    assert bench.state(1, 1) is T.FAILED


def test_with_hold_an_instance_on_a_lost_node_is_kept() -> None:
    bench = running(1, node_loss=NodeLoss.HOLD)

    bench.lose(1)

    assert bench.state(1, 1) is T.RUNNING
    bench.sync(1, bench.live(1))
    assert bench.states(1) == ["Running"]


def test_without_nodes_the_job_waits_for_others_and_goes_on_counting() -> None:
    bench = running(2)

    bench.lose(1)

    assert bench.stands(J.QUEUED)
    assert bench.state(1) is T.QUEUED
    bench.grant({2: 1})
    assert bench.states(1) == ["Canceled", "Canceled", "Dispatching"]


# -- pauses --


def test_instances_that_fail_at_once_are_followed_after_growing_pauses() -> None:
    bench = Bench(service()).start({1: 1})
    pauses = []
    for number in range(1, 9):
        bench.fail(1, number)
        assert bench.job.tasks[0].count == number
        wake = next_tick(bench.job, bench.settings, bench.now)
        assert wake is not None
        pauses.append(wake - bench.now)
        bench.tick(pauses[-1])
        assert bench.job.tasks[0].count == number + 1
        bench.run_all()

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_round_of_failures_counts_once() -> None:
    bench = Bench(service()).start({1: 3})

    for instance in (1, 2, 3):
        bench.fail(1, instance)

    assert bench.job.tasks[0].strikes == 1
    bench.tick(1.0)
    assert bench.job.tasks[0].count == 6


def test_a_round_without_failures_ends_the_time_of_trouble() -> None:
    bench = Bench(service()).start({1: 1})
    bench.fail(1, 1)
    bench.tick(1.0)
    bench.run_all()
    assert demand_of(bench.job, bench.settings, 9) is None

    wake = next_tick(bench.job, bench.settings, bench.now)
    assert wake == bench.now + 10
    bench.tick(10.0)

    assert not bench.job.tasks[0].strikes
    assert next_tick(bench.job, bench.settings, bench.now) is None
    assert demand_of(bench.job, bench.settings, 9) is not None


def test_one_that_failed_after_a_while_is_followed_at_once() -> None:
    bench = running(1)

    fail_late(bench, 1)

    assert bench.states(1) == ["Failed", "Dispatching"]
    assert not bench.job.tasks[0].strikes


def test_those_that_end_well_within_a_second_are_paced() -> None:
    bench = Bench(service()).start({1: 1})

    bench.report(1, replace(bench.ended(1, 1), ends=[bench.now + 0.2]))

    assert bench.states(1) == ["Finished"]
    assert next_tick(bench.job, bench.settings, bench.now) == bench.now + 1
    bench.tick(1.0)
    assert bench.states(1) == ["Finished", "Dispatching"]


def test_a_service_in_trouble_gives_idle_nodes_back_and_keeps_its_minimum() -> None:
    bench = Bench(service()).start({1: 2, 2: 2, 3: 2})
    bench.now += 0.1

    for instance in range(1, 7):
        bench.fail(1, instance)

    assert len(bench.job.uses) == 1
    bench.tick(1.0)
    assert bench.job.tasks[0].count == 8


def test_a_tick_that_is_due_is_never_due_again() -> None:
    bench = Bench(service()).start({1: 1})
    bench.fail(1, 1)
    for _ in range(3):
        wake = next_tick(bench.job, bench.settings, bench.now)
        if wake is None:
            break
        bench.tick(wake - bench.now)
        later = next_tick(bench.job, bench.settings, bench.now)
        assert later is None or later > bench.now


def test_after_its_most_instances_a_service_is_concluded() -> None:
    bench = Bench(service(), settings=Settings(max_sweep=3)).start({1: 2})
    bench.now += 100

    bench.end(1, 1)
    assert bench.states(1) == ["Finished", "Running", "Dispatching"]
    bench.run_all()
    bench.end(1, 2)

    assert bench.job.tasks[0].concluded
    bench.end(1, 3)
    assert bench.stands(J.FINISHED)


# -- stops --


def test_a_canceled_service_ends_canceled_whatever_its_instances_did() -> None:
    bench = running(2)
    bench.end(1, 1)

    bench.cancel_tasks((1, 0), message="enough")

    assert bench.state(1) is T.CANCELING
    assert bench.states(1)[0] == "Finished"
    bench.end_all()
    assert bench.state(1) is T.CANCELED
    assert set(bench.states(1)) <= {"Finished", "Failed", "Canceled"}
    assert bench.stands(J.FAILED)


def test_a_service_canceled_before_it_ran_leaves_a_canceled_job() -> None:
    bench = Bench(service()).submit()

    bench.cancel_tasks((1, 0))

    assert bench.state(1) is T.CANCELED
    assert bench.stands(J.CANCELED)


def test_a_canceled_instance_ends_failed_and_is_followed() -> None:
    bench = running(1)

    bench.cancel_tasks((1, 1))
    bench.stop(1, 1)

    assert bench.states(1) == ["Failed", "Dispatching"]


def test_a_finished_instance_is_followed() -> None:
    bench = running(1)

    bench.finish_tasks((1, 1))
    bench.stop(1, 1)

    assert bench.states(1) == ["Finished", "Dispatching"]


def test_finishing_the_service_concludes_it() -> None:
    bench = running(2)

    bench.finish_tasks((1, 0))
    bench.end_all()

    assert bench.states(1) == ["Finished"] * 2
    assert bench.stands(J.FINISHED)


@pytest.mark.parametrize(
    ("how", "job", "task"),
    [("cancel", J.CANCELED, T.FAILED), ("finish", J.FINISHED, T.FINISHED)],
)
def test_a_stopped_job_stops_its_service(
    how: str, job: JobState, task: TaskState
) -> None:
    bench = running(2, release())

    if how == "cancel":
        bench.cancel()
    else:
        bench.finish_job()
    bench.end_all()

    assert bench.stands(job)
    assert bench.state(1) is task


@pytest.mark.parametrize(
    ("how", "job"), [("cancel", J.CANCELED), ("finish", J.FINISHED)]
)
def test_a_service_whose_job_is_stopped_before_it_ran_is_canceled(
    how: str, job: JobState
) -> None:
    bench = Bench(service()).submit()

    if how == "cancel":
        bench.cancel()
    else:
        bench.finish_job()

    assert bench.stands(job)
    assert bench.state(1) is T.CANCELED


def test_a_gracefully_canceled_job_starts_no_more_instances() -> None:
    bench = running(2)

    bench.cancel(graceful=True)
    bench.end(1, 1)

    assert bench.states(1) == ["Finished", "Running"]


# -- requeue --


def test_a_requeued_job_cancels_its_instances_and_starts_new_ones() -> None:
    bench = running(2)

    bench.requeue()

    assert bench.states(1) == ["Canceling"] * 2
    bench.end_all()
    assert bench.stands(J.QUEUED)
    assert bench.state(1) is T.QUEUED
    assert [bench.state(1, i).label for i in (1, 2)] == ["Canceled"] * 2
    assert bench.note(1, 1)[0] == -2147218970
    assert counts(bench.job) == {}
    bench.grant({1: 1})
    assert bench.state(1, 3) is T.DISPATCHING
    assert counts(bench.job) == {"Dispatching": 1}


def test_failures_of_earlier_rounds_count_no_more() -> None:
    bench = Bench(service(critical_count=2)).start({1: 2})
    bench.fail(1, 1).now += 100
    bench.fail(1, 2)
    bench.end_all()
    assert bench.stands(J.FAILED)

    bench.requeue()
    bench.grant({1: 1}).run_all()
    bench.now += 100
    bench.fail(1, bench.job.tasks[0].count)

    assert bench.stands(J.RUNNING)
    assert bench.job.tasks[0].counts[T.FAILED] == 1
    with pytest.raises(HpcError):
        bench.cancel_tasks((1, 1))


@pytest.mark.parametrize("again", ["requeue", "configure"])
def test_a_concluded_or_canceled_service_serves_again(again: str) -> None:
    for stop in ("conclude", "cancel"):
        bench = running(1)
        if stop == "conclude":
            bench.conclude(cancel=True)
        else:
            bench.cancel_tasks((1, 0))
        bench.end_all()
        assert bench.job.state.terminal

        if again == "requeue":
            bench.requeue()
        else:
            bench.configure()
            assert bench.state(1) is T.CONFIGURING
            bench.submit()

        bench.grant({1: 1})
        assert bench.state(1, bench.job.tasks[0].count) is T.DISPATCHING


def test_a_cancel_replaces_a_requeue_under_way() -> None:
    bench = running(1)
    bench.requeue()

    bench.cancel("enough")

    bench.end_all()
    assert bench.stands(J.CANCELED)
    assert bench.state(1, 1) is T.FAILED


def test_a_rejected_service_has_failed_with_its_job() -> None:
    bench = Bench(service(), release(), settings=Settings(release_s=0))

    bench.submit()

    assert bench.stands(J.FAILED)
    assert bench.state(1) is T.FAILED
    assert bench.state(2) is T.FAILED


# -- what it wants --


def test_a_service_wants_the_whole_cluster_or_what_it_is_limited_to() -> None:
    def most(*, running: bool = False, **fields: Any) -> int:
        limits = {n: fields.pop(n) for n in ("max_cores", "min_cores") if n in fields}
        bench = Bench(service(**fields), **limits).submit()
        if running:
            bench.grant({1: 2})
        demand = demand_of(bench.job, bench.settings, 64)
        assert demand is not None
        return demand.most

    assert most() == 64
    assert most(running=True) == 64
    assert most(max_concurrent=3) == 3
    assert most(max_cores=5) == 5


def test_a_concluded_service_wants_nothing_and_gives_its_cores_back() -> None:
    bench = running(2)
    bench.conclude()
    assert demand_of(bench.job, bench.settings, 64) is None

    bench.end(1, 1)

    assert sum(len(use.cores) for use in bench.job.uses.values()) == 1


def test_a_service_too_wide_for_its_nodes_gets_others() -> None:
    bench = Bench(service(min_cores=3)).submit().grant({1: 2, 2: 1})

    assert bench.stands(J.QUEUED)
