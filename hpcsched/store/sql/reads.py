"""Every other read of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hpcsched.store.base import (
    ClusterState,
    NodeRow,
    RequestRow,
    StoredEvent,
    TaskOutput,
    TokenRow,
)
from hpcsched.store.sql import schema
from hpcsched.store.sql.accounts import Accounts
from hpcsched.store.sql.query import Query
from hpcsched.store.sql.seals import require_whole
from hpcsched.store.sql.sums import require_sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence


class Reads:
    """Statements compiled once; each method is a read over a connection.

    Rows are looked at: one that is not what was written raises DamagedRowError.
    """

    def __init__(self, dialect: sa.Dialect, *, believing: bool = False) -> None:
        """Compile the statements.

        Args:
            dialect: Of the database.
            believing: Return damaged rows too, for who looks for damage.
        """
        self._require_whole = _believe if believing else require_whole
        self._require_sound = _believe if believing else require_sound
        event, job = schema.event, schema.job
        after = sa.bindparam("after", type_=schema.BIG)
        job_id = sa.bindparam("job_id", type_=sa.Integer)
        room = sa.bindparam("room", type_=sa.Integer)
        purged = sa.exists().where(schema.purge.c.job_id == event.c.job_id)
        events = (
            sa.select(event)
            .where(event.c.seq > after, ~purged)
            .order_by(event.c.seq)
            .limit(room)
        )
        self._events = Query(events, dialect)
        self._events_of_job = Query(events.where(event.c.job_id == job_id), dialect)
        self._newest = Query(sa.select(sa.func.max(event.c.seq)), dialect)
        of_nodes = events.where(event.c.job_id == 0)
        self._node_events = Query(of_nodes, dialect)
        self.books = Accounts(dialect)
        self._floor = Query(
            sa.select(schema.meta).where(schema.meta.c.name == schema.FLOOR),
            dialect,
        )
        output, request = schema.output, schema.request
        self._output = Query(
            sa.select(output).where(
                output.c.job_id == job_id,
                output.c.task_id == sa.bindparam("task_id", type_=sa.Integer),
                output.c.instance_id == sa.bindparam("instance_id", type_=sa.Integer),
                sa.exists().where(job.c.id == job_id),
            ),
            dialect,
        )
        self._request = Query(
            sa.select(request).where(
                request.c.principal == sa.bindparam("principal", type_=sa.Text),
                request.c.request_id == sa.bindparam("request_id", type_=sa.Text),
            ),
            dialect,
        )
        before = sa.bindparam("before", type_=sa.Float)
        self._expired = Query(
            sa.select(job.c.id)
            .where(schema.HAS_ENDED, job.c.end_time < before)
            .order_by(job.c.end_time, job.c.id)
            .limit(room),
            dialect,
        )
        kin = schema.job_parent
        self._children = Query(
            sa.select(kin.c.job_id)
            .where(
                kin.c.parent_id == sa.bindparam("parent", type_=sa.Integer),
                sa.exists().where(job.c.id == kin.c.job_id),
            )
            .order_by(kin.c.job_id)
            .limit(room),
            dialect,
        )
        self._families = Query(sa.select(kin.c.job_id).limit(1), dialect)
        counts = sa.select(job.c.state, sa.func.count()).group_by(job.c.state)
        self._counts = Query(counts, dialect)
        self._counters = Query(sa.select(schema.counter), dialect)
        self._entries = Query(sa.select(schema.entry), dialect)
        self._parameters = Query(sa.select(schema.parameter), dialect)
        self._nodes = Query(
            sa.select(schema.node).order_by(schema.node.c.node_id), dialect
        )
        self._tokens = Query(
            sa.select(schema.token).order_by(schema.token.c.token_id), dialect
        )

    def cluster(self, connection: sqlite3.Connection) -> ClusterState:
        """Return what is not a job."""
        counters = {}
        for name, count, crc in _all(connection, self._counters):
            self._require_sound((name,), (count,), crc)
            counters[name] = count
        return ClusterState(
            counters=counters,
            parameters={
                row[0]: row[1] for row in self._whole(connection, self._parameters)
            },
            nodes=[
                NodeRow(node_id=row[0], name=row[1], blob=row[2])
                for row in self._whole(connection, self._nodes)
            ],
            tokens=[
                TokenRow(
                    token_id=row[0],
                    digest=row[1],
                    user=row[2],
                    role=row[3],
                    create_time=row[4],
                    expire_time=row[5],
                )
                for row in self._whole(connection, self._tokens)
            ],
            last_seq=self.last_seq(connection),
            floor_seq=self.floor(connection),
            entries={row[:2]: row[2] for row in self._whole(connection, self._entries)},
        )

    def last_seq(self, connection: sqlite3.Connection) -> int:
        """Return the newest number ever given: of a purged event, if that was newer."""
        newest: int | None = _all(connection, self._newest)[0][0]
        return max(newest or 0, self.floor(connection))

    def floor(self, connection: sqlite3.Connection) -> int:
        """Return the newest number that was purged."""
        rows = _all(connection, self._floor)
        if not rows:
            return 0
        name, floor, crc = rows[0]
        self._require_sound((name,), (floor,), crc)
        return int(floor)

    def events(
        self, connection: sqlite3.Connection, after: int, room: int, job_id: int
    ) -> Sequence[StoredEvent]:
        """Return events above a number, of one job or (0) of all."""
        query = self._events_of_job if job_id else self._events
        values = query.with_values(after=after, room=room, job_id=job_id)
        return [self._event(row) for row in connection.execute(*values)]

    def node_events(
        self, connection: sqlite3.Connection, after: int, room: int
    ) -> Sequence[StoredEvent]:
        """Return events of nodes above a number."""
        values = self._node_events.with_values(after=after, room=room)
        return [self._event(row) for row in connection.execute(*values)]

    def output(
        self,
        connection: sqlite3.Connection,
        job_id: int,
        task_id: int,
        instance_id: int,
    ) -> TaskOutput | None:
        """Return the kept output of an element of a job that there is."""
        rows = _all(
            connection,
            self._output,
            job_id=job_id,
            task_id=task_id,
            instance_id=instance_id,
        )
        if not rows:
            return None
        _, task, instance, attempt, text, _ = rows[0]
        self._require_whole(
            rows[0][:-1], rows[0][-1], f"the output of {job_id}.{task_id}"
        )
        return TaskOutput(
            task_id=task, instance_id=instance, attempt=attempt, text=text
        )

    def request(
        self, connection: sqlite3.Connection, principal: str, request_id: str
    ) -> RequestRow | None:
        """Return the answer that was given to a request id."""
        rows = _all(
            connection, self._request, principal=principal, request_id=request_id
        )
        if not rows:
            return None
        who, which, digest, answer, time, _ = rows[0]
        self._require_whole(
            rows[0][:-1], rows[0][-1], f"the answer to request {which} of {who}"
        )
        return RequestRow(
            principal=who, request_id=which, digest=digest, answer=answer, time=time
        )

    def expired(
        self, connection: sqlite3.Connection, before: float, room: int
    ) -> Sequence[int]:
        """Return ids of jobs that ended before a time, oldest first."""
        return [
            row[0] for row in _all(connection, self._expired, before=before, room=room)
        ]

    def children(
        self, connection: sqlite3.Connection, parent: int, room: int
    ) -> Sequence[int]:
        """Return ids of the jobs that name a parent, lowest first."""
        rows = _all(connection, self._children, parent=parent, room=room)
        return [row[0] for row in rows]

    def has_families(self, connection: sqlite3.Connection) -> bool:
        """Does any job name a parent?"""
        return bool(_all(connection, self._families))

    def counts(self, connection: sqlite3.Connection) -> Mapping[int, int]:
        """Return the number of jobs by state."""
        return {row[0]: row[1] for row in _all(connection, self._counts)}

    def _event(self, row: tuple[Any, ...]) -> StoredEvent:
        self._require_whole(row[3:6], row[6], f"event {row[0]}")
        return StoredEvent(
            seq=row[0],
            job_id=row[1],
            revision=row[2],
            time=row[3],
            owner=row[4],
            body=row[5],
        )

    def _whole(
        self, connection: sqlite3.Connection, query: Query
    ) -> list[tuple[Any, ...]]:
        """Return rows of the cluster's, each as it was written."""
        rows = _all(connection, query)
        for row in rows:
            self._require_whole(row[:-1], row[-1], f"what is kept of {row[0]!r}")
        return rows


def _believe(row: Sequence[Any], rest: object, what: object) -> None:
    pass


def _all(
    connection: sqlite3.Connection, query: Query, **values: object
) -> list[tuple[Any, ...]]:
    return connection.execute(*query.with_values(**values)).fetchall()
