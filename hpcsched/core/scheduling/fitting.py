"""Does one job fit on these nodes, and how: pure, and the same for every kind of plan.

``misfit`` says whether the job could ever run on the nodes that there are; ``fit``
returns what it would hold if it were given something now; ``use_up`` takes that from
the snapshot. Order among jobs, holding back and preemption are the planner's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.states import PendingReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.scheduling.snapshot import Demand, NodeFree

    Cores = Mapping[int, tuple[int, ...]]
    Grant = dict[int, tuple[int, ...]]


def preferred(nodes: Iterable[NodeFree]) -> list[NodeFree]:
    """Return nodes as OrderBy wants them by default: many cores, then much memory."""
    return sorted(nodes, key=lambda n: (-n.cores, -n.memory_bytes, n.node_id))


def misfit(demand: Demand, nodes: Sequence[NodeFree]) -> PendingReason | None:
    """Return why a job could not start on these nodes if they were idle, or None."""
    able = sum(node.cores for node in nodes if _could_use(node, demand))
    if able >= demand.least:
        return None
    if demand.requested:
        return PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    return PendingReason.NOT_ENOUGH_RESOURCE


def fit(demand: Demand, nodes: Sequence[NodeFree], have: Cores) -> Grant:
    """Return all that the job then holds on each node where that changes.

    Args:
        demand: What it wants.
        nodes: Those that take work, as ``preferred`` orders them; they are not changed.
        have: Node to cores that it holds now.

    Returns:
        Node to cores; empty if nothing fits, or less than it needs to start.
    """
    wanted = demand.most - sum(len(cores) for cores in have.values())
    if wanted <= 0:
        return {}
    usable = [n for n in nodes if _may_use(n, demand) and _could_use(n, demand)]
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
        return {}
    return {
        node.node_id: tuple(sorted((*have.get(node.node_id, ()), *node.free[:count])))
        for node in ordered
        if (count := counts[node.node_id])
    }


def use_up(demand: Demand, grant: Grant, nodes: Mapping[int, NodeFree]) -> int:
    """Take a grant from the free cores of nodes, and return how many that were."""
    total = 0
    for node_id, cores in grant.items():
        node = nodes[node_id]
        taken = frozenset(cores)
        before = len(node.free)
        node.free = [core for core in node.free if core not in taken]
        total += before - len(node.free)
        node.jobs.add(demand.job_id)
        if demand.exclusive:
            node.exclusive = demand.job_id
    return total


def _could_use(node: NodeFree, demand: Demand) -> bool:
    """Is it of any use to the job, whatever runs there now?"""
    if node.name in demand.excluded or node.cores < demand.width:
        return False
    return not demand.requested or node.name in demand.requested


def _may_use(node: NodeFree, demand: Demand) -> bool:
    """May the job have cores there now?"""
    if not node.free or node.node_id in demand.closed:
        return False
    if node.exclusive and node.exclusive != demand.job_id:
        return False
    return not demand.exclusive or node.jobs <= {demand.job_id}
