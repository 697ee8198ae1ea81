"""Use cases of accounting: who held what, who used how much, what happened to nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.common.ranges import format_ranges, from_sorted_iterable
from hpcsched.core.past_views import AllocationView, NodeHistoryView
from hpcsched.runtime.accounting import by_day
from hpcsched.runtime.feed import stored_event_view
from hpcsched.store.history import GROUPS, SUMS, UsageRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.world import World
    from hpcsched.store.history import HistoryQuery, JobHistoryRow, UsageQuery

SCANNED: Final = 5_000
"""Events of nodes that one call looks at."""


class AccountingCalls:
    """``runtime.front.AccountingFront``."""

    _world: World

    async def job_history(
        self, caller: Caller, query: HistoryQuery
    ) -> Sequence[JobHistoryRow]:
        """Return how jobs ended, by time."""
        del caller  # names and states are for everybody
        return await self._world.store.job_history(query)

    async def allocations(
        self, caller: Caller, query: HistoryQuery
    ) -> Sequence[AllocationView]:
        """Return allocations that have ended, by the time of their end."""
        del caller
        rows = await self._world.store.allocations(query)
        return [
            AllocationView(
                history_id=row.history_id,
                job_id=row.job_id,
                requeue_id=row.requeue_id,
                node=self._world.name_of(row.node_id),
                cores=row.cores,
                start_time=row.start_time,
                end_time=row.end_time,
            )
            for row in rows
        ]

    def node_number(self, name: str) -> int:
        """Return the number of a node.

        Raises:
            HpcError: NODE_NOT_FOUND.
        """
        number: int = self._world.nodes.find(name).record.node_id
        return number

    async def held(
        self, caller: Caller, job_id: int = 0, node: str = ""
    ) -> Sequence[AllocationView]:
        """Return allocations that are held now, by job and node."""
        del caller
        found: list[AllocationView] = []
        for holder in [job_id] if job_id else self._world.scheduler.holders():
            found += await self._held_by(holder)
        return [view for view in found if not node or view.node == node]

    async def _held_by(self, job_id: int) -> Sequence[AllocationView]:
        def look(job: Job) -> list[AllocationView]:
            return [
                AllocationView(
                    job_id=job_id,
                    requeue_id=job.requeue_count,
                    node=self._world.name_of(use.node_id),
                    cores=format_ranges(from_sorted_iterable(use.cores)),
                    start_time=use.since,
                )
                for _, use in sorted(job.uses.items())
            ]

        return await self._look(job_id, look)

    async def _look(self, job_id: int, look: Any) -> Sequence[Any]:
        """Return what there is to see of a job, which may have gone meanwhile."""
        try:
            found: Sequence[Any] = await self._world.jobs.look(job_id, look)
        except HpcError as refusal:
            if refusal.reason != "JOB_NOT_FOUND":
                raise
            return ()
        return found

    async def node_history(
        self,
        caller: Caller,
        node: str,
        times: tuple[float | None, float | None],
        after: int,
        limit: int,
    ) -> tuple[Sequence[NodeHistoryView], int]:
        """Return what happened to nodes, and where to go on; 0: there is no more.

        Args:
            caller: Who asks.
            node: Only of this one; empty: of all.
            times: Not before the first, before the second; None: whenever.
            after: Number of the event to begin after.
            limit: At most so many.
        """
        del caller
        since, until = times
        rows = await self._world.store.node_events(after, SCANNED)
        found: list[NodeHistoryView] = []
        for row in rows:
            after = row.seq
            early = since is not None and row.time < since
            if early or (until is not None and row.time >= until):
                continue
            event = stored_event_view(row)
            if not node or event.node == node:
                view = NodeHistoryView(
                    seq=row.seq,
                    node=event.node,
                    name=event.name,
                    time=row.time,
                    message=event.message,
                )
                found.append(view)
            if len(found) == limit:
                break
        over = len(rows) < SCANNED and (not rows or after == rows[-1].seq)
        return found, 0 if over else after

    async def usage(self, caller: Caller, query: UsageQuery) -> Sequence[UsageRow]:
        """Return sums of use, of jobs that still run as well."""
        del caller
        live: list[UsageRow] = []
        for job_id in self._world.scheduler.holders():
            live += await self._used_by(job_id)
        rows = await self._world.store.usage(query)
        if len(rows) > query.limit:
            return rows
        return _summed([*rows, *_chosen(live, query)])

    async def _used_by(self, job_id: int) -> Sequence[UsageRow]:
        now = self._world.clock.wall()

        def look(job: Job) -> list[UsageRow]:
            return [
                UsageRow(
                    day=day, owner=job.owner, project=job.spec.project, core_ms=core_ms
                )
                for use in job.uses.values()
                for day, core_ms in by_day(len(use.cores), use.since, now)
            ]

        return await self._look(job_id, look)


def _chosen(rows: Iterable[UsageRow], query: UsageQuery) -> list[UsageRow]:
    """Return rows that a query asks for, without what it does not tell apart."""
    blank = UsageRow()
    hidden = {name: getattr(blank, name) for name in GROUPS if name not in query.by}
    return [
        replace(row, **hidden)
        for row in rows
        if query.first_day <= row.day <= query.last_day
        and query.owner in (None, row.owner)
        and query.project in (None, row.project)
    ]


def _summed(rows: Iterable[UsageRow]) -> list[UsageRow]:
    sums: dict[tuple[int, str, str], UsageRow] = {}
    for row in rows:
        key = (row.day, row.owner, row.project)
        known = sums.get(key)
        if known is not None:
            both = {name: getattr(known, name) + getattr(row, name) for name in SUMS}
            row = replace(known, **both)  # noqa: PLW2901  the sum takes its place
        sums[key] = row
    return [sums[key] for key in sorted(sums)]
