"""Watches: backlog, one mark, then live; resumable without gap or repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JOB_TERMINAL
from hpcsched.runtime.feed import PAGE
from hpcsched.runtime.front import WatchItem, WatchQuery
from hpcsched.runtime.job_reads import JobReads
from hpcsched.store.base import JobQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.views import EventView
    from hpcsched.runtime.world import World

BOOKMARK_S: Final = 10.0
SNAPSHOT_PAGE: Final = 500


class _Cursor:
    """Where a watch is, and when it last said anything."""

    def __init__(self, world: World, at: int, job_id: int = 0) -> None:
        self._world = world
        self._job_id = job_id
        self._floor = world.feed.floor
        self._due = world.clock.mono() + BOOKMARK_S
        self.at = at

    def said(self) -> None:
        """Note that the subscriber has been told the position."""
        self._due = self._world.clock.mono() + BOOKMARK_S

    @property
    def silent(self) -> bool:
        """Is a bookmark due?"""
        return self._world.clock.mono() >= self._due

    async def next(self) -> Sequence[EventView]:
        """Return the next events and move on; none: there are no more now.

        Raises:
            HpcError: CURSOR_EXPIRED: some were purged while the backlog was read.
        """
        feed = self._world.feed
        newest, kept = feed.last, feed.holds(self.at)
        events = await feed.read(self.at, self._job_id)
        if not (kept or self._job_id) and self.at < feed.floor > self._floor:
            raise HpcError("CURSOR_EXPIRED", oldest_cursor=feed.floor)
        if events:
            self.at = events[-1].seq
        else:
            self.at = max(self.at, newest)
        return events

    async def rest(self, events: Sequence[EventView], *, live: bool) -> None:
        """Let others go on: of many that watch, nobody is told of each event alone."""
        if live and len(events) < PAGE:
            await self._world.feed.wave()

    async def wait(self) -> None:
        """Return when there is more, or a bookmark is due."""
        left = self._due - self._world.clock.mono()
        await self._world.feed.more(self.at, max(0.0, left), self._job_id)


class Watching(JobReads):
    """The streaming half of ``runtime.front.JobFront``."""

    async def watch(
        self, caller: Caller, query: WatchQuery
    ) -> AsyncIterator[WatchItem]:
        """Yield what happens, as the query asks; ends only with ``backlog_only``.

        Raises:
            HpcError: CURSOR_UNKNOWN, CURSOR_EXPIRED, INVALID_FIELD.
        """
        del caller  # names and states are for everybody
        position = self._position_of(query)
        self._world.feed.subscribers += 1
        try:
            async for item in self._watch(query, position):
                yield item
        finally:
            self._world.feed.subscribers -= 1

    async def _watch(
        self, query: WatchQuery, position: int
    ) -> AsyncIterator[WatchItem]:
        cursor = _Cursor(self._world, position)
        known: dict[int, int] = {}
        if query.snapshot:
            async for item in self._snapshot(query, cursor.at):
                known.update((job.job_id, job.revision) for job in item.jobs)
                yield item
            cursor.said()
        told = False
        while True:
            events = await cursor.next()
            chosen = tuple(_filtered(events, query, known))
            if chosen:
                yield WatchItem(seq=cursor.at, events=chosen)
                cursor.said()
            elif cursor.silent:
                yield WatchItem(seq=cursor.at, bookmark=True)
                cursor.said()
            elif events:
                # A watch that passes everything over never awaits a write.
                await self._world.clock.sleep(0)
            if events:
                await cursor.rest(events, live=told)
                continue
            if not told:
                told = True
                yield WatchItem(seq=cursor.at, caught_up=True)
                cursor.said()
                if query.backlog_only:
                    return
            await cursor.wait()

    def _position_of(self, query: WatchQuery) -> int:
        feed, after = self._world.feed, query.after
        if query.only_nodes and (query.job_ids or query.owner or query.snapshot):
            problem = "not together with jobs, owner or snapshot"
            raise HpcError("INVALID_FIELD", field="filter.only_nodes", problem=problem)
        if query.snapshot and after is not None:
            problem = "not together with after"
            raise HpcError("INVALID_FIELD", field="snapshot", problem=problem)
        if after is None:
            return feed.last
        self._check(after)
        if 0 < after < feed.floor:
            raise HpcError("CURSOR_EXPIRED", oldest_cursor=feed.floor)
        return after

    def _check(self, after: int) -> None:
        if not 0 <= after <= self._world.feed.last:
            raise HpcError("CURSOR_UNKNOWN", cursor=after)

    async def _snapshot(self, query: WatchQuery, at: int) -> AsyncIterator[WatchItem]:
        after = 0
        while True:
            asked = JobQuery(
                owner=query.owner, ascending=True, after_id=after, limit=SNAPSHOT_PAGE
            )
            rows = await self._world.store.list_jobs(asked)
            if not rows:
                return
            after = rows[-1].job_id
            jobs = tuple(
                self._stored(row)
                for row in rows
                if not query.job_ids or row.job_id in query.job_ids
            )
            if jobs:
                yield WatchItem(seq=at, jobs=jobs)

    async def watch_job(
        self, caller: Caller, job_id: int, after: int | None, *, jobs_only: bool
    ) -> AsyncIterator[WatchItem]:
        """Yield the events of one job until it is terminal; the last item has the job.

        Raises:
            HpcError: JOB_NOT_FOUND, CURSOR_UNKNOWN.
        """
        await self._world.jobs.look(job_id, lambda job: job.state)
        self._check(after or 0)
        self._world.feed.subscribers += 1
        try:
            async for item in self._watch_job(
                caller, job_id, after, jobs_only=jobs_only
            ):
                yield item
        finally:
            self._world.feed.subscribers -= 1

    async def _watch_job(
        self, caller: Caller, job_id: int, after: int | None, *, jobs_only: bool
    ) -> AsyncIterator[WatchItem]:
        cursor = _Cursor(self._world, after or 0, job_id)
        query = WatchQuery(job_ids=frozenset({job_id}), jobs_only=jobs_only)
        told = False
        while True:
            # The job is looked at first: if it has ended, its last event is among those
            # that can be read by now.
            view = await self.get_job(caller, job_id, full=False)
            events = await cursor.next()
            chosen = tuple(_filtered(events, query, {}))
            if chosen:
                counts = await self._counts(job_id)
                yield WatchItem(seq=cursor.at, events=chosen, counts=counts)
                cursor.said()
            if events:
                await cursor.rest(events, live=told and view.state not in JOB_TERMINAL)
                continue
            if not told:
                told = True
                yield WatchItem(seq=cursor.at, caught_up=True, counts=view.counts)
                cursor.said()
            if view.state in JOB_TERMINAL:
                yield WatchItem(seq=cursor.at, job=view, counts=view.counts)
                return
            await cursor.wait()
            if cursor.silent:
                yield WatchItem(seq=cursor.at, bookmark=True)
                cursor.said()

    async def _counts(self, job_id: int) -> Mapping[int, int]:
        def look(job: Job) -> dict[int, int]:
            return {n: count for n, count in enumerate(job.counts) if count and n}

        counts: Mapping[int, int] = await self._world.jobs.look(job_id, look)
        return counts


def _filtered(
    events: Sequence[EventView], query: WatchQuery, known: dict[int, int]
) -> list[EventView]:
    chosen = []
    for event in events:
        if not event.job_id:
            if (query.nodes or query.only_nodes) and not query.job_ids:
                chosen.append(event)
            continue
        if query.only_nodes or not _wanted(event, query):
            continue
        if known:
            if event.revision <= known.get(event.job_id, 0):
                continue  # the snapshot has shown it
            known.pop(event.job_id, None)
        if query.jobs_only:
            part = event.of_job()
            if part is not None:
                chosen.append(part)
        else:
            chosen.append(event)
    return chosen


def _wanted(event: EventView, query: WatchQuery) -> bool:
    if query.job_ids and event.job_id not in query.job_ids:
        return False
    return not query.owner or event.owner == query.owner
