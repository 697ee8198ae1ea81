"""The planner: queue order, what fits, what never fits, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.plan import plan
from hpcsched.core.scheduling.snapshot import Demand, NodeFree, Policy


def node(node_id: int, cores: int, free: int | None = None, **more: Any) -> NodeFree:
    count = cores if free is None else free
    return NodeFree(node_id, f"n{node_id}", cores, free=list(range(count)), **more)


def demand(job_id: int, least: int = 1, most: int | None = None, **more: Any) -> Demand:
    return Demand(
        **{
            "job_id": job_id,
            "order": (-2000, 1, job_id),
            "least": least,
            "most": max(least, most or least),
            **more,
        }
    )


def test_jobs_get_cores_in_queue_order_until_there_are_none() -> None:
    result = plan([demand(1, 1, 2), demand(2, 1, 5), demand(3)], [node(1, 4)], {})

    assert result.grants == {1: {1: (0, 1)}, 2: {1: (2, 3)}}


def test_a_job_gets_nothing_rather_than_too_little() -> None:
    assert plan([demand(1, 5, 9)], [node(1, 8, 4)], {}).grants == {}


def test_who_cannot_start_now_holds_back_those_behind() -> None:
    result = plan([demand(1, 8), demand(2)], [node(1, 8, 4)], {})

    assert result.grants == {}
    assert result.never == {}


def test_who_can_never_start_holds_back_nobody() -> None:
    asked = [
        demand(1, 9),
        demand(2, requested=frozenset({"gone"})),
        demand(3, excluded=frozenset({"n1"})),
        demand(4, width=9),
        demand(5),
    ]
    result = plan(asked, [node(1, 8)], {})

    assert result.grants == {5: {1: (0,)}}
    assert result.never == {
        1: PendingReason.NOT_ENOUGH_RESOURCE,
        2: PendingReason.REQUIRED_NODES_NOT_AVAILABLE,
        3: PendingReason.NOT_ENOUGH_RESOURCE,
        4: PendingReason.NOT_ENOUGH_RESOURCE,
    }


def test_an_exclusive_job_waits_for_a_busy_node_and_holds_back_the_others() -> None:
    busy = node(1, 4, 2, jobs={9})
    result = plan([demand(1, exclusive=True), demand(2)], [busy], {})

    assert (result.grants, result.never) == ({}, {})


def test_an_exclusive_job_gets_whole_nodes_and_only_those_it_needs() -> None:
    result = plan([demand(1, 3, 3, exclusive=True)], [node(1, 4), node(2, 4)], {})

    assert result.grants == {1: {1: (0, 1, 2, 3)}}


def test_nobody_gets_onto_the_node_of_an_exclusive_job() -> None:
    theirs = node(1, 4, 2, jobs={9}, exclusive=9)
    result = plan([demand(1)], [theirs, node(2, 2)], {})

    assert result.grants == {1: {2: (0,)}}


def test_a_grant_names_all_that_the_job_then_holds_there() -> None:
    free = node(1, 4, 0)
    free.free = [2, 3]
    growing = demand(1, 0, 4, running=True)
    result = plan([growing], [free], {1: {1: (0,)}})

    assert result.grants == {1: {1: (0, 2, 3)}}


def test_a_job_that_grows_prefers_where_it_is() -> None:
    growing = demand(1, 0, 2, running=True)
    result = plan([growing], [node(1, 16), node(2, 4)], {1: {2: (3,)}})

    assert list(result.grants[1]) == [2]


def test_many_cores_come_first_then_much_memory() -> None:
    nodes = [node(1, 2), node(2, 8), node(3, 8, memory_bytes=9)]
    result = plan([demand(1), demand(2, 8)], nodes, {})

    assert list(result.grants[1]) == [3]


def test_cores_are_given_for_whole_processes() -> None:
    wide = demand(1, 2, 100, width=2)
    result = plan([wide], [node(1, 5), node(2, 3)], {})

    assert {n: len(c) for n, c in result.grants[1].items()} == {1: 4, 2: 2}


def test_remainders_of_several_nodes_make_no_process() -> None:
    wide = demand(1, 2, 2, width=2)

    assert plan([wide], [node(1, 4, 1), node(2, 4, 1)], {}).grants == {}


def test_nothing_is_given_where_the_job_is_about_to_leave() -> None:
    leaving = demand(1, 0, 4, running=True, closed=frozenset({1}))

    assert plan([leaving], [node(1, 4)], {}).grants == {}


NODES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=5
)
DEMANDS = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(1, 4), st.booleans()),
    max_size=12,
)


@given(NODES, DEMANDS)
def test_no_core_is_given_twice_and_nobody_gets_too_little_or_too_much(
    sizes: list[tuple[int, int]], asked: list[tuple[int, int, int, bool]]
) -> None:
    nodes = [
        node(n, cores, min(cores, free), jobs={99} if free < cores else set())
        for n, (cores, free) in enumerate(sizes, start=1)
    ]
    demands = [
        demand(n, least, least + more, width=min(width, least), exclusive=exclusive)
        for n, (least, more, width, exclusive) in enumerate(asked, start=1)
    ]
    free = {one.node_id: set(one.free) for one in nodes}

    strict = Policy(lookahead=0)
    result = plan(demands, [one.copy() for one in nodes], {}, policy=strict)

    taken: set[tuple[int, int]] = set()
    for job_id, grants in result.grants.items():
        wants = demands[job_id - 1]
        got = {(n, core) for n, cores in grants.items() for core in cores}
        assert not got & taken
        assert all(core in free[n] for n, core in got)
        taken |= got
        assert len(got) >= wants.least
        assert wants.exclusive or len(got) <= wants.most
        if wants.exclusive:
            for n in grants:
                users = [j for j, g in result.grants.items() if n in g]
                assert users == [job_id]
                assert nodes[n - 1].jobs == set()
    started = sorted(result.grants)
    waiting = [
        d.job_id for d in demands if d.job_id not in (*result.grants, *result.never)
    ]
    assert not waiting or not started or max(started) < min(waiting)


@given(NODES)
def test_a_job_alone_on_an_idle_cluster_starts_if_its_nodes_can_hold_it(
    sizes: list[tuple[int, int]],
) -> None:
    nodes = [node(n, cores) for n, (cores, _) in enumerate(sizes, start=1)]
    total = sum(one.cores for one in nodes)
    for least in range(1, total + 2):
        result = plan([demand(1, least)], [one.copy() for one in nodes], {})
        assert bool(result.grants) == (least <= total)
        assert bool(result.never) == (least > total)


def test_the_snapshot_that_is_planned_on_can_be_kept() -> None:
    before = node(1, 4)
    plan([demand(1, 2)], [before.copy()], {})

    assert before == replace(before, free=[0, 1, 2, 3], jobs=set())
