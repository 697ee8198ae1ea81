"""Stopping services, queueing them again, and what they want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.show import task_view
from hpcsched.core.job.states import JobState, UnitType
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import (
    Bench,
    counts,
    release,
    service,
)
from tests.support.job_services import running

if TYPE_CHECKING:
    pass

J, T = JobState, TaskState


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
        demand = demand_of(bench.job, bench.settings, {UnitType.CORE: 64})
        assert demand is not None
        return demand.most

    assert most() == 64
    assert most(running=True) == 64
    assert most(max_concurrent=3) == 3
    assert most(max_cores=5) == 5


def test_a_concluded_service_wants_nothing_and_gives_its_cores_back() -> None:
    bench = running(2)
    bench.conclude()
    assert demand_of(bench.job, bench.settings, {UnitType.CORE: 64}) is None

    bench.end(1, 1)

    assert sum(len(use.cores) for use in bench.job.uses.values()) == 1


def test_a_service_too_wide_for_its_nodes_gets_others() -> None:
    bench = Bench(service(min_cores=3)).submit().grant({1: 2, 2: 1})

    assert bench.stands(J.QUEUED)


def test_an_instance_whose_cores_are_owed_is_asked_to_exit() -> None:
    bench = running(3)

    bench.preempt({1: 1}, text="preempted by job 9")

    assert bench.states(1).count("Canceling") == 1
    asked = bench.states(1).index("Canceling") + 1
    view = task_view(bench.job, bench.job.tasks[0], asked, str)
    assert view.exit_if_possible
    bench.stop(1, asked)
    assert bench.state(1, asked) is T.CANCELED
    assert bench.note(1, asked) == (-2147218976, "preempted by job 9")
    assert counts(bench.job) == {"Running": 2, "Canceled": 1}
    assert sum(len(use.cores) for use in bench.job.uses.values()) == 2


def test_a_service_that_gives_everything_up_starts_again_later() -> None:
    bench = running(2)

    bench.preempt({}, whole=True)
    bench.end_all()

    assert bench.stands(J.QUEUED)
    assert bench.state(1) is T.QUEUED
    bench.grant({1: 1})
    assert bench.state(1, 3) is T.DISPATCHING
