"""``plan``: who gets which cores, and who gives some up (lifecycle.md 3.1, 3.5, J8).

In Queued mode jobs are looked at by priority and submit order; each gets as much as it
can use, at least its minimum. The first that must wait takes what jobs of lower
priority can be made to give up, or keeps a reservation; those behind it start only if
that does not delay it. One that the present nodes can never run is passed over.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from hpcsched.core.scheduling.balanced import plan_balanced
from hpcsched.core.scheduling.known import Known
from hpcsched.core.scheduling.preference import preferred
from hpcsched.core.scheduling.queued import plan_queued
from hpcsched.core.scheduling.snapshot import Policy, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.scheduling.proposal import Plan
    from hpcsched.core.scheduling.snapshot import (
        Cores,
        Demand,
        Holder,
        NodeFree,
    )


def plan(  # noqa: PLR0917  the first three say it all in most cases
    demands: Iterable[Demand],
    nodes: Sequence[NodeFree],
    held: Mapping[int, Cores],
    holders: Iterable[Holder] = (),
    now: float = 0.0,
    policy: Policy | None = None,
) -> Plan:
    """Return what is to be done now, from values in any order.

    Args:
        demands: What jobs want.
        nodes: Those that take work; they are not changed.
        held: Job to node to cores that it holds now.
        holders: More about the jobs that hold something.
        now: Time, seconds since 1970.
        policy: The reference's, without preemption, if not said.
    """
    return propose(snapshot(demands, nodes, held, holders, now), policy or Policy())


def propose(shot: Snapshot, policy: Policy) -> Plan:
    """Return what is to be done now."""
    if policy.balanced:
        return plan_balanced(shot, policy)
    return plan_queued(shot, policy)


def snapshot(
    demands: Iterable[Demand],
    nodes: Sequence[NodeFree],
    held: Mapping[int, Cores],
    holders: Iterable[Holder] = (),
    now: float = 0.0,
) -> Snapshot:
    """Return a snapshot of values in any order, as simulations and tests have them."""
    queue = sorted(demands, key=lambda one: (*one.order, one.job_id))
    known = {holder.job_id: holder for holder in holders}
    fragile = [one for one in known.values() if one.can_preempt]
    pools: dict[str, list[Demand]] = {}
    for demand in queue:
        pools.setdefault(demand.pool, []).append(demand)
    return Snapshot(
        now=now,
        demands=queue,
        pools=pools,
        nodes={node.node_id: node for node in nodes},
        open=preferred(node for node in nodes if node.free),
        held=held,
        holders=known,
        fragile=sorted(fragile, key=lambda one: one.fragility),
        limited=sorted(
            (one for one in known.values() if one.end < inf),
            key=lambda one: (one.end, one.job_id),
        ),
        loose=[one for one in known.values() if one.loosens],
        known=Known(),
    )
