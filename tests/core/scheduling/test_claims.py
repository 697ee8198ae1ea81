"""Preemption in plans: who gives up what, for whom, and who is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.scheduling.proposal import Preemption
from tests.support.plans import Cluster

LOW, HIGH = 1000, 3000


def low_priority_everywhere(**more: Any) -> Cluster:
    """Two jobs of low priority hold all eight cores; the second started later."""
    cluster = Cluster({1: 4, 2: 4})
    cluster.runs(1, {1: 4}, priority=LOW, can_preempt=True, start=10.0, **more)
    return cluster.runs(2, {2: 4}, priority=LOW, can_preempt=True, start=20.0, **more)


def test_by_default_nothing_is_preempted() -> None:
    assert low_priority_everywhere().waits(9, priority=HIGH).plan().preemptions == {}


@pytest.mark.parametrize("mode", ["Graceful", "Immediate"])
def test_the_latest_started_gives_up_just_what_is_needed(mode: str) -> None:
    plan = low_priority_everywhere().waits(9, 2, priority=HIGH).plan(preemption=mode)

    now = mode == "Immediate"
    assert plan.preemptions == {2: Preemption({2: 2}, now, whole=False, by=9)}
    assert plan.awaiting == {9: (2,)}
    assert plan.grants == {}


def test_the_lowest_priority_goes_first() -> None:
    cluster = Cluster({1: 4, 2: 4})
    cluster.runs(1, {1: 4}, priority=500, can_preempt=True, start=10.0)
    cluster.runs(2, {2: 4}, priority=LOW, can_preempt=True, start=20.0)

    plan = cluster.waits(9, 2, priority=HIGH).plan(preemption="Graceful")

    assert list(plan.preemptions) == [1]


@pytest.mark.parametrize("priority", [LOW, 500])
def test_nobody_of_equal_or_higher_priority_is_a_victim(priority: int) -> None:
    plan = low_priority_everywhere().waits(9, 2, priority=priority)
    assert plan.plan(preemption="Immediate").preemptions == {}


def test_nobody_is_a_victim_who_may_not_be_preempted() -> None:
    cluster = Cluster({1: 4}).runs(1, {1: 4}, priority=LOW)
    assert cluster.waits(9, priority=HIGH).plan(preemption="Immediate").preemptions == (
        {}
    )


def test_nobody_is_stopped_for_a_job_that_still_would_not_fit() -> None:
    cluster = Cluster({1: 4, 2: 4})
    cluster.runs(1, {1: 4}, priority=LOW, can_preempt=True).runs(2, {2: 1})
    plan = cluster.waits(9, 8, priority=HIGH).plan(preemption="Immediate")

    assert plan.preemptions == {}
    assert plan.reservation is not None
    assert plan.reservation.job_id == 9


def test_what_is_free_is_used_first_and_kept_for_the_job() -> None:
    cluster = Cluster({1: 4}).runs(1, {1: 3}, priority=LOW, can_preempt=True)
    cluster.waits(9, 2, priority=HIGH).waits(10, 1, priority=500, runtime=1.0)
    plan = cluster.plan(preemption="Graceful")

    assert plan.preemptions == {1: Preemption({1: 1}, by=9)}
    assert plan.grants == {}


def test_who_would_fall_below_its_minimum_gives_up_everything() -> None:
    cluster = Cluster({1: 4})
    cluster.runs(1, {1: 4}, priority=LOW, can_preempt=True, least=3)
    plan = cluster.waits(9, 2, priority=HIGH).plan(preemption="Immediate")

    assert plan.preemptions == {1: Preemption({1: 2}, immediate=True, whole=True, by=9)}


def test_without_preemption_of_tasks_whole_jobs_are_stopped() -> None:
    cluster = low_priority_everywhere().waits(9, 1, priority=HIGH)

    plan = cluster.plan(preemption="Immediate", single_tasks=False)
    assert plan.preemptions[2].whole
    plan = cluster.plan(preemption="Graceful", single_tasks=False)
    assert not plan.preemptions[2].whole, "gracefully nothing is stopped"


def test_what_is_being_given_up_is_not_asked_of_others_again() -> None:
    cluster = Cluster({1: 4, 2: 4})
    cluster.runs(1, {1: 4}, priority=LOW, can_preempt=True, start=10, owing={1: 2})
    cluster.runs(2, {2: 4}, priority=LOW, can_preempt=True, start=20)

    plan = cluster.waits(9, 2, priority=HIGH).plan(preemption="Graceful")
    assert plan.preemptions == {1: Preemption({1: 2}, by=9)}

    alone = Cluster(cluster.nodes, held=cluster.held, holders=cluster.holders)
    assert alone.plan(preemption="Graceful").preemptions == {}, "it may keep them"


def test_what_a_job_that_ends_still_holds_is_waited_for() -> None:
    cluster = low_priority_everywhere().runs(3, {}, ending=True)
    cluster.nodes[3] = 4
    cluster.runs(3, {3: 4}, ending=True)
    plan = cluster.waits(9, 4, priority=HIGH).plan(preemption="Immediate")

    assert plan.preemptions == {}
    assert plan.awaiting == {9: (3,)}


def test_several_jobs_are_each_promised_other_cores() -> None:
    cluster = low_priority_everywhere()
    cluster.waits(8, 4, priority=HIGH).waits(9, 4, priority=HIGH).waits(
        10, 1, priority=HIGH
    )
    plan = cluster.plan(preemption="Immediate")

    assert {job: p.cores for job, p in plan.preemptions.items()} == {
        2: {2: 4},
        1: {1: 4},
    }
    assert set(plan.awaiting) == {8, 9}


def test_an_exclusive_job_leaves_its_node_altogether() -> None:
    cluster = Cluster({1: 4, 2: 4})
    cluster.runs(1, {1: 4, 2: 4}, priority=LOW, can_preempt=True, exclusive=True)
    plan = cluster.waits(9, 1, priority=HIGH).plan(preemption="Immediate")

    assert plan.preemptions[1].cores == {1: 4}
    assert not plan.preemptions[1].whole


def test_a_job_that_wants_nodes_for_itself_gets_them_whole() -> None:
    cluster = Cluster({1: 4})
    cluster.runs(1, {1: 2}, priority=LOW, can_preempt=True)
    cluster.runs(2, {1: 1}, priority=LOW, can_preempt=True)
    cluster.waits(9, 1, priority=HIGH, exclusive=True)

    plan = cluster.plan(preemption="Immediate")

    assert {j: p.cores for j, p in plan.preemptions.items()} == {1: {1: 2}, 2: {1: 1}}


def test_victims_on_the_wrong_nodes_are_spared() -> None:
    cluster = low_priority_everywhere()
    cluster.waits(9, 2, priority=HIGH, requested=frozenset({"n1"}))

    assert list(cluster.plan(preemption="Immediate").preemptions) == [1]


def test_a_running_job_grows_by_preempting_only_where_that_is_switched_on() -> None:
    cluster = Cluster({1: 4})
    cluster.runs(1, {1: 3}, priority=LOW, can_preempt=True)
    cluster.runs(2, {1: 1}, priority=HIGH).grows(2, 3)

    assert cluster.plan(preemption="Graceful").preemptions == {}
    plan = cluster.plan(preemption="Graceful", grow_by_preemption=True)
    assert plan.preemptions == {1: Preemption({1: 2}, by=2)}


def test_a_victim_gets_nothing_new_meanwhile() -> None:
    cluster = Cluster({1: 4})
    cluster.runs(1, {1: 2}, priority=LOW, can_preempt=True, owing={1: 1}).grows(1, 4)

    assert cluster.plan(preemption="Graceful").grants == {}


def test_what_is_above_a_jobs_cap_goes_back_as_tasks_end() -> None:
    cluster = Cluster({1: 4, 2: 4}).runs(1, {1: 4, 2: 2}, cap=3)

    for mode in ("None", "Immediate"):
        plan = cluster.plan(preemption=mode)
        assert plan.preemptions == {1: Preemption({2: 2, 1: 1})}


VICTIMS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 3),
        st.sampled_from([500, 1000, 2000, 3000]),
        st.booleans(),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=7,
)
WAITING = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from([1000, 2000, 4000]),
        st.integers(1, 2),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@given(VICTIMS, WAITING, st.sampled_from(["Graceful", "Immediate"]), st.booleans())
def test_whoever_gives_up_may_be_preempted_and_it_suffices(
    running: list[tuple[int, int, int, bool, int, bool]],
    waiting: list[tuple[int, int, int, bool]],
    mode: str,
    single: bool,
) -> None:
    cluster = Cluster({1: 4, 2: 3, 3: 2})
    for number, (node, most, priority, may, least, alone) in enumerate(running, 1):
        cores = min(most, len(cluster.free(node)))
        on_node = [h for h in cluster.held.values() if node in h]
        if not cores or (on_node and alone):
            continue
        if any(
            cluster.holders[j].exclusive for j, h in cluster.held.items() if node in h
        ):
            continue
        cluster.runs(
            number,
            {node: cores},
            priority=priority,
            can_preempt=may,
            least=min(least, cores),
            exclusive=alone,
        )
    for number, (least, priority, width, alone) in enumerate(waiting, 11):
        cluster.waits(
            number,
            least,
            priority=priority,
            width=min(width, least),
            exclusive=alone,
        )
    wants = {demand.job_id: demand for demand in cluster.demands}

    plan = cluster.plan(preemption=mode, single_tasks=single)

    for job_id, preemption in plan.preemptions.items():
        victim = cluster.holders[job_id]
        assert victim.can_preempt
        assert victim.priority < wants[preemption.by].priority
        held = {n: len(cores) for n, cores in cluster.held[job_id].items()}
        assert all(count <= held[n] for n, count in preemption.cores.items())
        left = sum(held.values()) - sum(preemption.cores.values())
        assert left >= victim.least or preemption.whole
    # Once it has been given up, the first for whom it was starts.
    after = Cluster(cluster.nodes, demands=cluster.demands)
    for job_id, holdings in cluster.held.items():
        gone = plan.preemptions.get(job_id)
        kept = {
            n: cores[: len(cores) - (0 if gone is None else gone.cores.get(n, 0))]
            for n, cores in holdings.items()
        }
        if gone is not None and gone.whole:
            kept = {}
        after.held[job_id] = {n: cores for n, cores in kept.items() if cores}
        after.holders[job_id] = cluster.holders[job_id]
    for job_id, grant in plan.grants.items():
        after.runs(job_id, {})
        after.held[job_id] = grant
        wanted = wants[job_id]
        after.runs(job_id, {}, exclusive=wanted.exclusive)
        after.held[job_id] = grant
    after.demands = [d for d in cluster.demands if d.job_id not in plan.grants]
    first = min(plan.awaiting, key=lambda j: wants[j].order, default=0)
    assert not first or first in after.plan().grants
