"""A store in memory, for tests and simulation: the same promises, no thread, no clock.

Deterministic: a commit is written when the scheduler gets to it, together with whatever
has queued by then, and answered in the same turn. A test may hold commits back, make
the next one fail, and crash the store to see what a new head finds.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from hpcsched.core.listing.ordering import Place
from hpcsched.core.listing.properties import TASK_COUNTS
from hpcsched.store.base import ClusterState
from hpcsched.store.errors import (
    NoSuchBackupError,
    StoreBrokenError,
    StoreClosedError,
    StoreError,
)
from hpcsched.store.memory_state import MemoryState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcsched.core.listing.ordering import Position
    from hpcsched.store.backups import Backup
    from hpcsched.store.base import (
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

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Unit:
    deltas: Sequence[Delta]
    done: Callable[[Sequence[int], BaseException | None], None]


class MemoryStore:
    """A ``Store`` (store.base) without a disk.

    Attributes:
        transactions: How many there were, failed ones included.
        full: Why no new work should be taken; tests set it.
    """

    def __init__(
        self,
        *,
        schedule: Callable[[Callable[[], None]], object] | None = None,
        on_broken: Callable[[BaseException], None] | None = None,
        state: MemoryState | None = None,
    ) -> None:
        """Make an empty store, or one that starts with a state.

        Args:
            schedule: Called to have a function called soon, not at once; the running
                event loop's ``call_soon`` by default.
            on_broken: As of ``open_store``.
            state: Not copied.
        """
        self.transactions = 0
        self.full = ""
        self._schedule = schedule
        self._on_broken = on_broken
        self._state = MemoryState() if state is None else state
        self._queue: list[_Unit] = []
        self._scheduled = False
        self._held = False
        self._dead = False
        self._closed = False
        self._failures: list[BaseException] = []
        self._broken: BaseException | None = None

    # For tests.

    def hold(self) -> None:
        """Let commits queue, as on a disk that does not answer."""
        self._held = True

    def release(self) -> None:
        """Write what has queued, in one transaction, and go on."""
        self._held = False
        self._wake()

    def fail_next(self, error: BaseException, times: int = 1) -> None:
        """Make the next transactions fail; a StoreBrokenError breaks the store."""
        self._failures += [error] * times

    def crash(self) -> MemoryStore:
        """Return what a new head finds: what was committed, and nothing that queued.

        This store answers nobody any more.
        """
        self._dead = True
        self._queue.clear()
        return MemoryStore(schedule=self._schedule, state=self._state.copy())

    @property
    def queued(self) -> int:
        """How many commits have not been written yet."""
        return len(self._queue)

    # The protocol.

    def commit(
        self, delta: Delta, done: Callable[[int, BaseException | None], None]
    ) -> None:
        def one(numbers: Sequence[int], error: BaseException | None) -> None:
            done(numbers[0] if error is None else 0, error)

        self.commit_together((delta,), one)

    def commit_together(
        self,
        deltas: Sequence[Delta],
        done: Callable[[Sequence[int], BaseException | None], None],
    ) -> None:
        if not self._dead:
            self._queue.append(_Unit(tuple(deltas), done))
            self._wake()

    async def load_cluster(self) -> ClusterState:
        state = self._state
        return ClusterState(
            counters=dict(state.counters),
            parameters=dict(state.parameters),
            nodes=[state.nodes[key] for key in sorted(state.nodes)],
            tokens=[state.tokens[key] for key in sorted(state.tokens)],
            last_seq=state.last_seq,
            floor_seq=state.floor_seq,
            entries=dict(state.entries),
        )

    async def load_active(self) -> Iterable[StoredJob]:
        jobs = self._state.jobs
        return [jobs[key].stored() for key in sorted(jobs) if jobs[key].row.active]

    async def load_job(self, job_id: int) -> StoredJob | None:
        job = self._state.jobs.get(job_id)
        return None if job is None else job.stored()

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRow]:
        ids = sorted(self._state.jobs, reverse=not query.ascending)
        rows = (self._state.jobs[job_id].row for job_id in ids)
        return [row for row in rows if _matches(row, query)][: query.limit]

    async def search_jobs(self, search: JobSearch) -> Sequence[tuple[JobRow, Position]]:
        query = replace(search.query, after_id=0)
        falling = [key.descending for key in search.sort] + [search.descending_ids]
        found = []
        for job in self._state.jobs.values():
            values = {**job.terms, **asdict(job.row), "id": job.row.job_id}
            values |= zip(TASK_COUNTS, job.row.counts, strict=True)
            if _matches(job.row, query) and all(
                c.holds(values.get(c.property.name)) for c in search.conditions
            ):
                names = [key.property.name for key in search.sort] + ["id"]
                position = tuple(values.get(name) for name in names)
                found.append((Place(position, falling), job.row, position))
        found.sort(key=itemgetter(0))
        if search.after is not None:
            last = Place(search.after, falling)
            found = [one for one in found if last < one[0]]
        return [(row, position) for _, row, position in found[: query.limit]]

    async def children(self, parent: int, limit: int) -> Sequence[int]:
        jobs = self._state.jobs
        return sorted(n for n, job in jobs.items() if parent in job.parents)[:limit]

    async def has_families(self) -> bool:
        return any(job.parents for job in self._state.jobs.values())

    async def read_events(
        self, after: int, limit: int, job_id: int = 0
    ) -> Sequence[StoredEvent]:
        return self._state.events_after(after, limit, job_id)

    async def floor(self) -> int:
        return self._state.floor_seq

    async def read_output(
        self, job_id: int, task_id: int, instance_id: int
    ) -> TaskOutput | None:
        job = self._state.jobs.get(job_id)
        return None if job is None else job.outputs.get((task_id, instance_id))

    async def find_request(self, principal: str, request_id: str) -> RequestRow | None:
        return self._state.requests.get((principal, request_id))

    async def expired_jobs(self, ended_before: float, limit: int) -> Sequence[int]:
        ended = [
            (job.row.end_time, job_id)
            for job_id, job in self._state.jobs.items()
            if not job.row.active
            and job.row.end_time is not None
            and job.row.end_time < ended_before
        ]
        return [job_id for _, job_id in sorted(ended)[:limit]]

    async def forget_requests(self, before: float) -> None:
        self._check_open()
        requests = self._state.requests
        for key in [key for key, row in requests.items() if row.time < before]:
            del requests[key]

    async def forget_history(self, before: float) -> None:
        self._check_open()
        self._state.books.forget_history(before)
        self._state.forget_node_events(before)

    async def forget_allocations(self, before: float) -> None:
        self._check_open()
        self._state.books.forget_allocations(before)

    async def job_history(self, query: HistoryQuery) -> Sequence[JobHistoryRow]:
        return self._state.books.job_history(query)

    async def allocations(self, query: HistoryQuery) -> Sequence[AllocationRow]:
        return self._state.books.allocations(query)

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        return self._state.books.usage(query)

    async def node_events(self, after: int, limit: int) -> Sequence[StoredEvent]:
        events = self._state.events_after(after, len(self._state.events), 0)
        return [event for event in events if not event.job_id][:limit]

    async def job_counts(self) -> Mapping[int, int]:
        counts: dict[int, int] = {}
        for job in self._state.jobs.values():
            counts[job.row.state] = counts.get(job.row.state, 0) + 1
        return counts

    async def space_problem(self) -> str:
        return self.full

    async def create_backup(self, now: float) -> Backup:
        del now
        raise StoreError("this store is kept in memory only")

    async def list_backups(self) -> Sequence[Backup]:
        return ()

    async def read_backup(self, name: str, offset: int, size: int) -> bytes:
        del offset, size
        raise NoSuchBackupError(name)

    async def delete_backup(self, name: str) -> None:
        raise NoSuchBackupError(name)

    async def close(self) -> None:
        """Write what has queued, held or not."""
        self._held = False
        self._flush()
        self._closed = True

    # How it is done.

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store has been closed")

    def _wake(self) -> None:
        if self._queue and not self._scheduled and not self._held:
            self._scheduled = True
            schedule = self._schedule or asyncio.get_running_loop().call_soon
            schedule(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._held or self._dead or not self._queue:
            return
        units, self._queue = self._queue, []
        self.transactions += 1
        failure = self._failure()
        answers = [(unit, *self._write(unit, failure)) for unit in units]
        for unit, numbers, error in answers:
            try:
                unit.done(numbers, error)
            except Exception:
                log.exception("an owner failed when it was told of its commit")

    def _failure(self) -> BaseException | None:
        if self._closed:
            return StoreClosedError("the store has been closed")
        if self._broken is None and self._failures:
            failure = self._failures.pop(0)
            if not isinstance(failure, StoreBrokenError):
                return failure
            self._broken = failure
            if self._on_broken is not None:
                self._on_broken(failure)
        return self._broken

    def _write(
        self, unit: _Unit, failure: BaseException | None
    ) -> tuple[Sequence[int], BaseException | None]:
        if failure is not None:
            return (), failure
        try:
            return self._state.apply(unit.deltas), None
        except StoreError as error:
            return (), error


def _matches(row: JobRow, query: JobQuery) -> bool:
    after = query.after_id
    return (
        (not query.states or row.state in query.states)
        and (not query.owner or row.owner == query.owner)
        and (query.since is None or row.create_time >= query.since)
        and all(row.labels.get(name) == v for name, v in query.labels.items())
        and (not query.min_id or row.job_id >= query.min_id)
        and (not query.max_id or row.job_id <= query.max_id)
        and (
            not after or (row.job_id > after if query.ascending else row.job_id < after)
        )
    )
