"""What follows an instance of a service, and how soon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.states import JobState, NodeLoss, UnitType
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import (
    Bench,
    counts,
    service,
)
from tests.support.job_services import fail_late, running

if TYPE_CHECKING:
    pass

J, T = JobState, TaskState


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


def test_a_wall_clock_that_is_set_back_prolongs_no_pause() -> None:
    bench = Bench(service())
    bench.now += 10_000.0
    bench.start({1: 1}).fail(1, 1)
    bench.now -= 3600.0

    wake = next_tick(bench.job, bench.settings, bench.now)
    assert wake == bench.now
    bench.tick(0.0)

    assert bench.job.tasks[0].count == 2
    assert next_tick(bench.job, bench.settings, bench.now) is None


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
    assert demand_of(bench.job, bench.settings, {UnitType.CORE: 9}) is None

    wake = next_tick(bench.job, bench.settings, bench.now)
    assert wake == bench.now + 10
    bench.tick(10.0)

    assert not bench.job.tasks[0].strikes
    assert next_tick(bench.job, bench.settings, bench.now) is None
    assert demand_of(bench.job, bench.settings, {UnitType.CORE: 9}) is not None


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
