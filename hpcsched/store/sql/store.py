"""The store over an SQL database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import StoreClosedError
from hpcsched.store.sql import chores
from hpcsched.store.sql.listing import list_jobs
from hpcsched.store.sql.searching import search_jobs
from hpcsched.store.sql.units import Unit, WriterStats

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from hpcsched.core.listing.ordering import Position
    from hpcsched.store.backups import Backup, Backups
    from hpcsched.store.base import (
        ClusterState,
        Delta,
        JobQuery,
        JobRow,
        JobSearch,
        RequestRow,
        StoredEvent,
        StoredJob,
        TaskOutput,
    )
    from hpcsched.store.history import (
        AllocationRow,
        HistoryQuery,
        JobHistoryRow,
        UsageQuery,
        UsageRow,
    )
    from hpcsched.store.space import Space
    from hpcsched.store.sql.loading import JobLoader
    from hpcsched.store.sql.readers import Readers
    from hpcsched.store.sql.reads import Reads
    from hpcsched.store.sql.writer import Writer

#: Events read in one transaction.
EVENTS_PER_READ: Final = 2_000

#: The most rows of jobs in one page.
LARGEST_PAGE: Final = 10_000


class SqlStore:
    """A ``Store`` (store.base): one writer, a few readers. Made by store.opener."""

    def __init__(
        self,
        writer: Writer,
        readers: Readers,
        *,
        dialect: sa.Dialect,
        loader: JobLoader,
        reads: Reads,
        backups: Backups,
        space: Space,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._dialect = dialect
        self._loader = loader
        self._reads = reads
        self._backups = backups
        self._space = space
        self._loop = loop
        self._closed = False
        self._gathered: list[Unit] = []

    @property
    def stats(self) -> WriterStats:
        """Counts of the writer."""
        return self._writer.stats

    def commit(
        self, delta: Delta, done: Callable[[int, BaseException | None], None]
    ) -> None:
        def one(numbers: Sequence[int], error: BaseException | None) -> None:
            done(numbers[0] if error is None else 0, error)

        self._put(Unit((delta,), one))

    def commit_together(
        self,
        deltas: Sequence[Delta],
        done: Callable[[Sequence[int], BaseException | None], None],
    ) -> None:
        self._put(Unit(tuple(deltas), done))

    def _put(self, unit: Unit) -> None:
        """Hand a unit to the writer with whatever else this turn of the loop commits.

        Handed over one by one, the first would become a transaction of its own while
        the others are still being made.
        """
        if self._closed:
            error = StoreClosedError("the store has been closed")
            self._loop.call_soon(unit.done, (), error)
            return
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(unit)

    def _hand_over(self) -> None:
        units, self._gathered = self._gathered, []
        if units:
            self._writer.put_all(units)

    async def load_cluster(self) -> ClusterState:
        return await self._readers.read(self._reads.cluster)

    async def load_active(self) -> Iterable[StoredJob]:
        """Return the jobs in batches that are read ahead of the loop over them.

        Going through them blocks the event loop while a batch is read: this is for a
        head that serves nobody yet.
        """
        first = await self._readers.read(self._loader.load_active, 0)
        return self._batches(first)

    def _batches(self, batch: Sequence[StoredJob]) -> Iterator[StoredJob]:
        while batch:
            following = self._readers.submit(
                self._loader.load_active, batch[-1].row.job_id
            )
            yield from batch
            batch = following.result()

    async def load_job(self, job_id: int) -> StoredJob | None:
        return await self._readers.read(self._loader.load, job_id)

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRow]:
        """Return a page of at most LARGEST_PAGE rows."""
        if query.limit > LARGEST_PAGE:
            raise ValueError(f"limit is {query.limit}; at most {LARGEST_PAGE}")
        return await self._readers.read(self._list, query)

    def _list(
        self, connection: sqlite3.Connection, query: JobQuery
    ) -> Sequence[JobRow]:
        return list_jobs(connection, self._dialect, query)

    async def search_jobs(self, search: JobSearch) -> Sequence[tuple[JobRow, Position]]:
        """Return a page of at most LARGEST_PAGE rows."""
        if search.query.limit > LARGEST_PAGE:
            raise ValueError(f"limit is {search.query.limit}; at most {LARGEST_PAGE}")
        return await self._readers.read(self._search, search)

    def _search(
        self, connection: sqlite3.Connection, search: JobSearch
    ) -> Sequence[tuple[JobRow, Position]]:
        return search_jobs(connection, self._dialect, search)

    async def children(self, parent: int, limit: int) -> Sequence[int]:
        return await self._readers.read(self._reads.children, parent, limit)

    async def has_families(self) -> bool:
        return await self._readers.read(self._reads.has_families)

    async def read_events(
        self, after: int, limit: int, job_id: int = 0
    ) -> Sequence[StoredEvent]:
        events: list[StoredEvent] = []
        while (room := min(limit - len(events), EVENTS_PER_READ)) > 0:
            page = await self._readers.read(self._reads.events, after, room, job_id)
            events += page
            if len(page) < room:
                break
            after = page[-1].seq
        return events

    async def floor(self) -> int:
        return await self._readers.read(self._reads.floor)

    async def read_output(
        self, job_id: int, task_id: int, instance_id: int
    ) -> TaskOutput | None:
        return await self._readers.read(
            self._reads.output, job_id, task_id, instance_id
        )

    async def find_request(self, principal: str, request_id: str) -> RequestRow | None:
        return await self._readers.read(self._reads.request, principal, request_id)

    async def expired_jobs(self, ended_before: float, limit: int) -> Sequence[int]:
        return await self._readers.read(self._reads.expired, ended_before, limit)

    async def forget_requests(self, before: float) -> None:
        """Delete them in slices, between the transactions of others.

        Raises:
            StoreError: the disk or the database would not have it.
        """
        await self._forget(chores.REQUESTS, before)

    async def forget_history(self, before: float) -> None:
        """Delete it in slices, as ``forget_requests`` does.

        Raises:
            StoreError: the disk or the database would not have it.
        """
        for what in (chores.HISTORY, chores.USAGE, chores.NODE_EVENTS):
            await self._forget(what, before)

    async def forget_allocations(self, before: float) -> None:
        """Delete them in slices, as ``forget_requests`` does.

        Raises:
            StoreError: the disk or the database would not have it.
        """
        await self._forget(chores.ALLOCATIONS, before)

    async def job_history(self, query: HistoryQuery) -> Sequence[JobHistoryRow]:
        return await self._readers.read(self._reads.books.job_history, query)

    async def allocations(self, query: HistoryQuery) -> Sequence[AllocationRow]:
        return await self._readers.read(self._reads.books.allocations, query)

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        return await self._readers.read(self._reads.books.usage, query)

    async def node_events(self, after: int, limit: int) -> Sequence[StoredEvent]:
        return await self._readers.read(self._reads.node_events, after, limit)

    async def _forget(self, what: str, before: float) -> None:
        while not await self._forget_slice(what, before):
            pass

    async def _forget_slice(self, what: str, before: float) -> bool:
        if self._closed:
            raise StoreClosedError("the store has been closed")
        answer: asyncio.Future[bool] = self._loop.create_future()

        def done(all_gone: bool, error: BaseException | None) -> None:  # noqa: FBT001
            if answer.done():
                return  # whoever asked has been cancelled
            if error is None:
                answer.set_result(all_gone)
            else:
                answer.set_exception(error)

        self._writer.forget_slice(what, before, done)
        return await answer

    async def job_counts(self) -> Mapping[int, int]:
        return await self._readers.read(self._reads.counts)

    async def space_problem(self) -> str:
        """Return why the disk should take no new work.

        A head asks now and then; on that occasion the writer looks whether the store is
        still its own, so that one that has nothing to write ends as well.
        """
        self._writer.look()
        return await asyncio.to_thread(self._space.problem)

    async def create_backup(self, now: float) -> Backup:
        return await asyncio.to_thread(self._backups.create, now)

    async def list_backups(self) -> Sequence[Backup]:
        return await asyncio.to_thread(self._backups.list)

    async def read_backup(self, name: str, offset: int, size: int) -> bytes:
        return await asyncio.to_thread(self._backups.read, name, offset, size)

    async def delete_backup(self, name: str) -> None:
        await asyncio.to_thread(self._backups.delete, name)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.close()  # first: the last checkpoint needs them gone
        self._writer.close()
