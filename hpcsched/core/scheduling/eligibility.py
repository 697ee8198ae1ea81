"""Which nodes a job could use at all, whatever runs there now (properties.md 3.2)."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

from hpcsched.core.job.states import NodeGroupOp, UnitType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.scheduling.snapshot import Demand, NodeFree


class RuledOut(IntEnum):
    """Why a node is of no use to a job; the first that holds is told."""

    NOT_REQUESTED = 1
    NOT_IN_GROUPS = 2
    EXCLUDED = 3
    TOO_FEW_CORES = 4
    TOO_MANY_CORES = 5
    TOO_LITTLE_MEMORY = 6
    TOO_MUCH_MEMORY = 7
    TOO_NARROW = 8


def could_use(node: NodeFree, demand: Demand) -> bool:
    """Is the node of any use to the job?"""
    return ruled_out(node, demand) is None


def ruled_out(node: NodeFree, demand: Demand) -> RuledOut | None:
    """Return why a node is of no use to a job, or None."""
    cause = _by_name(node, demand)
    if cause is None and (demand.sizes or demand.memory or demand.process_memory):
        cause = _by_size(node, demand)
    if cause is None and capacity_of(node, demand) < demand.width:
        cause = RuledOut.TOO_NARROW
    return cause


def _by_name(node: NodeFree, demand: Demand) -> RuledOut | None:
    if demand.requested and node.name not in demand.requested:
        return RuledOut.NOT_REQUESTED
    if demand.groups and not in_groups(node.groups, demand.groups, demand.group_op):
        return RuledOut.NOT_IN_GROUPS
    return RuledOut.EXCLUDED if node.name in demand.excluded else None


def _by_size(node: NodeFree, demand: Demand) -> RuledOut | None:
    fewest, most = demand.sizes or (0, node.cores)
    if not fewest <= node.cores <= most:
        few = node.cores < fewest
        return RuledOut.TOO_FEW_CORES if few else RuledOut.TOO_MANY_CORES
    least, greatest = demand.memory or (0, node.memory_bytes)
    if node.memory_bytes < max(least, demand.process_memory):
        return RuledOut.TOO_LITTLE_MEMORY
    return RuledOut.TOO_MUCH_MEMORY if node.memory_bytes > greatest else None


def in_groups(
    groups: frozenset[str], wanted: frozenset[str], group_op: NodeGroupOp
) -> bool:
    """Is a node of these groups one that a job with these NodeGroups may use?

    With UNIFORM the job's other nodes have a say as well.
    """
    if group_op is NodeGroupOp.INTERSECT:
        return wanted <= groups
    return not wanted.isdisjoint(groups)


def capacity_of(node: NodeFree, demand: Demand) -> int:
    """Return the units of the node when it is idle that the job could use."""
    units = units_in(node, demand.unit)
    if demand.process_memory:
        processes = node.memory_bytes // demand.process_memory
        units = min(units, processes * demand.width)
    return units


def units_in(node: NodeFree, unit: UnitType) -> int:
    """Return how many units a node has."""
    match unit:
        case UnitType.SOCKET:
            return node.sockets
        case UnitType.NODE:
            return 1
        case _:
            return node.cores


def idle_units(demand: Demand, nodes: Iterable[NodeFree], enough: float = inf) -> int:
    """Return the units that the job could hold at once if the nodes were idle.

    Counting may stop at ``enough``: ten thousand nodes would tell nothing.
    """
    if enough < inf and not (demand.single or demand.one_group):
        total = 0
        for node in nodes:
            if ruled_out(node, demand) is None:
                total += capacity_of(node, demand)
                if total >= enough:
                    break
        return total
    able = [node for node in nodes if ruled_out(node, demand) is None]
    if demand.single:
        return max((capacity_of(node, demand) for node in able), default=0)
    if demand.one_group:
        return max(
            sum(capacity_of(node, demand) for node in able if group in node.groups)
            for group in demand.groups
        )
    return sum(capacity_of(node, demand) for node in able)


def without_groups(demand: Demand) -> Demand:
    """Return the same demand on nodes of any group."""
    return replace(demand, groups=frozenset())
