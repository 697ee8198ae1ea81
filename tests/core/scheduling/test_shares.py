"""Shares: Balanced mode, and the guarantees of pools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.scheduling.proposal import Preemption
from hpcsched.core.scheduling.shares import (
    Claimant,
    guarantees_of,
    shared_out,
    weight_of,
)
from tests.support.plans import Cluster


@pytest.mark.parametrize(
    ("bias", "expected"), [(10.0, (1, 10, 100)), (2.0, (16, 32, 63)), (1.0, (37,) * 3)]
)
def test_the_surplus_goes_by_priority_and_bias(
    bias: float, expected: tuple[int, ...]
) -> None:
    among = [
        Claimant(number, 0, 1000, weight_of(1000 * number, bias)) for number in range(3)
    ]

    assert tuple(shared_out(111, among).values()) == expected


def test_a_bias_is_scaled_between_the_bands() -> None:
    assert weight_of(1500, 10.0) / weight_of(1000, 10.0) == pytest.approx(10**0.5)


def test_what_one_cannot_use_goes_to_the_others() -> None:
    among = [Claimant(1, 1, 2, 100.0), Claimant(2, 1, 50, 1.0), Claimant(3, 1, 4, 1.0)]

    assert shared_out(20, among) == {1: 2, 2: 14, 3: 4}


CLAIMANTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from([1.0, 2.0, 31.6])),
    max_size=8,
)


@given(st.integers(0, 60), CLAIMANTS)
def test_everybody_gets_its_minimum_first_and_nothing_is_wasted(
    total: int, items: list[tuple[int, int, float]]
) -> None:
    among = [Claimant(n, low, low + more, w) for n, (low, more, w) in enumerate(items)]

    shares = shared_out(total, among)

    assert all(one.low <= shares[one.key] <= one.high for one in among)
    minima, maxima = sum(c.low for c in among), sum(c.high for c in among)
    assert sum(shares.values()) == max(minima, min(total, maxima))


def test_guarantees_are_parts_of_the_cores_by_weight() -> None:
    assert guarantees_of([("a", 3), ("b", 1), ("c", 0)], 10) == {"a": 7, "b": 2, "c": 0}
    assert guarantees_of([("a", 0)], 10) == {"a": 0}


# Balanced mode


def test_in_balanced_mode_everybody_starts_with_its_minimum() -> None:
    cluster = Cluster({1: 8}).waits(1, 2, 8, priority=3000).waits(2, 2, 8).waits(3, 4)

    plan = cluster.plan(balanced=True)

    sizes = {job: sum(map(len, grant.values())) for job, grant in plan.grants.items()}
    assert sizes == {1: 2, 2: 2, 3: 4}


def test_the_surplus_is_shared_by_priority_as_jobs_grow() -> None:
    cluster = Cluster({1: 16})
    cluster.runs(1, {1: 2}, priority=3000, least=2, most=16).grows(1, 16)
    cluster.runs(2, {1: 2}, priority=2000, least=2, most=16).grows(2, 16)

    plan = cluster.plan(balanced=True, bias=2.0)
    sizes = {job: sum(map(len, grant.values())) for job, grant in plan.grants.items()}
    assert sizes == {1: 10, 2: 6}, "twice as much of the twelve beyond the minima"
    plan = cluster.plan(balanced=True, bias=1.0)
    sizes = {job: sum(map(len, grant.values())) for job, grant in plan.grants.items()}
    assert sizes == {1: 8, 2: 8}


def test_shares_are_looked_at_only_when_it_is_time() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 7}, most=8).runs(2, {1: 1}, most=8)
    cluster.grows(2, 8)

    assert cluster.plan(balanced=True, preemption="Graceful").preemptions == {}
    plan = cluster.plan(balanced=True, preemption="Graceful", rebalance=True)
    assert plan.preemptions == {1: Preemption({1: 3})}
    plan = cluster.plan(balanced=True, preemption="None", rebalance=True)
    assert plan.preemptions == {}


@pytest.mark.parametrize("may", [False, True])
def test_at_once_only_tasks_of_those_that_may_be_preempted_are_stopped(
    may: bool,
) -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 7}, most=8, can_preempt=may)
    cluster.runs(2, {1: 1}, most=8).grows(2, 8)

    plan = cluster.plan(balanced=True, preemption="Immediate", rebalance=True)

    assert plan.preemptions[1].immediate == may


def test_what_is_asked_for_a_share_stands_until_shares_are_looked_at_again() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 7}, most=8, owing={1: 3})
    cluster.runs(2, {1: 1}, most=8).grows(2, 8)

    plan = cluster.plan(balanced=True, preemption="Graceful")
    assert plan.preemptions == {1: Preemption({1: 3})}


def test_a_minimum_is_taken_from_what_others_have_beyond_theirs() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 8}, priority=4000, least=2, most=8)
    plan = cluster.waits(2, 3, priority=1000).plan(balanced=True, preemption="Graceful")

    assert plan.preemptions == {1: Preemption({1: 3}, by=2)}


def test_nobody_gives_up_more_than_others_can_use() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 7}, most=8).runs(2, {1: 1}, most=2)
    cluster.grows(2, 2)

    plan = cluster.plan(balanced=True, preemption="Graceful", rebalance=True)
    assert plan.preemptions == {1: Preemption({1: 1})}


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 4)),
        min_size=1,
        max_size=8,
    )
)
def test_in_balanced_mode_nobody_gets_more_while_a_minimum_is_missing(
    jobs: list[tuple[int, int, int]],
) -> None:
    cluster = Cluster({1: 4, 2: 4, 3: 4})
    for number, (least, most, priority) in enumerate(jobs, start=1):
        cluster.waits(number, least, most, priority=1000 * priority)

    plan = cluster.plan(balanced=True)

    for demand in cluster.demands:
        grant = plan.grants.get(demand.job_id)
        assert grant is None or sum(map(len, grant.values())) == demand.least


# Pools


def pools(a: int, b: int) -> dict[str, int]:
    return {"a": a, "b": b}


def test_a_pools_jobs_get_at_least_its_guarantee() -> None:
    cluster = Cluster({1: 8})
    for number in range(1, 9):
        cluster.waits(number, priority=3000, pool="a")
    for number in range(11, 19):
        cluster.waits(number, priority=1000, pool="b")

    plan = cluster.plan(guarantees=pools(6, 2))

    assert set(plan.grants) == {1, 2, 3, 4, 5, 6, 11, 12}


def test_an_idle_guarantee_is_lent() -> None:
    cluster = Cluster({1: 8})
    for number in range(1, 10):
        cluster.waits(number, pool="a")

    assert len(cluster.plan(guarantees=pools(2, 6)).grants) == 8


@pytest.mark.parametrize(
    ("mode", "may", "given"),
    [
        ("Immediate", True, True),
        ("Graceful", True, True),
        ("None", True, False),
        ("Immediate", False, False),
    ],
)
def test_what_was_lent_is_taken_back_by_preemption(
    mode: str, may: bool, given: bool
) -> None:
    cluster = Cluster({1: 8})
    cluster.runs(1, {1: 8}, priority=4000, pool="a", can_preempt=may)
    cluster.waits(2, 2, priority=1000, pool="b")

    plan = cluster.plan(guarantees=pools(6, 2), preemption=mode)

    assert {j: p.cores for j, p in plan.preemptions.items()} == (
        {1: {1: 2}} if given else {}
    )


def test_no_more_is_taken_back_than_was_lent() -> None:
    cluster = Cluster({1: 8})
    cluster.runs(1, {1: 7}, pool="a", can_preempt=True, least=7)
    cluster.runs(2, {1: 1}, pool="b")
    cluster.waits(3, 1, pool="b")

    plan = cluster.plan(guarantees=pools(6, 2), preemption="Immediate")

    assert plan.preemptions == {}, "the job would have to go, and its pool is due six"


def test_priority_takes_nothing_from_within_another_pools_guarantee() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 2}, priority=1000, pool="b", can_preempt=True)
    cluster.runs(2, {1: 6}, pool="a").waits(3, 1, priority=4000, pool="a")

    plan = cluster.plan(guarantees=pools(6, 2), preemption="Immediate")

    assert plan.preemptions == {}


def test_in_its_own_pool_a_job_preempts_by_priority() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 8}, priority=1000, pool="a", can_preempt=True)
    cluster.waits(3, 1, priority=4000, pool="a")

    plan = cluster.plan(guarantees=pools(8, 0), preemption="Immediate")

    assert plan.preemptions[1].cores == {1: 1}


def test_a_job_grows_into_its_pools_guarantee_before_others_borrow_it() -> None:
    cluster = Cluster({1: 8}).runs(1, {1: 2}, priority=1000, pool="b").grows(1, 8)
    cluster.waits(2, 1, 8, priority=4000, pool="a")

    plan = cluster.plan(guarantees=pools(4, 4))

    sizes = {job: sum(map(len, grant.values())) for job, grant in plan.grants.items()}
    assert sizes == {1: 4, 2: 4}


def test_in_balanced_mode_pools_share_by_their_guarantees() -> None:
    cluster = Cluster({1: 12})
    cluster.runs(1, {1: 1}, pool="a", most=12).grows(1, 12)
    cluster.runs(2, {1: 1}, pool="b", most=12).grows(2, 12)

    plan = cluster.plan(balanced=True, guarantees=pools(9, 3))

    sizes = {job: sum(map(len, grant.values())) for job, grant in plan.grants.items()}
    assert sizes == {1: 9, 2: 3}
