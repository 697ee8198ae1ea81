"""Does one job fit on these nodes, and how: pure, and the same for every kind of plan.

``misfit`` says whether the job could ever run on the nodes that there are; ``fit``
returns what it would hold if it were given something now; ``use_up`` takes that from
the snapshot. Order among jobs, holding back and preemption are the planner's.

All is counted in the job's unit. A job in sockets gets whole sockets, one in nodes
whole nodes; nothing that somebody else holds a part of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.job.states import PendingReason, UnitType
from hpcsched.core.scheduling.eligibility import (
    could_use,
    idle_units,
    without_groups,
)
from hpcsched.core.scheduling.needing import fit_needs, unmet
from hpcsched.core.scheduling.preference import preferred

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcsched.core.scheduling.snapshot import Demand, NodeFree

    Cores = Mapping[int, tuple[int, ...]]
    Grant = dict[int, tuple[int, ...]]


def misfit(demand: Demand, nodes: Sequence[NodeFree]) -> PendingReason | None:
    """Return why a job could not start on these nodes if they were idle, or None."""
    if demand.needs and (reason := unmet(demand, nodes)) is not None:
        return reason
    least = demand.least
    if idle_units(demand, nodes, least) >= least:
        return None
    if demand.groups and idle_units(without_groups(demand), nodes, least) >= least:
        return PendingReason.NO_AVAILABLE_RESOURCE_IN_REQUESTED_NODE_GROUP
    if demand.requested:
        return PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    return PendingReason.NOT_ENOUGH_RESOURCE


def fit(demand: Demand, nodes: Sequence[NodeFree], have: Cores) -> Grant:
    """Return all that the job then holds on each node where that changes.

    Args:
        demand: What it wants.
        nodes: Those that take work, in the planner's order; they are not changed.
        have: Node to cores that it holds now.

    Returns:
        Node to cores; empty if nothing fits, or less than it needs to start.
    """
    if demand.needs:
        return fit_needs(fit, demand, nodes, have)
    wanted = missing(demand, have)
    if wanted <= 0:
        return {}
    usable = [n for n in nodes if _may_use(n, demand) and could_use(n, demand)]
    if demand.order_by:
        usable = preferred(usable, demand.order_by)
    if have:  # nodes that the job is on already come first
        usable.sort(key=lambda node: node.node_id not in have)
    best: dict[int, int] = {}
    total = 0
    for among in _choices(demand, usable, nodes, have):
        counts, units = _counts(demand, among, have, wanted)
        if units > total:
            best, total = counts, units
        if total >= wanted:
            break
    if not total:
        return {}
    return {
        node.node_id: _cores(demand, node, count, have)
        for node in usable
        if (count := best.get(node.node_id, 0))
    }


def use_up(demand: Demand, grant: Grant, nodes: Mapping[int, NodeFree]) -> int:
    """Take a grant from the free cores of nodes, and return how many that were."""
    total = 0
    for node_id, cores in grant.items():
        node = nodes[node_id]
        taken = frozenset(cores)
        before = node.free
        node.free = [core for core in before if core not in taken]
        total += len(before) - len(node.free)
        node.jobs.add(demand.job_id)
        if demand.exclusive:
            node.exclusive = demand.job_id
        if demand.process is not None:
            new = [core for core in before if core in taken]
            node.booked += demand.process.booked(node, new)
    return total


def where_it_is(
    demand: Demand, have: Cores, nodes: Mapping[int, NodeFree]
) -> Demand | None:
    """Return what a job asks for, narrowed to the node or the groups that it is in.

    Args:
        demand: Of a job that may be bound by what it holds.
        have: Node to cores that it holds.
        nodes: Those that take work, full ones included.

    Returns:
        The demand; None: it can have nothing more.
    """
    if not have or not (demand.single or demand.one_group):
        return demand
    mine = [nodes[n] for n, cores in have.items() if cores and n in nodes]
    if demand.single:
        names = frozenset(node.name for node in mine)
        return replace(demand, requested=names) if names else None
    groups = demand.groups.intersection(*(node.groups for node in mine))
    return replace(demand, groups=groups) if groups else None


def missing(demand: Demand, have: Cores) -> int:
    """Return how many units a job could use beside those that it holds."""
    return demand.most - _held(demand, have)


def _held(demand: Demand, have: Cores) -> int:
    match demand.unit:
        case UnitType.SOCKET:
            return demand.held
        case UnitType.NODE:
            return sum(1 for cores in have.values() if cores)
        case _:
            return sum(len(cores) for cores in have.values())


def _may_use(node: NodeFree, demand: Demand) -> bool:
    """May the job have cores there now?"""
    if not node.free or node.node_id in demand.closed:
        return False
    if node.exclusive and node.exclusive != demand.job_id:
        return False
    return not demand.exclusive or node.jobs <= {demand.job_id}


def _choices(
    demand: Demand,
    usable: list[NodeFree],
    nodes: Sequence[NodeFree],
    have: Cores,
) -> Iterator[list[NodeFree]]:
    """Yield sets of nodes of which the job may use one: mostly there is just one."""
    if demand.single:
        yield from ([n] for n in usable if not have or n.node_id in have)
    elif demand.one_group:
        mine = [node for node in nodes if have.get(node.node_id)]
        for group in sorted(demand.groups):
            if all(group in node.groups for node in mine):
                yield [node for node in usable if group in node.groups]
    else:
        yield usable


def _counts(
    demand: Demand, nodes: Sequence[NodeFree], have: Cores, wanted: int
) -> tuple[dict[int, int], int]:
    """Return units by node, and their sum; nothing where it would be too little."""
    counts: dict[int, int] = {}
    total = 0
    for node in nodes:
        if total >= wanted:
            break
        # As many as whole processes can use.
        mine = node.units_of(have.get(node.node_id, ()), demand.unit)
        free = _free_units(demand, node)
        whole = (mine + free) // demand.width * demand.width - mine
        count = min(max(0, whole), wanted - total)
        if demand.exclusive and count:
            count = free
        counts[node.node_id] = count
        total += count
    if not demand.running and 0 < total < demand.least:
        # A remainder that no process of the next task can use may serve another task.
        for node in nodes:
            spare = _free_units(demand, node) - counts.get(node.node_id, 0)
            more = min(spare, max(0, demand.least - total))
            if demand.exclusive and more:
                more = spare
            counts[node.node_id] = counts.get(node.node_id, 0) + more
            total += more
    if not demand.running and total < demand.least:
        return {}, 0
    return counts, total


def _free_units(demand: Demand, node: NodeFree) -> int:
    """Return the units of a node that the job could have now."""
    match demand.unit:
        case UnitType.SOCKET:
            units = len(_whole_sockets(node))
        case UnitType.NODE:
            units = 1 if len(node.free) == node.cores else 0
        case _:
            units = len(node.free)
    if demand.process_memory:
        left = (node.memory_bytes - node.booked) // demand.process_memory
        units = min(units, max(0, left) * demand.width)
    return units


def _whole_sockets(node: NodeFree) -> list[list[int]]:
    """Return the cores of each socket that is wholly free."""
    sizes = [0] * node.sockets
    for core in range(node.cores):
        sizes[node.socket_of(core)] += 1
    free: list[list[int]] = [[] for _ in sizes]
    for core in node.free:
        free[node.socket_of(core)].append(core)
    return [
        cores for cores, size in zip(free, sizes, strict=True) if len(cores) == size
    ]


def _cores(demand: Demand, node: NodeFree, count: int, have: Cores) -> tuple[int, ...]:
    """Return what the job then holds on a node."""
    if demand.exclusive or demand.unit is UnitType.NODE:
        new = node.free
    elif demand.unit is UnitType.SOCKET:
        sockets = _whole_sockets(node)[:count]
        new = [core for cores in sockets for core in cores]
    else:
        new = node.free[:count]
    return tuple(sorted((*have.get(node.node_id, ()), *new)))
