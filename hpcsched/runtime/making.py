"""New jobs between their decision and their life: one each, or many that are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsched.core.job.lots import (
    cut_creation,
    cut_event,
    cut_job,
    have_one_shape,
    is_plain,
)
from hpcsched.core.job.speccodec import encode_spec
from hpcsched.core.job.ticking import next_tick
from hpcsched.runtime.demand import demand_of
from hpcsched.runtime.lots import Kind, Lot
from hpcsched.runtime.turns import turns_views
from hpcsched.store.alike import Alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.job.packing import Cut
    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.core.views import EventView
    from hpcsched.runtime.front import NewJob
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World
    from hpcsched.store.base import Delta


@dataclass(slots=True)
class Made:
    """A job that was decided on, and what makes it durable.

    Attributes:
        lot: The jobs that are like it, itself included; None: it is by itself.
    """

    job: Job
    decided: Decided
    delta: Delta
    lot: Lot | None = None


def begin(world: World, made: Sequence[Made], seqs: Sequence[int]) -> None:
    """New jobs have become durable: show them, and do what they ask for."""
    views: list[EventView] = []
    for one, seq in zip(made, seqs, strict=True):
        own = turns_views(one.job, seq, one.decided)
        world.tally.committed(one.delta.sums)
        if one.lot is None:
            views += own
            continue
        world.feed.show(views)
        world.feed.show_alike(own, one.lot.ids)
        views = []
    world.feed.show(views)
    try:
        for one in made:
            if one.lot is None:
                world.jobs.adopt(one.job).act(one.decided)
            else:
                world.jobs.adopt_lot(one.lot)
    finally:
        if all(one.lot is None for one in made):
            world.wake_watchers()
        else:
            world.wake_watchers_of_many()


def runs_of(new: Sequence[NewJob]) -> Iterator[tuple[int, int]]:
    """Yield position and number of jobs in a row that may be alike."""
    at = 0
    while at < len(new):
        end, one = at + 1, new[at]
        while end < len(new) and (new[end] is one or are_alike(one, new[end])):
            end += 1
        yield at, end - at
        at = end


def are_alike(one: NewJob, other: NewJob) -> bool:
    """Are two jobs of a call the same but for what their only task runs?"""
    return other.spec is one.spec and have_one_shape(one.tasks, other.tasks)


def join_alike(world: World, one: Made, some: Sequence[NewJob], now: float) -> bool:
    """Let a job that was decided on stand for all that are alike, itself the first.

    Returns:
        Whether it can: not where something may happen to one of them that happens to no
        other, or before anybody asks for it.
    """
    job, delta = one.job, one.delta
    demand = sleeps(world, job, now)
    if demand is None:
        return False
    own: list[bytes] = []
    if any(other is not some[0] for other in some):
        own = [encode_spec(other.tasks[0]) for other in some]
    blob = cut_job(job)
    bodies: list[Cut] = []
    for decision, _ in one.decided:
        for event, changes in decision.turn.events:
            cut = cut_creation if own and not bodies else cut_event
            body = cut(event, changes)
            if body is None:
                return False
            bodies.append(body)
    if blob is None or len(bodies) < len(delta.events):
        return False
    specs, chunks = delta.specs, delta.chunks
    kind = Kind(like=job, blob=blob, specs=specs, chunks=chunks, demand=demand)
    first, last = job.job_id, job.job_id + len(some) - 1
    one.lot = lot = Lot(kind, first, last, job.submit_order - first)
    kind.own = dict(zip(lot.ids, own, strict=False))
    delta.alike = Alike(
        ids=lot.ids, shift=lot.shift, blob=blob, bodies=tuple(bodies), own=own
    )
    return True


def sleeps(world: World, job: Job, now: float) -> Demand | None:
    """Return what a job wants that may sleep until somebody asks for it, else None."""
    if not is_plain(job) or next_tick(job, world.settings, now) is not None:
        return None
    demand = demand_of(job, world.settings, world.scheduler.units)
    return None if demand is None or demand.widest > 1 else demand
