"""The feed: the log's recent end in memory, and whoever waits for more of it.

A subscriber is a cursor that reads at its own pace: from memory where the events still are,
else from the store. There is no queue per subscriber, nothing is dropped, nobody waits for a
slow one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.codec import decode_changes
from hpcsched.core.views import ChangeView, EventView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.common.clock import Clock
    from hpcsched.core.job.events import Change
    from hpcsched.store.base import Store, StoredEvent

TAIL: Final = 20_000
"""Events kept in memory: some seconds of the busiest cluster, a few megabytes."""
PAGE: Final = 512


class Feed:
    """What is committed, in order. ``last`` is the newest number."""

    def __init__(self, store: Store, clock: Clock, last: int, floor: int) -> None:
        self._store = store
        self._clock = clock
        self._tail: deque[EventView] = deque(maxlen=TAIL)
        self._waiting: set[asyncio.Future[None]] = set()
        self.last = last
        self.floor = floor

    def publish(self, events: Sequence[EventView]) -> None:
        """Show events that have been committed; they come in order, without gaps."""
        if not events:
            return
        self._tail.extend(events)
        self.last = events[-1].seq
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            _resolve(future)

    async def read(self, after: int, job_id: int = 0) -> Sequence[EventView]:
        """Return some events after a number, in order; none when there are no more now."""
        if after >= self.last:
            return ()
        if self._tail and self._tail[0].seq <= after + 1:
            start = after + 1 - self._tail[0].seq
            stop = min(start + PAGE, len(self._tail))
            return [self._tail[i] for i in range(start, stop)]
        rows = await self._store.read_events(after, PAGE, job_id)
        return [stored_view(row) for row in rows]

    async def more(self, after: int, timeout_s: float) -> bool:
        """Wait until there are events after a number; False when the time is over first."""
        if self.last > after:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        deadline = self._clock.mono() + timeout_s
        timer = self._clock.call_at(deadline, lambda: _resolve(future))
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)
        return self.last > after


def changes_view(changes: Sequence[Change]) -> tuple[ChangeView, ...]:
    """Return changes as watchers see them."""
    return tuple(
        ChangeView(
            task_id=c.task_id,
            elements=tuple((a, b) for a, b in c.ranges),
            state=int(c.state),
            previous_state=int(c.previous),
        )
        for c in changes
    )


def stored_view(row: StoredEvent) -> EventView:
    """Return an event of the store as watchers see it."""
    name, actor, message, changes = decode_changes(row.body)
    if row.job_id:
        return EventView(
            seq=row.seq,
            job_id=row.job_id,
            revision=row.revision,
            time=row.time,
            owner=row.owner,
            name=name,
            actor=actor,
            changes=changes_view(changes),
            message=message,
        )
    (change,) = changes
    return EventView(
        seq=row.seq,
        job_id=0,
        revision=0,
        time=row.time,
        owner="",
        name=name,
        actor=actor,
        message=message,
        node=actor.removeprefix("node:"),
        node_state=(int(change.state), int(change.previous)),
        node_reachable=bool(change.task_id),
    )


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
