"""``plan``: queue order, then what fits (lifecycle.md 3.1, J8, J11).

Jobs are looked at by priority and submit order; each gets as much as it can use, at least its
minimum. A job that the cluster could run but not now holds back those behind it, so that small
jobs do not starve it; one that the present nodes can never run is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.snapshot import Demand, NodeFree, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Held = Mapping[int, Mapping[int, tuple[int, ...]]]


def plan(demands: Iterable[Demand], nodes: Sequence[NodeFree], held: Held) -> Plan:
    """Return who gets which cores.

    Args:
        demands: In queue order.
        nodes: Those that take work; their free cores are used up by the plan.
        held: Job to node to cores that it holds now.
    """
    result = Plan()
    free = sum(len(node.free) for node in nodes)
    ahead: Demand | None = None
    for demand in demands:
        if free <= 0 and ahead is not None:
            break
        have = held.get(demand.job_id, {})
        usable = [node for node in nodes if _may_use(node, demand)]
        if not demand.running and sum(node.cores for node in usable) < demand.least:
            result.waiting[demand.job_id] = _why_never(demand)
            continue
        if ahead is not None:
            if not demand.running:
                result.waiting[demand.job_id] = _behind(ahead, demand)
            continue
        got = _take(demand, usable, have)
        if got:
            result.grants[demand.job_id] = got
            free = sum(len(node.free) for node in nodes)
        elif not demand.running:
            result.waiting[demand.job_id] = PendingReason.NOT_ENOUGH_RESOURCE
            ahead = demand
    return result


def _may_use(node: NodeFree, demand: Demand) -> bool:
    if node.name in demand.excluded or node.cores < demand.width:
        return False
    if demand.requested and node.name not in demand.requested:
        return False
    if node.exclusive and node.exclusive != demand.job_id:
        return False
    return not demand.exclusive or node.jobs <= {demand.job_id}


def _why_never(demand: Demand) -> PendingReason:
    if demand.requested:
        return PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    return PendingReason.NOT_ENOUGH_RESOURCE


def _behind(ahead: Demand, demand: Demand) -> PendingReason:
    if ahead.order[0] < demand.order[0]:
        return PendingReason.HIGHER_PRIORITY_JOB
    return PendingReason.JOB_SUBMITTED_EARLIER


def _take(
    demand: Demand, usable: Sequence[NodeFree], have: Mapping[int, tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Return all that the job then holds on the nodes that change; nothing if too little."""
    wanted = demand.most - sum(len(cores) for cores in have.values())
    if wanted <= 0:
        return {}
    chosen: list[tuple[NodeFree, int]] = []
    total = 0
    for node in _by_preference(usable, have):
        spare = len(node.free)
        if not spare:
            continue
        whole = (len(have.get(node.node_id, ())) + spare) // demand.width * demand.width
        count = min(whole - len(have.get(node.node_id, ())), wanted - total)
        if demand.exclusive:
            count = spare
        if count <= 0:
            continue
        chosen.append((node, count))
        total += count
        if total >= wanted:
            break
    if not total or (not demand.running and total < demand.least):
        return {}
    grants = {}
    for node, count in chosen:
        cores, node.free = node.free[:count], node.free[count:]
        node.jobs.add(demand.job_id)
        if demand.exclusive:
            node.exclusive = demand.job_id
        grants[node.node_id] = tuple(sorted((*have.get(node.node_id, ()), *cores)))
    return grants


def _by_preference(
    nodes: Sequence[NodeFree], have: Mapping[int, tuple[int, ...]]
) -> list[NodeFree]:
    """Nodes that the job is on first, then many cores, then much memory (OrderBy default)."""
    return sorted(
        nodes,
        key=lambda n: (n.node_id not in have, -n.cores, -n.memory_bytes, n.node_id),
    )
