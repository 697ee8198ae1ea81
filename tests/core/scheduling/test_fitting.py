"""What a job may ask of nodes, rule by rule (properties.md 3.2): what it then gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.job.states import NodeGroupOp, PendingReason, UnitType
from hpcsched.core.scheduling.eligibility import RuledOut, ruled_out
from hpcsched.core.scheduling.fitting import fit, misfit, use_up
from hpcsched.core.scheduling.plan import plan
from hpcsched.core.scheduling.preference import (
    OrderByError,
    parse_order_by,
    preferred,
)
from hpcsched.core.scheduling.snapshot import Demand, NodeFree

SOCKET, NODE = UnitType.SOCKET, UnitType.NODE
GIB = 1 << 30
GROUPED: dict[str, Any] = {"groups": "a b", "group_op": NodeGroupOp.UNIFORM}


def node(
    node_id: int, cores: int = 4, *, taken: int = 0, groups: str = "", **more: Any
) -> NodeFree:
    """Return n<id> with its first cores taken."""
    return NodeFree(
        node_id,
        f"n{node_id}",
        cores,
        free=list(range(taken, cores)),
        jobs={99} if taken else set(),
        groups=frozenset(groups.split()),
        **more,
    )


def demand(least: int = 1, most: int | None = None, **more: Any) -> Demand:
    for name in ("requested", "excluded", "groups"):
        if isinstance(more.get(name), str):
            more[name] = frozenset(more[name].split())
    return Demand(1, (0, 1, 1), least, max(least, most or least), **more)


def sizes(wish: Demand, *nodes: NodeFree, have: Any = None) -> dict[int, int]:
    """Return node to number of cores that the job then holds."""
    got = fit(wish, preferred(nodes), have or {})
    return {node_id: len(cores) for node_id, cores in got.items()}


@pytest.mark.parametrize(
    ("wish", "nodes", "got"),
    [
        # whole nodes: only those of which nobody holds anything, all their cores
        (demand(1, unit=NODE), [node(1, 4)], {1: 4}),
        (demand(2, unit=NODE), [node(1, 4), node(2, 2)], {1: 4, 2: 2}),
        (demand(1, 9, unit=NODE), [node(1, 4, taken=1), node(2, 2)], {2: 2}),
        (demand(2, unit=NODE), [node(1, 4, taken=1), node(2, 2)], {}),
        (demand(1, 1, unit=NODE), [node(1, 2), node(2, 8)], {2: 8}),
        # whole sockets
        (demand(1, unit=SOCKET), [node(1, 8, sockets=2)], {1: 4}),
        (demand(2, unit=SOCKET), [node(1, 8, sockets=2)], {1: 8}),
        (demand(1, 9, unit=SOCKET), [node(1, 8, taken=1, sockets=2)], {1: 4}),
        (demand(2, unit=SOCKET), [node(1, 8, taken=1, sockets=2)], {}),
        (
            demand(3, unit=SOCKET),
            [node(1, 8, sockets=2), node(2, 4, sockets=2)],
            {1: 8, 2: 2},
        ),
        # a task that is two sockets wide is not helped by two single ones
        (
            demand(2, unit=SOCKET, width=2),
            [node(1, 8, taken=1, sockets=2), node(2, 8, taken=1, sockets=2)],
            {},
        ),
        # sockets of different size: 5 cores on 2 sockets are 3 and 2
        (demand(1, unit=SOCKET), [node(1, 5, sockets=2)], {1: 3}),
        # a single node: the one that gives most, never two
        (demand(3, 6, single=True), [node(1, 4), node(2, 8, taken=3)], {2: 5}),
        (demand(3, 6, single=True), [node(1, 4), node(2, 8)], {2: 6}),
        (demand(5, single=True), [node(1, 4), node(2, 4)], {}),
        (demand(2, 9, single=True, unit=NODE), [node(1, 4), node(2, 4)], {}),
        # size of the node
        (demand(1, 9, sizes=(4, 8)), [node(1, 2), node(2, 4), node(3, 16)], {2: 4}),
        (
            demand(1, 9, memory=(2 * GIB, 4 * GIB)),
            [
                node(1, memory_bytes=GIB),
                node(2, memory_bytes=3 * GIB),
                node(3, memory_bytes=5 * GIB),
            ],
            {2: 4},
        ),
        # as many processes as the memory is enough for
        (demand(1, 9, process_memory=GIB), [node(1, memory_bytes=2 * GIB)], {1: 2}),
        (
            demand(1, 9, process_memory=GIB, width=2),
            [node(1, 8, memory_bytes=2 * GIB)],
            {1: 4},
        ),
        (
            demand(1, 9, process_memory=GIB),
            [node(1, memory_bytes=3 * GIB, booked=2 * GIB), node(2)],
            {1: 1},
        ),
        (demand(2, process_memory=GIB), [node(1, memory_bytes=GIB)], {}),
        # groups
        (
            demand(1, 99, groups="a b"),
            [node(1, groups="a"), node(2, groups="a b"), node(3)],
            {2: 4},
        ),
        (
            demand(1, 99, groups="a b", group_op=NodeGroupOp.UNION),
            [node(1, groups="a"), node(2, groups="b"), node(3)],
            {1: 4, 2: 4},
        ),
        (
            demand(1, 99, groups="a b", group_op=NodeGroupOp.UNIFORM),
            [node(1, groups="a"), node(2, groups="b"), node(3, groups="b")],
            {2: 4, 3: 4},
        ),
        (
            demand(9, groups="a b", group_op=NodeGroupOp.UNIFORM),
            [node(1, groups="a"), node(2, groups="b"), node(3, groups="b")],
            {},
        ),
        # groups, then requested nodes, then excluded ones
        (
            demand(1, 99, groups="a", requested="n1 n2", excluded="n1"),
            [node(1, groups="a"), node(2, groups="a"), node(3, groups="a")],
            {2: 4},
        ),
        (
            demand(1, 99, groups="a", requested="n3"),
            [node(1, groups="a"), node(3)],
            {},
        ),
    ],
)
def test_what_is_asked_of_nodes_is_kept(
    wish: Demand, nodes: list[NodeFree], got: dict[int, int]
) -> None:
    assert sizes(wish, *nodes) == got


def test_whole_sockets_are_those_that_nobody_uses() -> None:
    split = node(1, 8, sockets=4)
    split.free = [0, 2, 3, 5, 6, 7]

    assert fit(demand(2, unit=SOCKET), [split], {}) == {1: (2, 3, 6, 7)}


@pytest.mark.parametrize(
    ("wish", "have", "got"),
    [
        (demand(0, 3, unit=NODE, running=True), {1: (0, 1)}, {2: 2, 3: 2}),
        (demand(0, 1, unit=NODE, running=True), {1: (0, 1)}, {}),
        (demand(0, 3, unit=SOCKET, running=True, held=2), {1: (0, 1)}, {2: 1}),
        (demand(0, 9, single=True, running=True), {1: (0, 1)}, {}),
        (demand(0, 9, single=True, running=True), {2: (9,)}, {2: 3}),
        (
            demand(0, 9, groups="a b", group_op=NodeGroupOp.UNIFORM, running=True),
            {1: (0, 1)},
            {3: 2},
        ),
    ],
)
def test_a_job_grows_in_its_units_and_inside_what_it_asked_for(
    wish: Demand, have: dict[int, tuple[int, ...]], got: dict[int, int]
) -> None:
    nodes = [
        node(1, 2, sockets=2, groups="b"),
        node(2, 2, sockets=2, groups="a"),
        node(3, 2, sockets=2, groups="b"),
    ]
    nodes[0].free = []

    assert sizes(wish, *nodes, have=have) == got


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Cores,Memory", [3, 2, 1, 4]),
        ("", [3, 2, 1, 4]),
        ("Cores", [2, 3, 1, 4]),
        ("-Cores", [4, 1, 2, 3]),
        ("Memory", [4, 3, 2, 1]),
        ("-Memory", [1, 2, 3, 4]),
        ("-cores, memory", [4, 1, 3, 2]),
    ],
)
def test_nodes_are_preferred_as_order_by_says(text: str, order: list[int]) -> None:
    nodes = [
        node(1, 4, memory_bytes=1),
        node(2, 8, memory_bytes=2),
        node(3, 8, memory_bytes=3),
        node(4, 2, memory_bytes=4),
    ]
    keys = parse_order_by(text)
    wish = demand(1, 99, order_by=keys)

    assert list(fit(wish, preferred(nodes), {})) == order


@pytest.mark.parametrize(
    "text", ["Cores,Memory,Cores", "Cores,-cores", "Disk", ",", "--Cores"]
)
def test_an_order_is_at_most_two_different_items(text: str) -> None:
    with pytest.raises(OrderByError):
        parse_order_by(text)


RULED_OUT = [
    (demand(requested="n2"), RuledOut.NOT_REQUESTED),
    (demand(groups="a c"), RuledOut.NOT_IN_GROUPS),
    (demand(excluded="n1"), RuledOut.EXCLUDED),
    (demand(sizes=(5, 9)), RuledOut.TOO_FEW_CORES),
    (demand(sizes=(1, 3)), RuledOut.TOO_MANY_CORES),
    (demand(memory=(2 * GIB, 9 * GIB)), RuledOut.TOO_LITTLE_MEMORY),
    (demand(memory=(1, GIB - 1)), RuledOut.TOO_MUCH_MEMORY),
    (demand(process_memory=GIB + 1), RuledOut.TOO_LITTLE_MEMORY),
    (demand(width=5), RuledOut.TOO_NARROW),
    (demand(process_memory=GIB // 2, width=2, unit=SOCKET), RuledOut.TOO_NARROW),
    (demand(width=4, sizes=(4, 4), memory=(GIB, GIB)), None),
]


@pytest.mark.parametrize(("wish", "cause"), RULED_OUT)
def test_a_node_is_ruled_out_for_a_reason(wish: Demand, cause: RuledOut | None) -> None:
    assert ruled_out(node(1, groups="a b", memory_bytes=GIB), wish) is cause


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (demand(8), None),
        (demand(9), PendingReason.NOT_ENOUGH_RESOURCE),
        (demand(2, unit=NODE), None),
        (demand(3, unit=NODE), PendingReason.NOT_ENOUGH_RESOURCE),
        (demand(5, single=True), PendingReason.NOT_ENOUGH_RESOURCE),
        (demand(5, requested="n1"), PendingReason.REQUIRED_NODES_NOT_AVAILABLE),
        (demand(1, requested="n7"), PendingReason.REQUIRED_NODES_NOT_AVAILABLE),
        (
            demand(5, groups="a"),
            PendingReason.NO_AVAILABLE_RESOURCE_IN_REQUESTED_NODE_GROUP,
        ),
        (
            demand(5, groups="a b", group_op=NodeGroupOp.UNIFORM),
            PendingReason.NO_AVAILABLE_RESOURCE_IN_REQUESTED_NODE_GROUP,
        ),
        (demand(5, groups="a b", group_op=NodeGroupOp.UNION), None),
        (demand(9, groups="a"), PendingReason.NOT_ENOUGH_RESOURCE),
    ],
)
def test_what_the_present_nodes_can_never_give_has_a_reason(
    wish: Demand, reason: PendingReason | None
) -> None:
    nodes = [node(1, 4, taken=4, groups="a"), node(2, 4, taken=1, groups="b")]

    assert misfit(wish, nodes) is reason


def test_what_is_used_up_is_gone_with_its_memory() -> None:
    there = node(1, 4, memory_bytes=4 * GIB)
    wish = demand(2, process_memory=GIB)

    count = use_up(wish, fit(wish, [there], {}), {1: there})

    assert (count, there.free, there.jobs, there.booked) == (2, [2, 3], {1}, 2 * GIB)


WISHES = st.builds(
    demand,
    st.integers(1, 6),
    st.integers(1, 9),
    unit=st.sampled_from(UnitType),
    width=st.just(1),
    single=st.booleans(),
    exclusive=st.booleans(),
    groups=st.sampled_from(["", "a", "a b"]),
    group_op=st.sampled_from(NodeGroupOp),
)
NODES = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.integers(0, 8),
        st.integers(1, 4),
        st.sampled_from(["", "a", "b", "a b"]),
    ),
    min_size=1,
    max_size=4,
)


@given(WISHES, NODES)
def test_a_grant_is_whole_units_of_what_was_free_and_never_too_little(
    wish: Demand, shapes: list[tuple[int, int, int, str]]
) -> None:
    nodes = [
        node(
            n,
            cores,
            taken=min(taken, cores),
            sockets=min(sockets, cores),
            groups=groups,
        )
        for n, (cores, taken, sockets, groups) in enumerate(shapes, start=1)
    ]
    by_id = {one.node_id: one for one in nodes}

    got = fit(wish, nodes, {})

    units = 0
    for node_id, cores in got.items():
        there = by_id[node_id]
        assert set(cores) <= set(there.free)
        if wish.unit is SOCKET:
            all_of = Counter(there.socket_of(core) for core in range(there.cores))
            held = Counter(there.socket_of(core) for core in cores)
            whole = [s for s in held if held[s] == all_of[s]]
            assert wish.exclusive or len(whole) == len(held)
            units += len(whole)
        else:
            units += 1 if wish.unit is NODE else len(cores)
        assert wish.unit is not NODE or len(cores) == there.cores
        assert not wish.exclusive or not there.jobs
    if got:
        assert units >= wish.least
        assert wish.exclusive or units <= wish.most
        assert not wish.single or len(got) == 1
        assert misfit(wish, nodes) is None
        if wish.one_group:
            assert any(all(g in by_id[n].groups for n in got) for g in wish.groups)


def test_a_job_that_is_bound_to_where_it_is_grows_there_though_its_node_is_full() -> (
    None
):
    full, near, far = (
        node(1, 2, taken=2, groups="b"),
        node(2, 2, groups="b"),
        node(3, 9, groups="a"),
    )
    have = {1: {1: (0, 1)}}
    grown = plan([demand(0, 9, running=True, **GROUPED)], [full, near, far], have)
    single = demand(0, 9, running=True, single=True)

    assert {n: len(cores) for n, cores in grown.grants[1].items()} == {2: 2}
    assert plan([single], [full, near, far], have).grants == {}
