"""``plan``: queue order, then what fits (lifecycle.md 3.1, J8, J11).

Jobs are looked at by priority and submit order; each gets as much as it can use, at
least its minimum. A job that the cluster could run but not now holds back those behind
it, so that small jobs do not starve it; one that the present nodes can never run is
passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.scheduling.fitting import fit, misfit, preferred, use_up
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
    ordered = preferred(nodes)
    by_id = {node.node_id: node for node in ordered}
    free = sum(len(node.free) for node in ordered)
    for demand in demands:
        if free <= 0:
            break
        if not demand.running:
            reason = misfit(demand, ordered)
            if reason is not None:
                result.never[demand.job_id] = reason
                continue
        grant = fit(demand, ordered, held.get(demand.job_id, {}))
        if grant:
            result.grants[demand.job_id] = grant
            free -= use_up(demand, grant, by_id)
        elif not demand.running:
            break
    return result
