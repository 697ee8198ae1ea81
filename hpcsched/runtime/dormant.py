"""Queued jobs that no actor has: what stands in for theirs as long as they sleep.

They want something of the scheduler and count among the cluster's tasks as every job
does. A job wakes when something is to happen to it, and stands where it stood.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING

from hpcsched.common.ranges import from_sorted_iterable
from hpcsched.runtime.demand import demand_of
from hpcsched.runtime.lots import Lot

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.lots import Kind
    from hpcsched.runtime.waiting import Waiting
    from hpcsched.runtime.world import World


class Dormant:
    """See the module. The queue holds them; this knows what else there is to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._leaving: list[Container[int]] = []

    def __len__(self) -> int:
        return sum(map(len, self._waiting.lots()))

    @property
    def _waiting(self) -> Waiting:
        return self._world.scheduler.waiting

    def put(self, lot: Lot) -> None:
        """Take in jobs that are durable, alike, and wait for nothing but resources."""
        lot.kind.demand = self._pooled(lot.kind.demand)
        self._world.tally.note_alike(lot.kind.like, len(lot))
        self._waiting.put_lot(lot)
        self._world.scheduler.ahead.make_way(lot.demand(lot.first))
        self._world.scheduler.wake()

    def wake(self, job_id: int) -> Job | None:
        """Return a job that sleeps, awake; nothing changes for anybody else."""
        lot = self._waiting.lot_of(job_id)
        if lot is None or self.is_leaving(job_id):
            return None
        self._waiting.stand_alone(lot, job_id)
        job = lot.kind.job(job_id, job_id + lot.shift)
        lot.kind.forget((job_id,))
        self._world.tally.stands_alone(job)
        return job

    # What happens to several at once

    def hold(self, ids: Sequence[int]) -> None:
        """Jobs are being changed together: until then nobody looks at one of them."""
        self._leaving.append(_set_of(ids))

    def let_go(self, ids: Sequence[int]) -> None:
        """They have been, or could not be."""
        self._leaving.remove(_set_of(ids))

    def take(self, ids: Sequence[int]) -> None:
        """Take jobs of one lot out of the queue."""
        self._waiting.leave_lot(ids)
        self.hold(ids)

    @property
    def some_leave(self) -> bool:
        """Are jobs being changed?"""
        return bool(self._leaving)

    def is_leaving(self, job_id: int) -> bool:
        """Is a job being changed, and not to be looked at?"""
        leaving = self._leaving
        return bool(leaving) and any(job_id in ids for ids in leaving)

    def left(self, lot: Lot, ids: Sequence[int], *, gone: bool) -> None:
        """Those that were taken are over, or stand where they stood."""
        self.let_go(ids)
        if gone:
            self._world.tally.note_alike(lot.kind.like, -len(ids))
            lot.kind.forget(ids)
        else:
            for first, last in from_sorted_iterable(ids):
                self._waiting.put_lot(Lot(lot.kind, first, last, lot.shift))
        self._world.scheduler.wake()

    def review(self) -> None:
        """Settings have changed: see anew what they want."""
        world = self._world

        def seen(kind: Kind) -> Demand:
            demand = demand_of(kind.like, world.settings, world.scheduler.units)
            return self._pooled(demand or kind.demand)

        self._waiting.review(seen)
        world.scheduler.wake()

    def pools(self) -> Iterator[str]:
        """Yield the pool of each, as the job names it."""
        for lot in self._waiting.lots():
            yield from repeat(lot.kind.like.spec.pool, len(lot))

    def in_pool(self, name: str) -> Iterable[int]:
        """Return those that name a pool."""
        lots = self._waiting.lots()
        return chain.from_iterable(
            lot.ids for lot in lots if lot.kind.like.spec.pool == name
        )

    def _pooled(self, demand: Demand) -> Demand:
        if not self._world.settings.pools:
            return demand
        return replace(demand, pool=self._world.pool_of(demand.pool))


def _set_of(ids: Sequence[int]) -> Container[int]:
    return ids if isinstance(ids, range) else frozenset(ids)
