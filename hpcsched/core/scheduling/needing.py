"""Jobs with tasks that need certain nodes, or more than a node has.

``spread`` lets a job whose next task is wider than every node have units of any nodes.
A ``Need`` is a number of units on certain nodes without which a job does not start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.eligibility import capacity_of, could_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcsched.core.scheduling.snapshot import Demand, NodeFree

    Cores = Mapping[int, tuple[int, ...]]
    Grant = dict[int, tuple[int, ...]]
    Fit = Callable[[Demand, Sequence[NodeFree], Cores], Grant]


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """Units that must be on certain nodes.

    Attributes:
        node: Name of the one node; empty: any of the group.
        group: Name of the node group.
        units: How many, at least.
    """

    node: str
    group: str
    units: int

    def is_met_by(self, node: NodeFree) -> bool:
        """Is it one of these nodes?"""
        return node.name == self.node if self.node else self.group in node.groups


def spread(demand: Demand, nodes: Iterable[NodeFree]) -> Demand:
    """Return the demand with the width that matters on these nodes.

    Args:
        demand: What a job wants.
        nodes: All that take work, whatever runs there.
    """
    if demand.widest <= 1:
        return demand
    one = replace(demand, width=demand.widest)
    if demand.single or any(could_use(node, one) for node in nodes):
        return one
    return replace(demand, width=1)


def largest(demand: Demand, nodes: Iterable[NodeFree]) -> int:
    """Return the cores of the largest node that a job may use; 0: there is none."""
    any_width = replace(demand, width=1)
    able = (node.cores for node in nodes if could_use(node, any_width))
    return max(able, default=0)


def unmet(demand: Demand, nodes: Sequence[NodeFree]) -> PendingReason | None:
    """Return why what a job needs could not be met if the nodes were idle, or None."""
    any_width = replace(demand, width=1)
    able = [node for node in nodes if could_use(node, any_width)]
    for need in demand.needs:
        there = sum(capacity_of(n, any_width) for n in able if need.is_met_by(n))
        if there < need.units:
            if need.node:
                return PendingReason.REQUIRED_NODES_NOT_AVAILABLE
            return PendingReason.NO_AVAILABLE_RESOURCE_IN_REQUESTED_NODE_GROUP
    return None


def fit_needs(
    fit: Fit, demand: Demand, nodes: Sequence[NodeFree], have: Cores
) -> Grant:
    """Return what ``fit`` does for a job that needs units on certain nodes.

    Those come first; a job that runs already goes without where they are not free.
    """
    left = [node.copy() for node in nodes]
    by_id = {node.node_id: node for node in left}
    held = dict(have)
    before = demand.held or _units(demand, left, held)
    got = 0
    for need in demand.needs:
        mine = [node for node in left if need.is_met_by(node)]
        lack = need.units - _units(demand, mine, held)
        if lack <= 0:
            continue
        now = before + got
        asked = replace(
            demand, needs=(), width=1, least=lack, most=now + lack, held=now
        )
        part = fit(asked, mine, held) if mine else {}
        gained = _units(demand, mine, {**held, **part}) - _units(demand, mine, held)
        if gained < lack and not demand.running:
            return {}
        for node_id, cores in part.items():
            taken = frozenset(cores)
            node = by_id[node_id]
            node.free = [core for core in node.free if core not in taken]
            node.jobs.add(demand.job_id)
        held.update(part)
        got += gained
    enough = demand.running or got >= demand.least
    rest = replace(
        demand,
        needs=(),
        least=max(0, demand.least - got),
        running=enough,
        held=before + got,
    )
    more = fit(rest, left, held)
    granted = {n: cores for n, cores in held.items() if cores != have.get(n)}
    return {**granted, **more} if more or enough else {}


def _units(demand: Demand, nodes: Iterable[NodeFree], held: Cores) -> int:
    """Return how many units of these nodes are held."""
    return sum(
        node.units_of(held[node.node_id], demand.unit)
        for node in nodes
        if held.get(node.node_id)
    )
