"""Accounting of a store in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpcsched.store.history import (
    DAY_S,
    GROUPS,
    SUMS,
    AllocationRow,
    HistoryQuery,
    JobHistoryRow,
    UsageQuery,
    UsageRow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.store.base import Delta


@dataclass(slots=True)
class MemoryBooks:
    """See the module."""

    history: list[JobHistoryRow] = field(default_factory=list)
    held: list[AllocationRow] = field(default_factory=list)
    used: dict[tuple[int, str, str], UsageRow] = field(default_factory=dict)
    last_id: int = 0

    def copy(self) -> MemoryBooks:
        """Return books that changes to these do not reach."""
        return replace(
            self, history=list(self.history), held=list(self.held), used=dict(self.used)
        )

    def add(self, delta: Delta) -> None:
        """Take what a delta says."""
        for row in delta.history:
            self.last_id += 1
            self.history.append(replace(row, history_id=self.last_id))
        for held in delta.allocations:
            self.last_id += 1
            self.held.append(replace(held, history_id=self.last_id))
        for used in delta.usage:
            key = (used.day, used.owner, used.project)
            self.used[key] = _sum([self.used[key], used]) if key in self.used else used

    def forget_history(self, before: float) -> None:
        """Drop job history and sums of use from before a time."""
        self.history = [row for row in self.history if row.event_time >= before]
        day = before // DAY_S
        self.used = {key: row for key, row in self.used.items() if row.day >= day}

    def forget_allocations(self, before: float) -> None:
        """Drop allocations that ended before a time."""
        self.held = [row for row in self.held if row.end_time >= before]

    def job_history(self, query: HistoryQuery) -> Sequence[JobHistoryRow]:
        """Return rows in the order of their times."""
        found = sorted(self.history, key=lambda row: (row.event_time, row.history_id))
        return [
            row
            for row in found
            if _matches(query, row.job_id, row.event_time, row.history_id)
            and (not query.owner or row.owner == query.owner)
        ][: query.limit]

    def allocations(self, query: HistoryQuery) -> Sequence[AllocationRow]:
        """Return rows in the order of their end times."""
        found = sorted(self.held, key=lambda row: (row.end_time, row.history_id))
        return [
            row
            for row in found
            if _matches(query, row.job_id, row.end_time, row.history_id)
            and (not query.node_id or row.node_id == query.node_id)
        ][: query.limit]

    def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        """Return sums, in the order of what they are told apart by."""
        groups: dict[tuple[object, ...], list[UsageRow]] = {}
        for row in self.used.values():
            if not query.first_day <= row.day <= query.last_day:
                continue
            if query.owner is not None and row.owner != query.owner:
                continue
            if query.project is not None and row.project != query.project:
                continue
            key = tuple(getattr(row, name) for name in GROUPS if name in query.by)
            groups.setdefault(key, []).append(row)
        blank = UsageRow()
        hidden = {name: getattr(blank, name) for name in GROUPS if name not in query.by}
        sums = [replace(_sum(groups[key]), **hidden) for key in sorted(groups)]
        return sums[query.offset : query.offset + query.limit]


def _matches(query: HistoryQuery, job_id: int, time: float, history_id: int) -> bool:
    return (
        (not query.job_id or job_id == query.job_id)
        and (query.since is None or time >= query.since)
        and (query.until is None or time < query.until)
        and (query.after is None or (time, history_id) > query.after)
    )


def _sum(rows: Sequence[UsageRow]) -> UsageRow:
    totals = {name: sum(getattr(row, name) for row in rows) for name in SUMS}
    return replace(rows[0], **totals)
