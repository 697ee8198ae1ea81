"""Values as the tables have them, and writes that must meet each of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from hpcsched.store.errors import StaleRevisionError
from hpcsched.store.sql import schema

if TYPE_CHECKING:
    from hpcsched.store.base import JobRow, Terms
    from hpcsched.store.sql.query import Query
    from hpcsched.store.sql.statements import BulkStatement, Cursor, Row

_TERM_NAMES = tuple(c.name for c in schema.job_terms.c if c.name != "job_id")


class Session(Protocol):
    """The writer's connection, as a batch needs it."""

    @property
    def cursor(self) -> Cursor:
        """Where statements are run."""

    def changed(self) -> int:
        """Return a count that grows by one with each row that was changed."""

    def ask(self, query: Query, **values: object) -> int:
        """Return a single number, 0 for none."""


def columns_of(row: JobRow, revision: int) -> Row:
    """Return a job's row as the table has it."""
    return (
        row.job_id,
        row.owner,
        row.name,
        row.project,
        row.state,
        row.priority,
        row.create_time,
        row.submit_time,
        row.end_time,
        row.active,
        row.blob,
        revision,
        row.previous_state,
        row.start_time,
        row.change_time,
        row.requeue_count,
        *row.counts,
        crc32(row.blob),
    )


def terms_row(job_id: int, terms: Terms) -> Row:
    """Return what lists choose a job by as the table has it."""
    return (job_id, *(terms.get(name) for name in _TERM_NAMES))


def write_exactly(
    session: Session, statement: BulkStatement, rows: list[Row], base: int
) -> None:
    """Write jobs of which each has to be at the revision that it builds on.

    Raises:
        StaleRevisionError: one is not; it names the first of them.
    """
    before = session.changed()
    statement.run(session.cursor, rows)
    if session.changed() - before != len(rows):
        raise StaleRevisionError(rows[0][0], base)
