"""Balanced mode: minima first, the surplus by priority (properties.md 6.1).

Shares are looked at every RebalancingInterval. In between jobs start, and grow up to
their share; nobody is asked to give up more for another's share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.claiming import some
from hpcsched.core.scheduling.queued import Line
from hpcsched.core.scheduling.shares import (
    Claimant,
    share_pools,
    shared_out,
    weight_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.proposal import Plan
    from hpcsched.core.scheduling.snapshot import Demand, Holder, Policy, Snapshot


def plan_balanced(shot: Snapshot, policy: Policy) -> Plan:
    """Return the plan of Balanced mode."""
    line = Line(shot, policy, minimum=True)
    if line.pools.on:
        line.serve(line.entitled(), entitled=True)
    line.serve(shot.demands)
    _share(shot, policy, line)
    line.claims.settle()
    return line.plan


def _share(shot: Snapshot, policy: Policy, line: Line) -> None:
    growing: dict[int, Demand] = {}
    claimants: dict[str, list[Claimant]] = {}
    total = line.room.free
    for demand in shot.demands:
        if demand.running:
            growing[demand.job_id] = demand
        elif demand.job_id in line.plan.grants:
            # It has its minimum now, and grows in the next passes.
            size = shot.known.unit_size(demand, shot.nodes)
            least = _size(demand, line.plan.grants[demand.job_id])
            total += least
            _add(claimants, policy, demand, least, demand.most * size)
    stays = {j: _staying(shot, one) for j, one in shot.holders.items()}
    for job_id, holder in shot.holders.items():
        if holder.ending or holder.yields:
            continue
        held = sum(stays[job_id].values())
        total += held
        wanted = growing.get(job_id)
        most = holder.most
        if wanted is not None:
            size = shot.known.unit_size(wanted, shot.nodes)
            most = max(most, wanted.most * size)
        most = min(most, holder.cap) if holder.cap else most
        _add(claimants, policy, holder, min(holder.least, held), most)
    if policy.guarantees is None:
        everybody = [one for own in claimants.values() for one in own]
        shares = shared_out(total, everybody)
    else:
        shares = share_pools(total, claimants, policy.guarantees)
    missing = 0
    for job_id, demand in growing.items():
        got = _grow(shot, line, demand, shares.get(job_id, 0))
        held = sum(stays.get(job_id, {}).values())
        missing += max(0, shares.get(job_id, 0) - held - got)
    _give_back(shot, policy, line, shares, stays, missing)


def _size(demand: Demand, grant: Grant) -> int:
    """Return the cores that a job starts with, as its share counts them."""
    if demand.unit is UnitType.CORE:
        return demand.least
    return sum(len(cores) for cores in grant.values())


def _add(
    claimants: dict[str, list[Claimant]],
    policy: Policy,
    job: Demand | Holder,
    low: int,
    high: int,
) -> None:
    weight = weight_of(job.priority, policy.bias)
    own = claimants.setdefault(job.pool, [])
    own.append(Claimant(job.job_id, low, max(low, high), weight))


def _staying(shot: Snapshot, holder: Holder) -> dict[int, int]:
    """Return what a job holds by node, without nodes that it is leaving."""
    held = shot.held.get(holder.job_id, {})
    return {n: len(ids) for n, ids in held.items() if n not in holder.leaving}


def _grow(shot: Snapshot, line: Line, demand: Demand, share: int) -> int:
    """Let a running job grow up to its share; return by how much."""
    holder = shot.holders.get(demand.job_id)
    gives = holder is not None and (holder.owing or holder.yields)
    if gives or line.claims.touched(demand.job_id):
        return 0
    have = shot.held.get(demand.job_id, {})
    units = share // shot.known.unit_size(demand, shot.nodes)
    asked = replace(demand, most=min(demand.most, units))
    return line.grow(asked, have)


def _give_back(  # noqa: PLR0917  each is a different thing
    shot: Snapshot,
    policy: Policy,
    line: Line,
    shares: Mapping[int | str, int],
    stays: Mapping[int, Mapping[int, int]],
    missing: int,
) -> None:
    """Ask those above their share for what others miss of theirs."""
    if policy.preemption == "None":
        return
    if not policy.rebalance:
        for holder in shot.loose:
            if holder.owing and not line.claims.touched(holder.job_id):
                line.claims.share(holder.job_id, holder.owing, now=True)
        return
    for holder in sorted(shot.holders.values(), key=lambda one: one.fragility):
        if holder.ending or holder.yields or line.claims.touched(holder.job_id):
            continue
        held = sum(stays[holder.job_id].values())
        over = held - max(shares.get(holder.job_id, held), holder.least)
        capped = held - max(holder.cap, holder.least) if holder.cap else 0
        over = max(min(over, missing), capped)
        if over <= 0:
            continue
        missing -= over
        cores = shot.held[holder.job_id]
        part = some({n: cores[n] for n in stays[holder.job_id]}, over)
        counts = {n: len(ids) for n, ids in part.items()}
        line.claims.share(holder.job_id, counts, now=True)
