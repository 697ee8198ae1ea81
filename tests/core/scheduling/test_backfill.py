"""Backfill: what runs ahead must be over in time, or keep off what is reserved."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.scheduling.snapshot import Demand
from tests.support.plans import Cluster


def four_cores_and_a_large_job() -> Cluster:
    """A job of one core ends at 1100; one that needs all four waits."""
    return Cluster({1: 4}).runs(1, {1: 1}, end=1100.0).waits(2, 4)


@pytest.mark.parametrize(
    ("runtime", "starts"), [(0.0, False), (50.0, True), (100.0, True), (101.0, False)]
)
def test_a_short_job_goes_ahead_if_its_limit_ends_before_the_reservation(
    runtime: float, starts: bool
) -> None:
    plan = four_cores_and_a_large_job().waits(3, 1, runtime=runtime).plan()

    assert plan.grants == ({3: {1: (1,)}} if starts else {})
    assert plan.backfilled == ({3} if starts else set())
    assert plan.reservation is not None
    assert (plan.reservation.job_id, plan.reservation.start) == (2, 1100.0)
    assert plan.reservation.claim == {1: 4}
    assert plan.reservation.waits_for == (1,)


def test_a_long_job_may_use_what_the_reservation_leaves_over() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 4}, end=1100.0).waits(2, 6)
    plan = cluster.waits(3, 1, 4).waits(4, 1, 4).plan()

    assert plan.grants == {3: {1: (4, 5)}}, "two of the eight cores are not needed"


def test_a_long_job_may_use_other_nodes() -> None:
    cluster = Cluster({1: 4, 2: 4}).runs(1, {1: 2, 2: 2}, end=1100.0)
    plan = cluster.waits(2, 4, requested=frozenset({"n1"})).waits(3, 2).plan()

    assert plan.grants == {3: {2: (2, 3)}}
    assert plan.backfilled == {3}


def test_only_so_many_are_looked_at_as_backfill_lookahead_says() -> None:
    cluster = four_cores_and_a_large_job()
    for job_id in (3, 4, 5):
        cluster.waits(job_id, 2 if job_id < 5 else 1, width=4 if job_id < 5 else 1)
    cluster.demands[-1] = Demand(5, (-2000, 1, 5), 1, 1, runtime=10.0)

    assert cluster.plan(lookahead=0).grants == {}
    assert cluster.plan(lookahead=2).grants == {}
    assert cluster.plan(lookahead=3).grants == {5: {1: (1,)}}
    assert cluster.plan(lookahead=-1).grants == {5: {1: (1,)}}


def test_jobs_without_a_limit_never_end_for_the_plan() -> None:
    cluster = Cluster({1: 4, 2: 4}).runs(1, {1: 4, 2: 1}).waits(2, 4)
    plan = cluster.waits(3, 1).waits(4, 1, runtime=1e6).plan()

    assert plan.reservation is not None
    assert plan.reservation.start == inf
    assert plan.reservation.claim == {2: 4}, "the node that is nearly free is kept"
    assert list(plan.grants) == [4], "what ends may run, what may not end must wait"


def test_an_exclusive_job_keeps_its_nodes_free_of_long_ones() -> None:
    cluster = Cluster({1: 4}).runs(1, {1: 1}, end=1100.0).waits(2, 1, exclusive=True)
    assert cluster.waits(3, 1).plan().grants == {}
    assert cluster.waits(4, 1, runtime=100).plan().grants == {4: {1: (1,)}}


def test_a_running_job_does_not_grow_into_a_reservation() -> None:
    for end, grows in ((inf, False), (1050.0, True), (1150.0, True)):
        cluster = Cluster({1: 4}).runs(1, {1: 1}, end=1100.0)
        cluster.runs(5, {1: 1}, end=end).waits(2, 4).grows(5, 4)
        assert bool(cluster.plan().grants) == grows


def test_who_is_first_and_fits_is_not_backfilled() -> None:
    plan = Cluster({1: 4}).waits(1, 2).waits(2, 2).plan()

    assert set(plan.grants) == {1, 2}
    assert plan.backfilled == set()
    assert plan.reservation is None


def test_the_first_end_after_which_it_fits_is_found_among_many() -> None:
    cluster = Cluster(dict.fromkeys(range(1, 41), 2))
    for number in range(1, 41):
        cluster.runs(100 + number, {number: 1}, end=1000.0 + number)
    for number in range(1, 41):
        cluster.runs(200 + number, {number: 1}, end=2000.0 - number)
    cluster.waits(1, 2, 2, width=2)

    plan = cluster.plan(explain=True)

    assert plan.reservation is not None
    assert plan.reservation.start == 1960.0
    assert plan.reservation.claim == {40: 2}


def test_what_is_on_its_way_out_is_waited_for_without_a_reservation() -> None:
    cluster = Cluster({1: 4}).runs(1, {1: 3}, ending=True).waits(2, 4)
    plan = cluster.waits(3, 1).plan()

    assert plan.awaiting == {2: (1,)}
    assert plan.grants == {}, "what is free is kept for it"
    assert plan.preemptions == {}


JOBS = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.integers(0, 3),
        st.sampled_from([0.0, 10.0, 30.0, 100.0]),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=8,
)
RUNNING = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([inf, 1020, 1060])),
    max_size=5,
)


@given(RUNNING, JOBS)
def test_a_reservation_is_never_delayed_when_limits_are_kept(
    running: list[tuple[int, int, float]], waiting: list[tuple[int, int, float, int]]
) -> None:
    cluster = Cluster({1: 4, 2: 3, 3: 2})
    for number, (node, most, end) in enumerate(running, start=1):
        cores = min(most, len(cluster.free(node)))
        if cores:
            cluster.runs(number, {node: cores}, end=end)
    for number, (least, more, runtime, width) in enumerate(waiting, start=11):
        cluster.waits(
            number, least, least + more, runtime=runtime, width=min(width, least)
        )
    plan = cluster.plan()
    reservation = plan.reservation
    if reservation is None or reservation.start == inf:
        return

    later = Cluster(cluster.nodes, now=reservation.start)
    runtimes = {demand.job_id: demand.runtime for demand in cluster.demands}
    for job_id, held in cluster.held.items():
        if cluster.holders[job_id].end > later.now:
            later.held[job_id] = held
            later.holders[job_id] = cluster.holders[job_id]
    for job_id, grant in plan.grants.items():
        runtime = runtimes[job_id]
        if not runtime or cluster.now + runtime > later.now:
            later.held[job_id] = grant
            later.runs(job_id, {})
            later.held[job_id] = grant
    later.demands = [d for d in cluster.demands if d.job_id == reservation.job_id]

    assert reservation.job_id in later.plan().grants


@given(RUNNING, JOBS, st.integers(-1, 4))
def test_with_backfill_as_without_no_core_is_given_twice(
    running: list[tuple[int, int, float]],
    waiting: list[tuple[int, int, float, int]],
    lookahead: int,
) -> None:
    cluster = Cluster({1: 4, 2: 3, 3: 2})
    for number, (node, most, end) in enumerate(running, start=1):
        cores = min(most, len(cluster.free(node)))
        if cores:
            cluster.runs(number, {node: cores}, end=end)
    for number, (least, more, runtime, width) in enumerate(waiting, start=11):
        cluster.waits(
            number, least, least + more, runtime=runtime, width=min(width, least)
        )

    plan = cluster.plan(lookahead=lookahead)

    taken = [(n, c) for grant in plan.grants.values() for n in grant for c in grant[n]]
    assert len(taken) == len(set(taken))
    assert all(core in cluster.free(node) for node, core in taken)
    for demand in cluster.demands:
        got = sum(len(cores) for cores in plan.grants.get(demand.job_id, {}).values())
        assert got == 0 or demand.least <= got <= demand.most
