"""Nodes can be chosen and sorted by each property that says so (api.md 11.2)."""

from __future__ import annotations

import pytest

from hpcsched.core.listing.conditions import Operator, condition
from hpcsched.core.listing.nodes import search_nodes
from hpcsched.core.listing.ordering import SortKey
from hpcsched.core.listing.properties import NODE_PROPERTIES
from hpcsched.core.views import Inventory
from tests.support.views import node_view


@pytest.mark.parametrize("name", sorted(NODE_PROPERTIES))
def test_every_property_of_nodes_can_be_asked_for(name: str) -> None:
    views = [node_view(node_id=n, name=f"n{n}") for n in (1, 2)]
    null = condition(NODE_PROPERTIES, name, Operator.IS_NULL, [], "f")
    some = condition(NODE_PROPERTIES, name, Operator.IS_NOT_NULL, [], "f")
    sort = [SortKey(property=NODE_PROPERTIES[name], descending=True)]

    found = [search_nodes(views, [one], sort, None) for one in (null, some)]

    assert sum(map(len, found)) == 2


def test_nodes_are_found_by_the_clock_of_their_cores() -> None:
    views = [
        node_view(node_id=n, inventory=Inventory(cpu_mhz=mhz))
        for n, mhz in ((1, 2400), (2, 3200), (3, 0))
    ]
    fast = condition(NODE_PROPERTIES, "CpuSpeed", Operator.GREATER_THAN, ["2000"], "f")
    sort = [SortKey(property=NODE_PROPERTIES["cpu_mhz"], descending=True)]

    found = search_nodes(views, [fast], sort, None)

    assert [view.node_id for view, _ in found] == [2, 1]


@pytest.mark.parametrize(
    ("operator", "texts", "numbers"),
    [
        (Operator.EQUAL, ["batch"], [1, 3]),
        (Operator.NOT_EQUAL, ["Batch"], [2, 4]),
        (Operator.HAS_BIT_SET, ["admin", "broker"], [1, 2, 4]),
        (Operator.HAS_BIT_SET, ["10"], [1, 2, 4]),
        (Operator.HAS_NO_BIT_SET, ["3"], [4]),
    ],
)
def test_nodes_are_found_by_the_jobs_that_they_take(
    operator: Operator, texts: list[str], numbers: list[int]
) -> None:
    views = [node_view(node_id=n, job_types=t) for n, t in enumerate((3, 2, 1, 8), 1)]
    taken = condition(NODE_PROPERTIES, "JobType", operator, texts, "f")

    found = search_nodes(views, [taken], [], None)

    assert [view.node_id for view, _ in found] == numbers
