"""Jobs that are alike, and asleep, are canceled together, as if one by one.

One of them is decided on; the others would be decided on in the same way, for nothing
has happened to any of them. They leave the queue before the commit, and whoever asks
for one of them meanwhile waits for it: nobody looks at what is not committed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import CancelJob
from hpcsched.core.job.decide import decide
from hpcsched.core.job.lots import cut_event, cut_job
from hpcsched.runtime.acting import orders_after
from hpcsched.runtime.durable import refusal_of
from hpcsched.runtime.mail import Mail
from hpcsched.runtime.turns import request_row, turns_delta, turns_views
from hpcsched.store.alike import Alike
from hpcsched.store.errors import DuplicateRequestError
from hpcsched.store.history import SUMS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from hpcsched.core.job.commands import Command
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.packing import Cut
    from hpcsched.runtime.lots import Lot
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World
    from hpcsched.store.base import Delta

FEWEST: Final = 2
"""Fewer are canceled as any other job is."""
MOST: Final = 2048
"""Others' changes need not wait longer than until so many are written."""


@dataclass(slots=True)
class Canceled:
    """Jobs that were canceled together.

    Attributes:
        like: The first of them, as it is afterwards.
        future: Has the answer once they are durable.
    """

    ids: Sequence[int]
    like: Job
    future: asyncio.Future[Any]


def cancel_alike(
    world: World,
    ids: Sequence[int],
    at: int,
    command: Command,
    ledger: Ledger | None,
) -> Canceled | None:
    """Cancel the job at a position and those behind it that are alike and in order.

    Returns:
        None: it is nothing that can be decided for several at once, or it is refused.
    """
    lot = world.scheduler.waiting.lot_of(ids[at])
    if lot is None or not isinstance(command, CancelJob) or _tells(lot):
        return None
    if lot.kind.ahead:
        return None  # its node decides what becomes of it
    some = _in_order(world, lot, ids, at)
    if len(some) < FEWEST:
        return None
    now = world.clock.wall()
    try:
        one = _decide(world, lot, some[0], command, now)
        # A text that named its job would be another one in the last of them.
        last = _decide(world, lot, some[-1], command, now)
    except HpcError:
        return None  # it is told as for any other
    if one is None or last is None or not _alike(one, last):
        return None
    delta, many = one.delta, len(some)
    delta.alike = Alike(ids=some, shift=lot.shift, blob=one.blob, bodies=one.bodies)
    delta.sums = {name: count * many for name, count in delta.sums.items()}
    delta.usage = [
        replace(row, **{name: getattr(row, name) * many for name in SUMS})
        for row in delta.usage
    ]
    if ledger is not None:
        delta.requests = [request_row(ledger, many, now)]
    canceled = Canceled(some, one.job, world.loop.create_future())
    _commit(world, lot, canceled, delta, one.decided)
    return canceled


@dataclass(slots=True)
class _Decided:
    """One of them, decided on, and what is written of it."""

    job: Job
    decided: Decided
    delta: Delta
    blob: Cut
    bodies: tuple[Cut, ...]


def _decide(
    world: World, lot: Lot, job_id: int, command: Command, now: float
) -> _Decided | None:
    """Decide on one of them; None: more follows from it than can be done for many.

    Raises:
        HpcError: it is refused.
    """
    job = lot.kind.job(job_id, job_id + lot.shift)
    began, mail = job.revision, Mail(None, command=command)
    decision = decide(job, command, now, world.settings, world.nodes)
    if not job.state.terminal or list(orders_after(world, job, decision, mail)):
        return None
    delta = turns_delta(job, began, [(decision, mail)], now)
    found = [cut_event(event, changes) for event, changes in decision.turn.events]
    blob, bodies = cut_job(job), tuple(body for body in found if body is not None)
    if blob is None or len(bodies) < len(found):
        return None
    return _Decided(job, [(decision, mail)], delta, blob, bodies)


def _alike(one: _Decided, other: _Decided) -> bool:
    """Is the same written of both, but for their numbers?"""
    left, right = one.delta, other.delta
    return (
        one.blob == other.blob
        and one.bodies == other.bodies
        and left.chunks == right.chunks
        and left.notes == right.notes
        and left.sums == right.sums
        and [row.body for row in left.history] == [row.body for row in right.history]
    )


def _tells(lot: Lot) -> bool:
    """Is somebody told of each by mail?"""
    return lot.kind.like.spec.notify_on_completion


def _in_order(world: World, lot: Lot, ids: Sequence[int], at: int) -> Sequence[int]:
    """Return the ids from a position on that are of a lot, and ascend."""
    count, last = 0, 0
    changing = world.jobs.some_change
    for job_id in islice(ids, at, at + MOST):
        if job_id not in lot or job_id <= last:
            break
        if changing and world.jobs.is_changing(job_id):
            break
        count, last = count + 1, job_id
    some = ids[at : at + count]
    if count and last - some[0] == count - 1:
        return range(some[0], last + 1)
    return some


def _commit(
    world: World, lot: Lot, canceled: Canceled, delta: Delta, decided: Decided
) -> None:
    jobs, ids, future = world.jobs, canceled.ids, canceled.future
    jobs.begin_leaving(ids)

    def done(seq: int, error: BaseException | None) -> None:
        if error is None:
            world.tally.committed(delta.sums)
            views = turns_views(canceled.like, seq, decided)
            world.feed.show_alike(views, ids)
            world.wake_watchers()
        jobs.end_leaving(lot, ids, gone=error is None)
        if future.done():
            return
        if error is None:
            future.set_result(None)
        elif isinstance(error, DuplicateRequestError):
            future.set_exception(error)
        else:
            future.set_exception(refusal_of(error))

    world.store.commit(delta, done)
