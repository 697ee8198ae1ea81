"""Queued mode: by priority and submit order, as much as each can use (api.md 2, 3.1).

With pools, jobs within the guarantee of theirs come first; what is left is lent.
"""

from __future__ import annotations

from dataclasses import replace
from heapq import merge
from math import inf
from typing import TYPE_CHECKING, Any

from hpcsched.core.scheduling.claiming import Claims, some
from hpcsched.core.scheduling.fitting import where_it_is
from hpcsched.core.scheduling.proposal import Plan
from hpcsched.core.scheduling.reserving import reserve
from hpcsched.core.scheduling.room import Room, gained
from hpcsched.core.scheduling.shares import Pools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.snapshot import Cores, Demand, Policy, Snapshot


def plan_queued(shot: Snapshot, policy: Policy) -> Plan:
    """Return the plan of Queued mode."""
    line = Line(shot, policy)
    line.keep_caps()
    if line.pools.on:
        line.serve(line.entitled(), entitled=True)
    line.serve(shot.demands)
    line.claims.settle()
    return line.plan


class Line:
    """The queue while a plan goes through it.

    Attributes:
        minimum: Every queued job gets only what it needs to start, and what runs
            nothing (Balanced mode, first round).
    """

    def __init__(
        self, shot: Snapshot, policy: Policy, *, minimum: bool = False
    ) -> None:
        self.plan = Plan()
        self.room = Room(shot.open)
        self.pools = Pools(shot, policy.guarantees)
        self.claims = Claims(shot, policy, self.room, self.plan, self.pools)
        self._shot = shot
        self._policy = policy
        self._minimum = minimum
        self._seen: set[int] = set()
        self._failed: set[tuple[Any, ...]] = set()
        self._waiting = False
        self._behind = 0

    def keep_caps(self) -> None:
        """Jobs above their TargetResourceCount give the rest back as tasks end."""
        for job_id, holder in self._shot.holders.items():
            if not holder.cap or holder.ending or holder.yields:
                continue
            held = self._shot.held.get(job_id, {})
            stays = {n: held[n] for n in held if n not in holder.leaving}
            over = sum(len(ids) for ids in stays.values())
            over -= max(holder.cap, holder.least)
            if over > 0:
                given = some(stays, over)
                self.claims.share(job_id, {n: len(ids) for n, ids in given.items()})

    def entitled(self) -> Iterator[Demand]:
        """Yield, in queue order, the jobs of pools that are due more."""
        lines = (self._due(pool, own) for pool, own in self._shot.pools.items())
        return merge(*lines, key=lambda one: (*one.order, one.job_id))

    def _due(self, pool: str, own: Iterable[Demand]) -> Iterator[Demand]:
        for demand in own:
            if self.pools.left(pool) <= 0:
                return
            yield demand

    def serve(self, demands: Iterable[Demand], *, entitled: bool = False) -> None:
        """Go through the queue, or a part of it."""
        claims, room = self.claims, self.room
        for demand in demands:
            full = room.free <= 0
            if full and not (claims.possible(demand) or self._policy.explain):
                return
            if self.plan.reservation is not None:
                if full or self._behind == self._policy.lookahead:
                    return
                self._behind += 1
            if demand.job_id in self._seen:
                continue
            asked = self._limited(demand) if entitled else demand
            if asked is None:
                continue
            if demand.running:
                self._grow(asked)
            elif not self._start(asked, entitled=entitled):
                return

    def _limited(self, demand: Demand) -> Demand | None:
        """Return a demand within its pool's guarantee, or None."""
        left = self.pools.left(demand.pool)
        if demand.running:
            held = self._shot.held.get(demand.job_id, {})
            left += sum(len(ids) for ids in held.values())
        left //= self._shot.known.unit_size(demand, self._shot.nodes)
        if left < demand.least and not demand.running:
            return None
        return replace(demand, most=min(demand.most, left)) if left else None

    def _grow(self, demand: Demand) -> None:
        job_id = demand.job_id
        holder = self._shot.holders.get(job_id)
        if self._minimum or self.claims.touched(job_id):
            return
        if holder is not None and (holder.owing or holder.yields):
            return
        have = self._shot.held.get(job_id, {})
        bound = where_it_is(demand, have, self._shot.nodes)
        if bound is None:
            return
        demand = bound
        grant = self._more(demand, have)
        waits = self.plan.reservation is not None
        if self._policy.grow_by_preemption and not waits:
            more = {**have, **grant}
            self.claims.grow(demand, more)

    def grow(self, demand: Demand, have: Cores) -> int:
        """Let a running job have more; return how many cores."""
        bound = where_it_is(demand, have, self._shot.nodes)
        return 0 if bound is None else gained(self._more(bound, have), have)

    def _more(self, demand: Demand, have: Cores) -> Grant:
        holder = self._shot.holders.get(demand.job_id)
        late = self._is_late(inf if holder is None else holder.end)
        grant = self.room.fit(demand, have, late=late)
        if grant:
            self._give(demand, grant, late=late)
        return grant

    def _start(self, demand: Demand, *, entitled: bool) -> bool:
        """Start a queued job, or let it wait; False: nobody is looked at after it."""
        reason = self._shot.known.misfit(demand, self._shot.nodes)
        if reason is not None:
            self.plan.never[demand.job_id] = reason
            return True
        waits = self.plan.reservation is not None
        late = self._is_late(self._shot.now + demand.runtime if demand.runtime else inf)
        shape = (demand.shape, late)
        if waits and shape in self._failed:
            return True
        self._seen.add(demand.job_id)
        asked = replace(demand, most=demand.least) if self._minimum else demand
        grant = self.room.fit(asked, {}, late=late)
        if grant:
            self._give(demand, grant, late=late)
            if self._waiting:
                self.plan.backfilled.add(demand.job_id)
            return True
        self._waiting = True
        if waits:
            self._failed.add(shape)
            return True
        return self._wait(demand, entitled=entitled)

    def _wait(self, demand: Demand, *, entitled: bool) -> bool:
        """The first that does not fit: take others' cores, or keep a reservation."""
        claims = self.claims
        if claims.possible(demand) and claims.claim(demand, entitled=entitled):
            return True
        if self.room.free <= 0 and not self._policy.explain:
            return False
        reservation = reserve(self._shot, self.room, self.claims.promised, demand)
        self.plan.reservation = reservation
        self.room.reserve(reservation.spare)
        return bool(self._policy.lookahead)

    def _is_late(self, end: float) -> bool:
        """Would it still run when the reservation begins?"""
        reservation = self.plan.reservation
        if reservation is None:
            return False
        return end > reservation.start or end == inf

    def _give(self, demand: Demand, grant: Grant, *, late: bool) -> None:
        have = self._shot.held.get(demand.job_id, {})
        self.plan.grants[demand.job_id] = grant
        self._seen.add(demand.job_id)
        self.pools.take(demand.pool, gained(grant, have))
        self.room.take(demand, grant, late=late)
