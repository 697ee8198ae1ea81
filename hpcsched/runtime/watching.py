"""Watches: backlog, one mark, then live; resumable by position without gap or repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JOB_TERMINAL
from hpcsched.core.views import EventView
from hpcsched.runtime.front import WatchItem, WatchQuery
from hpcsched.runtime.job_reads import JobReads
from hpcsched.runtime.stored import stored_view
from hpcsched.store.base import JobQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.views import JobView

BOOKMARK_S: Final = 10.0
PAGE: Final = 500


class Watching(JobReads):
    """The streaming half of ``runtime.front.JobFront``."""

    async def watch(
        self, caller: Caller, query: WatchQuery
    ) -> AsyncIterator[WatchItem]:
        """Yield what happens, as the query asks; ends only with ``backlog_only``.

        Raises:
            HpcError: CURSOR_UNKNOWN, CURSOR_EXPIRED, INVALID_FIELD.
        """
        feed = self._world.feed
        at = feed.last if query.after is None else query.after
        known: dict[int, int] = {}
        if query.snapshot:
            if query.after is not None:
                raise HpcError(
                    "INVALID_FIELD", field="snapshot", problem="not together with after"
                )
            async for item in self._snapshot(caller, query, at):
                known.update((job.job_id, job.revision) for job in item.jobs)
                yield item
        else:
            self._check(at, explicit=query.after is not None)
        told = False
        while True:
            events = await feed.read(at)
            if events:
                at = events[-1].seq
                chosen = tuple(_filtered(events, query, known))
                if chosen:
                    yield WatchItem(seq=at, events=chosen)
                elif told:
                    await self._rest()
                continue
            if not told:
                told = True
                yield WatchItem(seq=at, caught_up=True)
                if query.backlog_only:
                    return
            if not await feed.more(at, BOOKMARK_S):
                yield WatchItem(seq=at, bookmark=True)

    async def _rest(self) -> None:
        """Let others run: a watch that filters everything out never awaits a write."""
        await self._world.clock.sleep(0)

    def _check(self, at: int, *, explicit: bool) -> None:
        feed = self._world.feed
        if at > feed.last or at < 0:
            raise HpcError("CURSOR_UNKNOWN", cursor=at)
        if explicit and 0 < at < feed.floor:
            raise HpcError("CURSOR_EXPIRED", oldest_cursor=feed.floor)

    async def _snapshot(
        self, caller: Caller, query: WatchQuery, at: int
    ) -> AsyncIterator[WatchItem]:
        del caller
        after = 0
        while True:
            asked = JobQuery(
                owner=query.owner, ascending=True, after_id=after, limit=PAGE
            )
            rows = await self._world.store.list_jobs(asked)
            if not rows:
                return
            after = rows[-1].job_id
            jobs: list[JobView] = [
                stored_view(row, self._world.name_of)
                for row in rows
                if not query.job_ids or row.job_id in query.job_ids
            ]
            if jobs:
                yield WatchItem(seq=at, jobs=tuple(jobs))

    async def watch_job(
        self, caller: Caller, job_id: int, after: int | None, *, jobs_only: bool
    ) -> AsyncIterator[WatchItem]:
        """Yield the events of one job until it is terminal; the last item has the job.

        Raises:
            HpcError: JOB_NOT_FOUND, CURSOR_UNKNOWN.
        """
        feed = self._world.feed
        await self._world.jobs.look(job_id, lambda job: job.state)
        at = after or 0
        self._check(at, explicit=False)
        query = WatchQuery(job_ids=frozenset({job_id}), jobs_only=jobs_only)
        told = False
        while True:
            newest = feed.last
            events = await feed.read(at, job_id)
            if events:
                at = events[-1].seq
                chosen = tuple(_filtered(events, query, {}))
                if chosen:
                    counts = await self._counts(job_id)
                    yield WatchItem(seq=at, events=chosen, counts=counts)
                continue
            if newest > at:
                at = newest  # the store had no more of this job up to there
                continue
            if not told:
                told = True
                yield WatchItem(
                    seq=at, caught_up=True, counts=await self._counts(job_id)
                )
            view = await self.get_job(caller, job_id, full=False)
            if view.state in JOB_TERMINAL and at == feed.last:
                yield WatchItem(seq=at, job=view, counts=view.counts)
                return
            if not await feed.more(at, BOOKMARK_S):
                yield WatchItem(seq=at, bookmark=True)

    async def _counts(self, job_id: int) -> Mapping[int, int]:
        def look(job: Job) -> dict[int, int]:
            return {n: count for n, count in enumerate(job.counts) if count and n}

        counts: Mapping[int, int] = await self._world.jobs.look(job_id, look)
        return counts


def _filtered(
    events: Sequence[EventView], query: WatchQuery, known: Mapping[int, int]
) -> list[EventView]:
    chosen = []
    for event in events:
        if not event.job_id:
            if query.nodes and not query.job_ids:
                chosen.append(event)
            continue
        if query.job_ids and event.job_id not in query.job_ids:
            continue
        if query.owner and event.owner != query.owner:
            continue
        if event.revision <= known.get(event.job_id, 0):
            continue
        if query.jobs_only:
            changes = tuple(change for change in event.changes if not change.task_id)
            if not changes:
                continue
            chosen.append(replace(event, changes=changes))
        else:
            chosen.append(event)
    return chosen
