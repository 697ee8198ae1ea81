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
    some = _in_order(lot, ids, at)
    if len(some) < FEWEST:
        return None
    first, now = some[0], world.clock.wall()
    like = lot.kind.job(first, first + lot.shift)
    began = like.revision
    try:
        decision = decide(like, command, now, world.settings, world.nodes)
    except HpcError:
        return None  # it is told as for any other
    mail = Mail(None, command=command)
    decided = [(decision, mail)]
    if not like.state.terminal or list(orders_after(world, like, decision, mail)):
        return None
    delta = turns_delta(like, began, decided, now)
    if not _for_all(delta, like, decided, some, lot.shift):
        return None
    if ledger is not None:
        delta.requests = [request_row(ledger, len(some), now)]
    canceled = Canceled(some, like, world.loop.create_future())
    _commit(world, lot, canceled, delta, decided)
    return canceled


def _tells(lot: Lot) -> bool:
    """Is somebody told of each by mail?"""
    return lot.kind.like.spec.notify_on_completion


def _in_order(lot: Lot, ids: Sequence[int], at: int) -> Sequence[int]:
    """Return the ids from a position on that are of a lot, and ascend."""
    count, last = 0, 0
    for job_id in islice(ids, at, at + MOST):
        if job_id not in lot or job_id <= last:
            break
        count, last = count + 1, job_id
    some = ids[at : at + count]
    if count and last - some[0] == count - 1:
        return range(some[0], last + 1)
    return some


def _for_all(
    delta: Delta, like: Job, decided: Decided, ids: Sequence[int], shift: int
) -> bool:
    """Let a delta of one of them stand for all; False: it cannot."""
    blob, bodies = cut_job(like), []
    for decision, _ in decided:
        for event, changes in decision.turn.events:
            body = cut_event(event, changes)
            if body is not None:
                bodies.append(body)
    if blob is None or len(bodies) < len(delta.events):
        return False
    many = len(ids)
    delta.alike = Alike(ids=ids, shift=shift, blob=blob, bodies=tuple(bodies))
    delta.sums = {name: count * many for name, count in delta.sums.items()}
    delta.usage = [
        replace(row, **{name: getattr(row, name) * many for name in SUMS})
        for row in delta.usage
    ]
    return True


def _commit(
    world: World, lot: Lot, canceled: Canceled, delta: Delta, decided: Decided
) -> None:
    jobs, ids, future = world.jobs, canceled.ids, canceled.future
    jobs.begin_leaving(ids)

    def done(seq: int, error: BaseException | None) -> None:
        if error is None:
            world.tally.committed(delta.sums)
            views = turns_views(canceled.like, seq, decided)
            world.feed.publish_alike(views, ids)
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
