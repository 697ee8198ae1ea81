"""Holding jobs: J31 and lifecycle.md 3.4."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.holds import hold_deadline
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, PendingReason, UnitType
from hpcsched.core.job.waiting import held_back
from hpcsched.core.settings import Settings
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import ANN, BOB, ROOT, Bench, plain, sweep

R = PendingReason
YEAR = 365 * 86400.0


def wants(bench: Bench) -> bool:
    return demand_of(bench.job, Settings(), {UnitType.CORE: 100}) is not None


def test_a_held_job_wants_nothing_and_holds_back_nobody() -> None:
    bench = Bench(plain()).submit()
    assert wants(bench)

    bench.hold()

    assert bench.stands(JobState.QUEUED)
    assert held_back(bench.job) is R.HELD_BY_USER
    assert not wants(bench)


def test_cores_that_were_on_their_way_do_not_start_a_held_job() -> None:
    bench = Bench(plain()).submit()
    bench.hold()

    bench.grant()

    assert bench.stands(JobState.QUEUED)
    assert not bench.job.uses


def test_reaching_the_time_makes_it_eligible_and_no_more() -> None:
    bench = Bench(plain()).submit()
    order = bench.job.order
    bench.hold(until=150.0)
    assert hold_deadline(bench.job) == 150.0

    bench.tick(49.0)
    assert held_back(bench.job) is R.HELD_BY_USER
    bench.tick(1.0)

    assert held_back(bench.job) is R.NONE
    assert bench.job.hold_until is None
    assert bench.job.order == order
    assert bench.stands(JobState.QUEUED)
    assert wants(bench)


def test_a_hold_without_a_time_lasts_until_it_is_released() -> None:
    bench = Bench(plain()).submit()
    bench.hold()

    bench.tick(10 * YEAR)
    assert held_back(bench.job) is R.HELD_BY_USER
    bench.release()

    assert held_back(bench.job) is R.NONE


def test_releasing_what_is_not_held_is_no_error_and_no_event() -> None:
    bench = Bench(plain()).submit()
    revision = bench.job.revision

    bench.release()

    assert bench.job.revision == revision


@pytest.mark.parametrize("state", ["configuring", "running", "canceled"])
def test_only_a_queued_job_is_held_and_released(state: str) -> None:
    bench = Bench(plain())
    if state != "configuring":
        bench.submit()
    if state == "running":
        bench.grant()
    if state == "canceled":
        bench.cancel()

    for command in (c.HoldJob(caller=ANN), c.ReleaseJob(caller=ANN)):
        assert bench.refused(command).hresult == -2147220790


@pytest.mark.parametrize(
    ("until", "number"),
    [
        (100.0, -2147220789),
        (50.0, -2147220789),
        (100.0 + 366 * 86400 + 1, -2147220783),
    ],
)
def test_the_time_is_in_the_future_and_within_a_year(until: float, number: int) -> None:
    bench = Bench(plain()).submit()

    assert bench.refused(c.HoldJob(caller=ANN, until=until)).hresult == number


def test_an_administrators_hold_is_not_the_owners_to_lift() -> None:
    bench = Bench(plain()).submit()
    bench.hold(caller=ROOT)
    assert held_back(bench.job) is R.HELD_BY_ADMIN

    for command in (c.ReleaseJob(caller=ANN), c.HoldJob(caller=ANN, until=150.0)):
        assert bench.refused(command).reason == "PERMISSION_DENIED"
    bench.cancel()
    bench.requeue()
    assert held_back(bench.job) is R.HELD_BY_ADMIN
    bench.configure()
    bench.submit()
    assert held_back(bench.job) is R.HELD_BY_ADMIN

    bench.release(caller=ROOT)
    assert held_back(bench.job) is R.NONE


def test_a_stranger_holds_nothing() -> None:
    bench = Bench(plain()).submit()

    for command in (c.HoldJob(caller=BOB), c.ReleaseJob(caller=BOB)):
        assert bench.refused(command).reason == "PERMISSION_DENIED"


def test_a_job_is_submitted_with_a_hold_of_its_own() -> None:
    bench = Bench(plain(), hold_until=500.0).submit()

    assert held_back(bench.job) is R.HELD_BY_USER
    assert bench.job.hold_until == 500.0


def test_a_time_that_has_passed_meanwhile_holds_nothing() -> None:
    bench = Bench(plain(), hold_until=500.0)
    bench.now = 501.0

    bench.submit()

    assert held_back(bench.job) is R.NONE


def test_a_hold_of_the_activation_filter_is_about_one_place_in_the_queue() -> None:
    bench = Bench(plain()).submit()
    for job in (bench.job, bench.watcher.shadow):
        job.held_by, job.hold_until = R.HELD_BY_ACTIVATION_FILTER, 900.0
    bench.cancel()

    bench.requeue()

    assert held_back(bench.job) is R.NONE


def test_the_activation_filters_hold_ends_by_itself_too() -> None:
    bench = Bench(plain()).submit()
    for job in (bench.job, bench.watcher.shadow):
        job.held_by, job.hold_until = R.HELD_BY_ACTIVATION_FILTER, 900.0

    bench.tick(800.0)

    assert held_back(bench.job) is R.NONE


def test_an_empty_job_that_is_held_does_not_end_before_its_time() -> None:
    bench = Bench(hold_until=500.0).submit()
    assert bench.stands(JobState.QUEUED)

    bench.tick(400.0)

    assert bench.stands(JobState.FINISHED)


def test_a_held_job_of_which_everything_was_canceled_ends() -> None:
    bench = Bench(plain(), hold_until=500.0).submit()

    bench.cancel_tasks((1, 0))

    assert bench.stands(JobState.CANCELED)


def test_an_edit_of_a_held_job_keeps_the_hold() -> None:
    bench = Bench(sweep(2)).submit()
    bench.hold(until=400.0)

    bench.modify(custom_properties={"k": "v"})

    assert held_back(bench.job) is R.HELD_BY_USER
    assert bench.job.hold_until == 400.0


def test_an_earlier_hold_is_replaced() -> None:
    bench = Bench(plain()).submit()
    bench.hold()

    bench.hold(until=200.0)

    assert bench.job.hold_until == 200.0
    assert replace(JobSpec(), hold_until=None) == JobSpec()
