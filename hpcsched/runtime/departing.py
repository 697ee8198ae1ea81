"""Jobs that are alike, and asleep, are sent to a node together, and sleep on there.

One of them is decided on, as each would be by itself (core/job/ahead.py): that it waits
on the node is durable before the node is told, and nothing else of it changes. From
then on they are of another kind, which is that of jobs that wait there. Whatever else
is to happen to one of them wakes it, and it goes the way of any other job.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.decide import decide
from hpcsched.core.job.environment import as_of_job, definition_like
from hpcsched.core.job.lots import cut_event, cut_job
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.orders import DefineTask, SetGrant, StartAlike, StartTasks
from hpcsched.runtime.acting import orders_after
from hpcsched.runtime.lots import Kind
from hpcsched.runtime.mail import Mail
from hpcsched.runtime.turns import turns_delta, turns_views
from hpcsched.store.alike import Alike

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.core.job.commands import SendAhead
    from hpcsched.runtime.lots import Lot
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World
    from hpcsched.store.base import Delta

log = logging.getLogger(__name__)
FEWEST: Final = 2
"""Fewer are sent as any other job is."""


def depart(
    world: World,
    lot: Lot,
    ids: Sequence[int],
    command: SendAhead,
    failed: Callable[[Sequence[int]], None],
) -> bool:
    """Let jobs of a lot, in order, wait on a node.

    Args:
        world: The head's actors.
        lot: Theirs.
        ids: Their numbers.
        command: What each of them is told.
        failed: Called with them if that could not be made durable.

    Returns:
        Whether they are on their way; if not nothing has happened to them.
    """
    if len(ids) < FEWEST or any(map(world.jobs.is_changing, ids)):
        return False
    try:
        made = _decide(world, lot, ids, command)
    except Exception:
        log.exception("jobs from %d on cannot be sent ahead together", ids[0])
        return False
    if made is None:
        return False
    delta, decided, there = made
    world.jobs.begin_change(ids)
    world.departing += 1

    def done(seq: int, error: BaseException | None) -> None:
        world.departing -= 1
        if error is not None:
            world.jobs.end_change(ids)
            world.wake_watchers()
            failed(ids)
            return
        world.feed.show_alike(turns_views(there.like, seq, decided), ids)
        try:
            world.scheduler.waiting.change_kind(ids, there)
            # First: who is asked for meanwhile is woken, and has left the others then.
            _tell_node(world, there, ids, decided)
            world.jobs.end_change(ids)
        finally:
            world.wake_watchers()

    world.store.commit(delta, done)
    return True


def _decide(
    world: World, lot: Lot, ids: Sequence[int], command: SendAhead
) -> tuple[Delta, Decided, Kind] | None:
    """Decide on the first of them; return what is written of all, and their kind."""
    now, kind = world.clock.wall(), lot.kind
    job = kind.job(ids[0], ids[0] + lot.shift)
    began, mail = job.revision, Mail(None, command=command)
    decision = decide(job, command, now, world.settings, world.nodes)
    if not job.ahead or next_tick(job, world.settings, now) is not None:
        return None
    decided = [(decision, mail)]
    delta = turns_delta(job, began, decided, now)
    found = [cut_event(event, changes) for event, changes in decision.turn.events]
    blob, bodies = cut_job(job), tuple(body for body in found if body is not None)
    if blob is None or len(bodies) < len(found):
        return None
    delta.alike = Alike(ids=ids, shift=lot.shift, blob=blob, bodies=bodies)
    there = Kind(
        like=job,
        blob=blob,
        specs=kind.specs_of(ids[0]),
        chunks={**kind.chunks, **delta.chunks},
        demand=kind.demand,
        base=kind,
        own=kind.own,
    )
    return delta, decided, there


def _tell_node(world: World, kind: Kind, ids: Sequence[int], decided: Decided) -> None:
    """Send the orders that follow; the node knows of them from now on."""
    job = kind.like
    (node_id, grant), (_, define), (_, start) = orders_after(world, job, *decided[0])
    assert isinstance(grant, SetGrant)  # noqa: S101  what starts a job
    assert isinstance(define, DefineTask)  # noqa: S101
    assert isinstance(start, StartTasks)  # noqa: S101
    if kind.own:
        for job_id in ids:
            own = kind.task_of(job_id)
            task = definition_like(job, own, world.settings, world.scene, define)
            world.nodes.send(node_id, replace(grant, job_id=job_id))
            world.nodes.send(node_id, as_of_job(task, job_id))
            world.nodes.send(node_id, replace(start, job_id=job_id))
    else:
        order = StartAlike(job_ids=tuple(ids), grant=grant, define=define, start=start)
        world.nodes.send(node_id, order)
    there = frozenset({node_id})
    for job_id in ids:
        world.nodes.note_uses(job_id, there, evictable=True)
