"""What the writer does when nobody waits for it: delete what is out of sight.

A purged job loses its row at once and is named in ``purge``. The rest of it, a million
rows of output perhaps, goes in slices, so that no commit waits for more than one slice.
A head that stops between two slices goes on with them when it starts again.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hpcsched.store.history import DAY_S
from hpcsched.store.sql import schema
from hpcsched.store.sql.query import Query
from hpcsched.store.sql.seals import require_whole
from hpcsched.store.sql.sums import with_seal

if TYPE_CHECKING:
    from hpcsched.store.sql.session import WriterSession
    from hpcsched.store.sql.statements import BulkStatement

#: Rows deleted in one transaction: some milliseconds.
SLICE_ROWS: Final = 1_000

#: What is forgotten by its age.
REQUESTS: Final = "requests"
HISTORY: Final = "history"
ALLOCATIONS: Final = "allocations"
USAGE: Final = "usage"
NODE_EVENTS: Final = "node events"

_AGES: Final = {
    REQUESTS: schema.request.c.time,
    HISTORY: schema.job_history.c.event_time,
    ALLOCATIONS: schema.allocation.c.end_time,
    USAGE: schema.usage.c.day,
}
OLD: Final = (*_AGES, NODE_EVENTS)

#: Above every number of an event.
_NO_SEQ: Final = 2**62

_OF_JOBS: Final = (
    schema.event,
    schema.output,
    schema.note,
    schema.chunk,
    schema.job_spec,
    schema.job_label,
    schema.job_terms,
    schema.job_parent,
)


class _Queries:
    def __init__(self, dialect: sa.Dialect) -> None:
        self.next = Query(
            sa.select(schema.purge).order_by(schema.purge.c.job_id).limit(1), dialect
        )
        self.slices = [Query(_slice_of(table), dialect) for table in _OF_JOBS]
        job_id = sa.bindparam("job_id", type_=sa.Integer)
        self.done = Query(
            sa.delete(schema.purge).where(schema.purge.c.job_id == job_id), dialect
        )
        self.old = {
            name: Query(_slice_before(column), dialect)
            for name, column in _AGES.items()
        }
        self.floor = Query(_floor(), dialect)
        self.old_node_events = Query(_last_of_slice_of_node_events(), dialect)
        self.forget_node_events = Query(_node_events_up_to(), dialect)


@cache
def _queries(dialect: sa.Dialect) -> _Queries:
    return _Queries(dialect)


class Chores:
    """Deletions in slices. Each method runs inside a transaction of the writer's."""

    def __init__(self, dialect: sa.Dialect, put_meta: BulkStatement) -> None:
        self.due = True  # an earlier head may have left some
        self._put_meta = put_meta
        self._made = _queries(dialect)

    def purge_slice(self, session: WriterSession) -> None:
        """Delete some rows of purged jobs; clear ``due`` when none are left."""
        room = SLICE_ROWS
        while room > 0:
            row = session.cursor.execute(*self._made.next.with_values()).fetchone()
            if row is None:
                self.due = False
                return
            job_id, crc = row
            require_whole((job_id,), crc, "the name of a job to delete")
            room -= self._purge(session, job_id, room)

    def forget_slice(self, session: WriterSession, what: str, before: float) -> bool:
        """Delete some rows from before a time; return whether those were all.

        Args:
            session: Where; the transaction is the caller's.
            what: One of ``OLD``.
            before: Seconds since 1970, UTC.
        """
        if what == NODE_EVENTS:
            return self._forget_events(session, before)
        if what == USAGE:
            before //= DAY_S
        start = session.changed()
        values = self._made.old[what].with_values(before=before, room=SLICE_ROWS)
        session.cursor.execute(*values)
        return session.changed() - start < SLICE_ROWS

    def _forget_events(self, session: WriterSession, before: float) -> bool:
        """Delete some events of nodes; no cursor may point before what is gone."""
        last = session.ask(self._made.old_node_events, before=before, room=SLICE_ROWS)
        if not last:
            return True
        start = session.changed()
        session.cursor.execute(*self._made.forget_node_events.with_values(last=last))
        gone = session.changed() - start
        if last > session.ask(self._made.floor):
            self._put_meta.run(session.cursor, [with_seal((schema.FLOOR,), (last,))])
        return gone < SLICE_ROWS

    def _purge(self, session: WriterSession, job_id: int, room: int) -> int:
        start = session.changed()
        for query in self._made.slices:
            left = room - (session.changed() - start)
            if left <= 0:
                return room
            values = query.with_values(job_id=job_id, room=left)
            session.cursor.execute(*values)
        if session.changed() - start < room:
            session.cursor.execute(*self._made.done.with_values(job_id=job_id))
        return session.changed() - start


def _slice_of(table: sa.Table) -> sa.Delete:
    job_id = sa.bindparam("job_id", type_=sa.Integer)
    room = sa.bindparam("room", type_=sa.Integer)
    key = [column for column in table.primary_key if column.name != "job_id"]
    if not key:  # one row of the job
        return sa.delete(table).where(table.c.job_id == job_id, room > 0)
    some = sa.select(*key).where(table.c.job_id == job_id).limit(room)
    return sa.delete(table).where(table.c.job_id == job_id, _among(key, some))


def _slice_before(column: sa.Column[Any]) -> sa.Delete:
    table = column.table
    key = list(table.primary_key)
    before = sa.bindparam("before", type_=sa.Float)
    room = sa.bindparam("room", type_=sa.Integer)
    some = sa.select(*key).where(column < before).limit(room)
    return sa.delete(table).where(_among(key, some))


def _last_of_slice_of_node_events() -> sa.Select[Any]:
    """The number of the last of some old events; the walk ends at the first new one."""
    event = schema.event.c
    before = sa.bindparam("before", type_=sa.Float)
    young = (
        sa.select(event.seq)
        .where(event.job_id == 0, event.time >= before)
        .order_by(event.seq)
        .limit(1)
        .scalar_subquery()
    )
    some = (
        sa.select(event.seq)
        .where(event.job_id == 0, event.seq < sa.func.coalesce(young, _NO_SEQ))
        .order_by(event.seq)
        .limit(sa.bindparam("room", type_=sa.Integer))
        .subquery()
    )
    return sa.select(sa.func.max(some.c.seq))


def _node_events_up_to() -> sa.Delete:
    event = schema.event
    last = sa.bindparam("last", type_=schema.BIG)
    return sa.delete(event).where(event.c.job_id == 0, event.c.seq <= last)


def _floor() -> sa.Select[Any]:
    meta = schema.meta.c
    return sa.select(meta.value).where(meta.name == schema.FLOOR)


def _among(key: list[sa.Column[Any]], some: sa.Select[Any]) -> sa.ColumnElement[bool]:
    one: sa.ColumnElement[Any] = key[0] if len(key) == 1 else sa.tuple_(*key)
    return one.in_(some)
