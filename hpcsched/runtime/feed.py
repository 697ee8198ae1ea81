"""The feed: the log's recent end in memory, and whoever waits for more of it.

A subscriber is a cursor that reads at its own pace: from memory where the events still
are, else from the store. There is no queue per subscriber, nothing is dropped, nobody
waits for a slow one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.codec import decode_changes
from hpcsched.core.views import ChangeView, EventView
from hpcsched.runtime.node_event import stored_node_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.common.clock import Clock
    from hpcsched.core.job.events import Change
    from hpcsched.store.base import Store, StoredEvent

TAIL: Final = 20_000
"""Events kept in memory: some seconds of the busiest cluster, a few megabytes."""
TAIL_WEIGHT: Final = 200_000
"""Changes and ranges of elements kept in memory: one event may speak of many."""
PAGE: Final = 512
FEW: Final = 16
"""Subscribers that are told of each event at once."""
WAVE_S: Final = 0.001
"""Between two waves for each further subscriber, at least."""
SHARE: Final = 0.12
"""Of the time that waves may take: where one takes longer the next is later."""
LONGEST: Final = 2.0
"""Times that, at most: whoever watches should not wait for long on a busy machine."""
MOST: Final = 0.9
"""Of those that were told: as many have to be back for a wave to be over."""
SLICE: Final = 32
"""So many go on at once, so that a wave lets others go on as well."""
ANY: Final = 0


class Feed:
    """What is committed, in order.

    Attributes:
        last: Number of the newest event.
        floor: Number of the newest event that was purged.
        subscribers: Watches that are open.
    """

    def __init__(self, store: Store, clock: Clock, last: int, floor: int) -> None:
        self._store = store
        self._clock = clock
        self._tail: list[EventView] = []
        self._weights: list[int] = []
        self._start = 0
        self._weight = 0
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self._news: set[int] = set()
        self._resting: list[asyncio.Future[None]] = []
        self._rolls = False
        self._rolled = self._back = 0.0
        self._out = 0
        self.subscribers = 0
        self.last = last
        self.floor = floor

    def publish(self, events: Sequence[EventView]) -> None:
        """Show events that have been committed, and wake who waits for them."""
        self.show(events)
        self.wake()

    def show(self, events: Sequence[EventView]) -> None:
        """Show events that have been committed; they come in order, without gaps.

        Everybody can read them from now on. Who shows them calls ``wake`` as well, when
        the orders that follow from them are on their way: what a node waits for leaves
        before messages to watchers are made.
        """
        if not events:
            return
        if events[0].seq != self.last + 1:
            # What is missing is in the store; positions in the tail must hold.
            self._forget(len(self._tail))
        self._tail.extend(events)
        weights = [_weight(event) for event in events]
        self._weights.extend(weights)
        self._weight += sum(weights)
        self.last = events[-1].seq
        self._trim()
        if self._waiting:
            self._news.add(ANY)
            self._news.update([event.job_id for event in events])

    def show_alike(self, first: Sequence[EventView], ids: Sequence[int]) -> None:
        """Show committed events of jobs that are alike, by those of the first one.

        Where nobody watches, or they are more than are kept in memory, they stay in the
        store, until somebody reads them there.
        """
        count = len(first) * len(ids)
        if count > (TAIL if self.subscribers else PAGE):
            self._forget(len(self._tail))
            self.last = first[0].seq + count - 1
            self._news.add(ANY)
            self._news |= self._waiting.keys() & set(ids)
            return
        every = len(first)
        for event in first:
            event.is_pattern()
        self.show(
            [
                event.again(event.seq + number * every, job_id, event.time)
                for number, job_id in enumerate(ids)
                for event in first
            ]
        )

    def wake(self, *, behind: asyncio.AbstractEventLoop | None = None) -> None:
        """Wake who waits for what was shown.

        Args:
            behind: Behind what is to be done next in this loop.
        """
        if behind is not None:
            behind.call_soon(self.wake)
            return
        news, self._news = self._news, set()
        for job_id in news:
            for future in self._waiting.pop(job_id, ()):
                _resolve(future)

    def _trim(self) -> None:
        start = self._start
        while len(self._tail) - start > TAIL or (
            self._weight > TAIL_WEIGHT and len(self._tail) - start > 1
        ):
            self._weight -= self._weights[start]
            start += 1
        self._start = start
        if start > TAIL:
            self._forget(start)

    def _forget(self, count: int) -> None:
        """Let go of the memory of so many events at the beginning of the list."""
        self._weight -= sum(self._weights[self._start : count])
        del self._tail[:count], self._weights[:count]
        self._start = 0

    def _position(self, after: int) -> int | None:
        """Return where in the tail the event after a number is; None: not in there."""
        if self._start == len(self._tail):
            return None
        first = self._tail[self._start].seq
        return None if after + 1 < first else self._start + after + 1 - first

    def holds(self, after: int) -> bool:
        """Is everything after a number still in memory?"""
        return after >= self.last or self._position(after) is not None

    async def read(self, after: int, job_id: int = ANY) -> Sequence[EventView]:
        """Return some events after a number, in order; none when there are no more now.

        With a job only its own.
        """
        if after >= self.last:
            return ()
        position = self._position(after)
        if position is None:
            return await self._read_store(after, job_id)
        if job_id == ANY:
            return self._tail[position : position + PAGE]
        return self._of_job(position, job_id, PAGE)

    def _of_job(self, position: int, job_id: int, limit: int) -> list[EventView]:
        found = []
        for at in range(position, len(self._tail)):
            if self._tail[at].job_id == job_id:
                found.append(self._tail[at])
                if len(found) == limit:
                    break
        return found

    async def _read_store(self, after: int, job_id: int) -> Sequence[EventView]:
        last = self.last
        rows = await self._store.read_events(after, PAGE, job_id)
        # Asked for afterwards: what was purged before the read is counted for certain.
        self.floor = max(self.floor, await self._store.floor())
        return [stored_event_view(row) for row in rows if row.seq <= last]

    async def more(self, after: int, timeout_s: float, job_id: int = ANY) -> bool:
        """Wait for events after a number; False when the time is over first.

        With a job only its own count.
        """
        if self._has(after, job_id):
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(future)
        deadline = self._clock.mono() + timeout_s
        timer = self._clock.call_at(deadline, lambda: _resolve(future))
        try:
            await future
        finally:
            timer.cancel()
            waiting = self._waiting.get(job_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[job_id]
        return self._has(after, job_id)

    async def wave(self) -> None:
        """Return when a subscriber that has just been told may be told of more."""
        many = self.subscribers - FEW
        if many <= 0:
            return
        if self._out > 0:
            self._out -= 1
            self._back = self._clock.mono()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(future)
        if not self._rolls:
            self._rolls = True
            due = max(self._clock.mono(), self._rolled + many * WAVE_S)
            self._clock.call_at(due, self._roll)
        await future

    def _roll(self) -> None:
        """Let those go on that rest, unless the wave before was too dear for that."""
        now, before = self._clock.mono(), self._rolled
        usual = max(0, self.subscribers - FEW) * WAVE_S
        due = before + min((self._back - before) / SHARE, LONGEST * usual)
        if due > now:
            self._clock.call_at(due, self._roll)
            return
        self._rolled = self._back = now
        resting, self._resting = self._resting, []
        self._out = int(MOST * len(resting))
        self._rolls = False
        self._let_go(deque(resting))

    def _let_go(self, resting: deque[asyncio.Future[None]]) -> None:
        for _ in range(min(SLICE, len(resting))):
            _resolve(resting.popleft())
        if resting:
            asyncio.get_running_loop().call_soon(self._let_go, resting)

    def _has(self, after: int, job_id: int) -> bool:
        if self.last <= after or job_id == ANY:
            return self.last > after
        position = self._position(after)
        return position is None or bool(self._of_job(position, job_id, 1))


def _weight(event: EventView) -> int:
    changes = event.changes
    return 1 + len(changes) + sum([len(change.elements) for change in changes])


def changes_view(changes: Sequence[Change]) -> tuple[ChangeView, ...]:
    """Return changes as watchers see them."""
    return tuple(
        [
            ChangeView(
                task_id=c.task_id,
                elements=tuple(c.ranges),
                state=int(c.state),
                previous_state=int(c.previous),
                reason_code=c.code,
                reason=c.text,
            )
            for c in changes
        ]
    )


def stored_event_view(row: StoredEvent) -> EventView:
    """Return an event of the store as watchers see it."""
    if not row.job_id:
        return stored_node_event(row).view(row.seq)
    name, actor, message, changes = decode_changes(row.body)
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


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
