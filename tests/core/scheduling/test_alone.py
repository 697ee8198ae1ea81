"""What one job gets where nobody else wants anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.alone import alone
from hpcsched.core.scheduling.plan import plan
from hpcsched.core.scheduling.preference import preferred
from hpcsched.core.scheduling.snapshot import Demand, NodeFree
from hpcsched.core.settings import Settings

QUEUED = Settings()
GROUPS = st.frozensets(st.sampled_from(["a", "b"]))


@st.composite
def nodes(draw: st.DrawFn) -> list[NodeFree]:
    found = []
    for node_id in range(1, draw(st.integers(1, 5)) + 1):
        cores = draw(st.integers(1, 4))
        busy: set[int] = draw(st.sets(st.integers(0, cores - 1)))
        owners: set[int] = {9} if busy else set()
        found.append(
            NodeFree(
                node_id,
                f"n{node_id}",
                cores,
                draw(st.sampled_from([1 << 30, 2 << 30])),
                free=[core for core in range(cores) if core not in busy],
                jobs=owners,
                exclusive=draw(st.sampled_from([0, 9])) if busy else 0,
                groups=draw(GROUPS),
            )
        )
    return found


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    least = draw(st.integers(1, 6))
    names = st.frozensets(st.sampled_from(["n1", "n2", "n3"]), max_size=2)
    return Demand(
        job_id=1,
        order=(-2000, 1, 1),
        least=least,
        most=least + draw(st.integers(0, 4)),
        width=draw(st.integers(1, 2)),
        groups=draw(GROUPS),
        requested=draw(names),
        excluded=draw(names),
        exclusive=draw(st.booleans()),
        single=draw(st.booleans()),
    )


@given(nodes(), demands())
def test_it_is_what_a_plan_would_give_or_nothing_is_said(
    there: list[NodeFree], demand: Demand
) -> None:
    found = alone(demand, preferred(one for one in there if one.free), QUEUED)

    assert found in ({}, plan([demand], there, {}).grants.get(1, {}))


@given(nodes())
def test_a_job_of_one_task_is_always_told(there: list[NodeFree]) -> None:
    demand = Demand(job_id=1, order=(-2000, 1, 1), least=1, most=1)
    found = alone(demand, preferred(one for one in there if one.free), QUEUED)

    assert found == plan([demand], there, {}).grants.get(1, {})


def test_where_shares_count_and_in_other_units_only_a_plan_can_tell() -> None:
    node = NodeFree(1, "n1", 4, free=[0, 1, 2, 3])
    demand = Demand(job_id=1, order=(-2000, 1, 1), least=1, most=1)
    sockets = Demand(
        job_id=1, order=(-2000, 1, 1), least=1, most=1, unit=UnitType.SOCKET
    )

    assert alone(demand, [node], QUEUED) == {1: (0,)}
    assert alone(demand, [node], Settings(mode="Balanced")) == {}
    assert alone(demand, [node], Settings(pools=True)) == {}
    assert alone(sockets, [node], QUEUED) == {}


def test_more_than_the_first_nodes_have_only_a_plan_tells() -> None:
    there = [NodeFree(n, f"n{n}", 1, free=[0]) for n in range(1, 41)]
    demand = Demand(job_id=1, order=(-2000, 1, 1), least=1, most=40)

    assert alone(demand, there, QUEUED) == {}
    assert len(plan([demand], there, {}).grants[1]) == 40
