"""``plan``: queue order, then what fits (lifecycle.md 3.1, J8, J11).

Jobs are looked at by priority and submit order; each gets as much as it can use, at
least its minimum. A job that the cluster could run but not now holds back those behind
it, so that small jobs do not starve it; one that the present nodes can never run is
passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.snapshot import Demand, NodeFree, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Cores = Mapping[int, tuple[int, ...]]


def plan(
    demands: Iterable[Demand],
    nodes: Sequence[NodeFree],
    held: Mapping[int, Cores],
) -> Plan:
    """Return who gets which cores.

    Args:
        demands: In queue order.
        nodes: Those that take work; their free cores are used up by the plan.
        held: Job to node to cores that it holds now.
    """
    result = Plan()
    # Many cores first, then much memory (the default of OrderBy).
    nodes = sorted(nodes, key=lambda n: (-n.cores, -n.memory_bytes, n.node_id))
    free = sum(len(node.free) for node in nodes)
    for demand in demands:
        if free <= 0:
            break
        able = [node for node in nodes if _could_use(node, demand)]
        if not demand.running and not _could_run(demand, able):
            result.never[demand.job_id] = _why_never(demand)
            continue
        have = held.get(demand.job_id, {})
        got, count = _take(demand, [n for n in able if _may_use(n, demand)], have)
        if got:
            result.grants[demand.job_id] = got
            free -= count
        elif not demand.running:
            break
    return result


def _could_use(node: NodeFree, demand: Demand) -> bool:
    """Is it of any use to the job, whatever runs there now?"""
    if node.name in demand.excluded or node.cores < demand.width:
        return False
    return not demand.requested or node.name in demand.requested


def _could_run(demand: Demand, able: Sequence[NodeFree]) -> bool:
    return sum(node.cores for node in able) >= demand.least


def _may_use(node: NodeFree, demand: Demand) -> bool:
    """May the job have cores there now?"""
    if not node.free or node.node_id in demand.closed:
        return False
    if node.exclusive and node.exclusive != demand.job_id:
        return False
    return not demand.exclusive or node.jobs <= {demand.job_id}


def _why_never(demand: Demand) -> PendingReason:
    if demand.requested:
        return PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    return PendingReason.NOT_ENOUGH_RESOURCE


def _take(
    demand: Demand, usable: Sequence[NodeFree], have: Cores
) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return all that the job then holds where that changes, and how many are new.

    Nothing if it would be too little.
    """
    wanted = demand.most - sum(len(cores) for cores in have.values())
    if wanted <= 0:
        return {}, 0
    # Nodes that the job is on already come first.
    ordered = sorted(usable, key=lambda node: node.node_id not in have)
    counts = {node.node_id: 0 for node in ordered}
    total = 0
    for node in ordered:
        if total >= wanted:
            break
        mine = len(have.get(node.node_id, ()))
        # As many as whole processes can use.
        whole = (mine + len(node.free)) // demand.width * demand.width - mine
        count = min(max(0, whole), wanted - total)
        if demand.exclusive and count:
            count = len(node.free)
        counts[node.node_id] = count
        total += count
    if not demand.running and 0 < total < demand.least:
        # A remainder that no process of the next task can use may serve another task.
        for node in ordered:
            spare = len(node.free) - counts[node.node_id]
            more = min(spare, max(0, demand.least - total))
            if demand.exclusive and more:
                more = spare
            counts[node.node_id] += more
            total += more
    if not total or (not demand.running and total < demand.least):
        return {}, 0
    return _give(demand, ordered, counts, have), total


def _give(
    demand: Demand, nodes: Sequence[NodeFree], counts: Mapping[int, int], have: Cores
) -> dict[int, tuple[int, ...]]:
    grants = {}
    for node in nodes:
        count = counts[node.node_id]
        if not count:
            continue
        cores, node.free = node.free[:count], node.free[count:]
        node.jobs.add(demand.job_id)
        if demand.exclusive:
            node.exclusive = demand.job_id
        grants[node.node_id] = tuple(sorted((*have.get(node.node_id, ()), *cores)))
    return grants
