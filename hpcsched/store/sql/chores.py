"""What the writer does when nobody waits for it: delete what is out of sight.

A purged job loses its row at once and is named in ``purge``. The rest of it, a million
rows of output perhaps, goes in slices, so that no commit waits for more than one slice.
A head that stops between two slices goes on with them when it starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hpcsched.store.sql import schema
from hpcsched.store.sql.query import Query

if TYPE_CHECKING:
    from hpcsched.store.sql.session import WriterSession

#: Rows deleted in one transaction: some milliseconds.
SLICE_ROWS: Final = 1_000

_OF_JOBS: Final = (
    schema.event,
    schema.output,
    schema.note,
    schema.chunk,
    schema.job_spec,
    schema.job_label,
)


class Chores:
    """Deletions in slices. Each method runs inside a transaction of the writer's."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.due = True  # an earlier head may have left some
        self._next = Query(sa.select(sa.func.min(schema.purge.c.job_id)), dialect)
        self._slices = [Query(_slice_of(table), dialect) for table in _OF_JOBS]
        job_id = sa.bindparam("job_id", type_=sa.Integer)
        self._done = Query(
            sa.delete(schema.purge).where(schema.purge.c.job_id == job_id), dialect
        )
        self._forget = Query(_slice_of_requests(), dialect)

    def purge_slice(self, session: WriterSession) -> None:
        """Delete some rows of purged jobs; clear ``due`` when none are left."""
        room = SLICE_ROWS
        while room > 0:
            job_id = session.cursor.execute(*self._next.with_values()).fetchone()[0]
            if job_id is None:
                self.due = False
                return
            room -= self._purge(session, job_id, room)

    def forget_slice(self, session: WriterSession, before: float) -> bool:
        """Delete some answers from before a time; return whether that was all."""
        start = session.changed()
        values = self._forget.with_values(before=before, room=SLICE_ROWS)
        session.cursor.execute(*values)
        return session.changed() - start < SLICE_ROWS

    def _purge(self, session: WriterSession, job_id: int, room: int) -> int:
        start = session.changed()
        for query in self._slices:
            left = room - (session.changed() - start)
            if left <= 0:
                return room
            values = query.with_values(job_id=job_id, room=left)
            session.cursor.execute(*values)
        if session.changed() - start < room:
            session.cursor.execute(*self._done.with_values(job_id=job_id))
        return session.changed() - start


def _slice_of(table: sa.Table) -> sa.Delete:
    job_id = sa.bindparam("job_id", type_=sa.Integer)
    room = sa.bindparam("room", type_=sa.Integer)
    key = [column for column in table.primary_key if column.name != "job_id"]
    some = sa.select(*key).where(table.c.job_id == job_id).limit(room)
    return sa.delete(table).where(table.c.job_id == job_id, _among(key, some))


def _slice_of_requests() -> sa.Delete:
    request = schema.request
    key = list(request.primary_key)
    before = sa.bindparam("before", type_=sa.Float)
    room = sa.bindparam("room", type_=sa.Integer)
    some = sa.select(*key).where(request.c.time < before).limit(room)
    return sa.delete(request).where(_among(key, some))


def _among(key: list[sa.Column[Any]], some: sa.Select[Any]) -> sa.ColumnElement[bool]:
    one: sa.ColumnElement[Any] = key[0] if len(key) == 1 else sa.tuple_(*key)
    return one.in_(some)
