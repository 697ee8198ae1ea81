"""Whose cores a waiting job takes: preemption (lifecycle.md 3.5, api.md 6).

The lowest priority goes first, and of that the latest started; as few jobs as needed,
and none for a job that would not fit even then. What a job is giving up already counts
first, so that waiting for it asks for nothing more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.fitting import missing
from hpcsched.core.scheduling.loan import Loan, loosened
from hpcsched.core.scheduling.proposal import Preemption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.proposal import Plan
    from hpcsched.core.scheduling.room import Room
    from hpcsched.core.scheduling.shares import Pools
    from hpcsched.core.scheduling.snapshot import (
        Cores,
        Demand,
        Holder,
        Policy,
        Snapshot,
    )

AT_ONCE: Final = 100
"""Jobs for which others give something up at any one time; the next ones follow."""
_PRUNED: Final = 16
"""Victims that are tried to be spared again."""


class Claims:
    """What waiting jobs have been promised of what others hold.

    Attributes:
        promised: Node to cores of those.
    """

    def __init__(
        self, shot: Snapshot, policy: Policy, room: Room, plan: Plan, pools: Pools
    ) -> None:
        self._shot = shot
        self._policy = policy
        self._room = room
        self._plan = plan
        self._pools = pools
        self._takes: dict[int, dict[int, int]] = {}
        self._by: dict[int, int] = {}
        self._now: set[int] = set()
        self.promised: dict[int, set[int]] = {}
        self._surplus_order: list[Holder] | None = None
        first = next(iter(shot.fragile), None)
        self._lowest = None if first is None else first.priority
        self._loose = next(iter(shot.loose), None) is not None

    def touched(self, job_id: int) -> bool:
        """Is something taken from a job in this plan?"""
        return job_id in self._takes

    def possible(self, demand: Demand) -> bool:
        """Could a job get anything in this way? Costs nothing to ask."""
        if len(self._plan.awaiting) >= AT_ONCE:
            return False
        if self._loose or self._policy.preemption == "None":
            return self._loose
        if self._policy.balanced:
            return True
        if self._lowest is None:
            return False
        return self._lowest < demand.priority or self._policy.guarantees is not None

    def claim(self, demand: Demand, *, entitled: bool = False) -> bool:
        """Promise a job what it needs, from what is free and what others hold.

        Args:
            demand: Of a job that does not fit on what is free.
            entitled: It is within the guarantee of its pool.

        Returns:
            Whether it will have it; if not, nothing is promised.
        """
        asked = replace(demand, most=demand.least)
        loan = Loan(self._shot, self._room, self.promised)
        loosened(self._shot, loan)
        grant = loan.fit(asked)
        if not grant:
            if self._policy.preemption == "None":
                return False
            grant, loan = self._with_victims(asked, loan, entitled=entitled)
        if not grant:
            return False
        self._promise(asked, grant, loan)
        return True

    def grow(self, demand: Demand, have: Cores) -> None:
        """Promise a running job what it could use more (GrowByPreemptionEnabled)."""
        wanted = missing(demand, have)
        if wanted <= 0:
            return
        asked = replace(demand, least=1, most=wanted)
        loan = Loan(self._shot, self._room, self.promised)
        loosened(self._shot, loan)
        for holder, cores in self._victims(asked, entitled=False):
            if loan.total >= wanted:
                break
            loan.add(holder.job_id, cores)
        grant = loan.fit(asked)
        if grant:
            self._promise(asked, grant, loan)

    def _with_victims(
        self, asked: Demand, loan: Loan, *, entitled: bool
    ) -> tuple[Grant, Loan]:
        chosen: list[tuple[Holder, Cores]] = []
        tries = 1
        grant: Grant = {}
        for holder, cores in self._victims(asked, entitled=entitled):
            if not loan.add(holder.job_id, cores):
                continue
            chosen.append((holder, cores))
            if loan.total < asked.least or len(chosen) < tries:
                continue
            grant = loan.fit(asked)
            if grant:
                break
            tries = len(chosen) + max(1, len(chosen) // 4)
        if not grant and chosen:
            grant = loan.fit(asked)
        if not grant:
            return {}, loan
        return self._spared(asked, chosen, grant, loan)

    def _spared(
        self,
        asked: Demand,
        chosen: list[tuple[Holder, Cores]],
        grant: Grant,
        loan: Loan,
    ) -> tuple[Grant, Loan]:
        """Leave out whom it does not take, the most important first."""
        for one in chosen[-2 : -2 - _PRUNED : -1]:
            rest = [other for other in chosen if other is not one]
            fewer = Loan(self._shot, self._room, self.promised)
            loosened(self._shot, fewer)
            for holder, cores in rest:
                fewer.add(holder.job_id, cores)
            found = fewer.fit(asked)
            if found:
                chosen, grant, loan = rest, found, fewer
        return grant, loan

    def _victims(
        self, asked: Demand, *, entitled: bool
    ) -> Iterator[tuple[Holder, Cores]]:
        """Yield who may be made to give up what, the first to go first."""
        if self._policy.balanced:
            yield from self._surplus(asked)
        pools = self._pools
        beyond = pools.beyond()
        for holder in self._shot.fragile:
            lower = holder.priority < asked.priority
            if not lower and not pools.on:
                return  # they come by priority
            if holder.job_id == asked.job_id or holder.ending or holder.yields:
                continue
            held: Cores = self._firm(holder)
            if pools.on and holder.pool != asked.pool:
                if lower or entitled:
                    held = _within(held, holder.least, beyond[holder.pool])
                    beyond[holder.pool] -= _size(held)
                else:
                    held = {}
            elif not lower:
                held = {}
            if held:
                yield holder, held

    def _surplus(self, asked: Demand) -> Iterator[tuple[Holder, Cores]]:
        """Yield what jobs hold beyond their minimum: it is lent, whoever they are."""
        if self._surplus_order is None:
            holders = self._shot.holders.values()
            self._surplus_order = sorted(holders, key=lambda one: one.fragility)
        for holder in self._surplus_order:
            if holder.job_id == asked.job_id or holder.ending or holder.yields:
                continue
            held = self._firm(holder)
            over = _size(held) - holder.least
            if over > 0:
                yield holder, some(held, over)

    def _firm(self, holder: Holder) -> dict[int, tuple[int, ...]]:
        """Return what a job holds and is not giving up anyway."""
        firm = {}
        for node_id, cores in self._shot.held.get(holder.job_id, {}).items():
            if node_id in holder.leaving or node_id not in self._shot.nodes:
                continue
            owed = holder.owing.get(node_id, 0)
            kept = cores[: len(cores) - owed] if owed else cores
            if kept:
                firm[node_id] = kept
        return firm

    def _promise(self, asked: Demand, grant: Grant, loan: Loan) -> None:
        """Block what a job is to get, and take down from whom."""
        owners: set[int] = set()
        for node_id, cores in grant.items():
            lent = loan.owner.get(node_id, {})
            self.promised.setdefault(node_id, set()).update(cores)
            for core in cores:
                owner = lent.get(core)
                if owner is None:
                    continue
                owners.add(owner)
                self._take(owner, node_id, asked.job_id)
            alone = loan.lifted.get(node_id)
            if alone is not None:
                # What is left of its cores there nobody else could use.
                owners.add(alone)
                for _ in self._shot.held[alone][node_id]:
                    self._take(alone, node_id, asked.job_id)
        self._room.take(asked, grant)
        self._pools.take(asked.pool, _size(grant))
        if not asked.running:
            self._plan.awaiting[asked.job_id] = tuple(sorted(owners))

    def _take(self, job_id: int, node_id: int, by: int) -> None:
        """Take down that a job is to give up a core of a node."""
        holder = self._shot.holders[job_id]
        if holder.ending or node_id in holder.leaving:
            return
        takes = self._takes.setdefault(job_id, {})
        if takes.get(node_id, 0) < len(self._shot.held[job_id][node_id]):
            takes[node_id] = takes.get(node_id, 0) + 1
            self._pools.take(holder.pool, -1)
        self._by.setdefault(job_id, by)

    def share(
        self, job_id: int, cores: Mapping[int, int], *, now: bool = False
    ) -> None:
        """Take down what a job is to give up for the sake of its share or its cap."""
        takes = self._takes.setdefault(job_id, {})
        if now:
            self._now.add(job_id)
        for node_id, count in cores.items():
            takes[node_id] = max(takes.get(node_id, 0), count)

    def settle(self) -> None:
        """Write down what each job is to give up."""
        for job_id, taken in self._takes.items():
            holder = self._shot.holders[job_id]
            by = self._by.get(job_id, 0)
            now = self._policy.preemption == "Immediate"
            now = now and holder.can_preempt and bool(by or job_id in self._now)
            held = self._shot.held.get(job_id, {})
            firm = sum(len(held[n]) for n in held if n not in holder.leaving)
            takes = taken
            if holder.unit is not UnitType.CORE:
                takes = self._whole_units(holder, taken)
            whole = firm - sum(takes.values()) < holder.least
            whole = whole or (now and not self._policy.single_tasks)
            self._plan.preemptions[job_id] = Preemption(dict(takes), now, whole, by)

    def _whole_units(self, holder: Holder, takes: Mapping[int, int]) -> dict[int, int]:
        """Return what a job that counts in sockets or nodes gives up: whole ones."""
        found = {}
        for node_id, count in takes.items():
            cores = self._shot.held[holder.job_id][node_id]
            node = self._shot.nodes.get(node_id)
            units = 1 if node is None else node.units_of(cores, holder.unit)
            size = -(-len(cores) // units)
            found[node_id] = min(len(cores), -(-count // size) * size)
        return found


def _size(cores: Cores) -> int:
    return sum(len(ids) for ids in cores.values())


def _within(held: Cores, least: int, limit: int) -> Cores:
    """Return what of a job's cores may go where no more than the limit may."""
    whole = _size(held)
    if whole <= limit:
        return held
    return some(held, min(limit, whole - least))


def some(held: Cores, count: int) -> dict[int, tuple[int, ...]]:
    """Return so many of the cores, from where there are fewest: nodes empty first."""
    part: dict[int, tuple[int, ...]] = {}
    for node_id in sorted(held, key=lambda n: (len(held[n]), n)):
        if count <= 0:
            break
        part[node_id] = held[node_id][-count:]
        count -= len(part[node_id])
    return part
