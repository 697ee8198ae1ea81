"""Reads of accounting: pages in the order of time, and sums.

Rows are looked at as they are read (sql.seals); of the sums, which the database adds
up, only who looks for damage reads the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hpcsched.store.history import (
    GROUPS,
    SUMS,
    AllocationRow,
    JobHistoryRow,
    UsageRow,
)
from hpcsched.store.sql import schema
from hpcsched.store.sql.query import compile_query
from hpcsched.store.sql.seals import COVERED, mixed, require_whole

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from hpcsched.store.history import HistoryQuery, UsageQuery


class Accounts:
    """See the module. Statements are made for each read: these are rare."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect

    def job_history(
        self, connection: sqlite3.Connection, query: HistoryQuery
    ) -> Sequence[JobHistoryRow]:
        """Return rows in the order of their times."""
        table = schema.job_history
        wanted = _page(table, table.c.event_time, query)
        if query.owner:
            wanted = wanted.where(table.c.owner == query.owner)
        return [JobHistoryRow(**row) for row in self._rows(connection, table, wanted)]

    def allocations(
        self, connection: sqlite3.Connection, query: HistoryQuery
    ) -> Sequence[AllocationRow]:
        """Return rows in the order of their end times."""
        table = schema.allocation
        wanted = _page(table, table.c.end_time, query)
        if query.node_id:
            wanted = wanted.where(table.c.node_id == query.node_id)
        return [AllocationRow(**row) for row in self._rows(connection, table, wanted)]

    def _rows(
        self, connection: sqlite3.Connection, table: sa.Table, wanted: sa.Select[Any]
    ) -> list[dict[str, Any]]:
        names = [column.name for column in table.c]
        found = connection.execute(*compile_query(wanted, self._dialect))
        rows = [dict(zip(names, row, strict=True)) for row in found]
        for row in rows:
            crc = row.pop("crc")
            if table is schema.job_history and crc is not None:
                crc ^= mixed(row["job_id"])
            told = [row[name] for name in COVERED[table]]
            require_whole(told, crc, f"{table.name} {row['history_id']}")
        return rows

    def usage(
        self, connection: sqlite3.Connection, query: UsageQuery
    ) -> Sequence[UsageRow]:
        """Return sums, in the order of what they are told apart by."""
        table = schema.usage.c
        keys = [table[name] for name in GROUPS if name in query.by]
        sums = [sa.func.sum(table[name]).label(name) for name in SUMS]
        wanted = (
            sa.select(*keys, *sums)
            .where(table.day.between(query.first_day, query.last_day))
            .group_by(*keys)
            .order_by(*keys)
            .limit(query.limit)
            .offset(query.offset)
        )
        if query.owner is not None:
            wanted = wanted.where(table.owner == query.owner)
        if query.project is not None:
            wanted = wanted.where(table.project == query.project)
        names = [column.name for column in (*keys, *sums)]
        found = connection.execute(*compile_query(wanted, self._dialect)).fetchall()
        return [
            UsageRow(**dict(zip(names, row, strict=True)))
            for row in found
            if row[-1] is not None  # the sum of nothing, where nothing is told apart
        ]


def _page(
    table: sa.Table, time: sa.Column[float], query: HistoryQuery
) -> sa.Select[Any]:
    wanted = sa.select(table).order_by(time, table.c.history_id).limit(query.limit)
    if query.job_id:
        wanted = wanted.where(table.c.job_id == query.job_id)
    if query.since is not None:
        wanted = wanted.where(time >= query.since)
    if query.until is not None:
        wanted = wanted.where(time < query.until)
    if query.after is not None:
        place = sa.tuple_(time, table.c.history_id)
        wanted = wanted.where(place > sa.tuple_(*query.after))
    return wanted
