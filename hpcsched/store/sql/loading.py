"""Reading whole jobs, as a head needs them to go on: five statements for many jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import sqlalchemy as sa

from hpcsched.store.base import JobRow, StoredJob
from hpcsched.store.sql import schema
from hpcsched.store.sql.query import Query
from hpcsched.store.sql.seals import DamagedRowError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

#: Jobs read in one transaction: some ten milliseconds of small ones.
BATCH_JOBS: Final = 1_000

_LAST_ID: Final = 2**31 - 1


class JobLoader:
    """Reads jobs by ranges of ids."""

    def __init__(self, dialect: sa.Dialect, *, believing: bool = False) -> None:
        """Compile the statements.

        Args:
            dialect: Of the database.
            believing: Return damaged rows too, for who looks for damage.
        """
        self._believing = believing
        first = sa.bindparam("first", type_=sa.Integer)
        last = sa.bindparam("last", type_=sa.Integer)
        room = sa.bindparam("room", type_=sa.Integer)
        job = schema.job
        in_range = job.c.id.between(first, last)
        rows = sa.select(job).where(in_range).order_by(job.c.id).limit(room)
        self._rows = {
            active: Query(rows.where(schema.IS_ACTIVE) if active else rows, dialect)
            for active in (False, True)
        }
        self._parts = {
            active: [
                Query(_of_jobs(table, first, last, active=active), dialect)
                for table in (
                    schema.job_label,
                    schema.job_spec,
                    schema.chunk,
                    schema.note,
                )
            ]
            for active in (False, True)
        }

    def load(self, connection: sqlite3.Connection, job_id: int) -> StoredJob | None:
        """Return one job."""
        found = self._range(connection, job_id, job_id, 1, active=False)
        return found[0] if found else None

    def load_active(
        self, connection: sqlite3.Connection, after: int
    ) -> Sequence[StoredJob]:
        """Return the next active jobs with greater ids; none: there are no more."""
        return self._range(connection, after + 1, _LAST_ID, BATCH_JOBS, active=True)

    def load_after(
        self, connection: sqlite3.Connection, after: int
    ) -> Sequence[StoredJob]:
        """Return the next jobs with greater ids, ended ones too."""
        return self._range(connection, after + 1, _LAST_ID, BATCH_JOBS, active=False)

    def _look(self, body: bytes, crc: int | None, job_id: int) -> None:
        if crc is not None and crc32(body) != crc and not self._believing:
            raise DamagedRowError(f"job {job_id} is damaged: a checksum is another")

    def _range(
        self,
        connection: sqlite3.Connection,
        first: int,
        last: int,
        room: int,
        *,
        active: bool,
    ) -> list[StoredJob]:
        query = self._rows[active].with_values(first=first, last=last, room=room)
        rows = connection.execute(*query).fetchall()
        if not rows:
            return []
        for row in rows:
            self._look(row[10], row[-1], row[0])
        bounds = {"first": rows[0][0], "last": rows[-1][0]}
        specs: dict[int, dict[int, bytes]] = {}
        chunks: dict[int, dict[tuple[int, int], bytes]] = {}
        notes: dict[int, dict[int, bytes]] = {}
        of_label, of_spec, of_chunk, of_note = (
            connection.execute(*part.with_values(**bounds))
            for part in self._parts[active]
        )
        labels = labels_of(of_label)
        for job_id, task_id, body, crc in of_spec:
            self._look(body, crc, job_id)
            specs.setdefault(job_id, {})[task_id] = body
        for job_id, tbl, chunk, body, crc in of_chunk:
            self._look(body, crc, job_id)
            chunks.setdefault(job_id, {})[tbl, chunk] = body
        for job_id, note_id, body, crc in of_note:
            self._look(body, crc, job_id)
            notes.setdefault(job_id, {})[note_id] = body
        return [
            StoredJob(
                row=job_row(row, labels.get(row[0], {})),
                revision=row[11],
                specs=specs.get(row[0], {}),
                chunks=chunks.get(row[0], {}),
                notes=notes.get(row[0], {}),
            )
            for row in rows
        ]


def job_row(row: Sequence[Any], labels: Mapping[str, str]) -> JobRow:
    """Return a row of the table ``job`` as a value."""
    return JobRow(
        job_id=row[0],
        owner=row[1],
        name=row[2],
        project=row[3],
        state=row[4],
        priority=row[5],
        create_time=row[6],
        submit_time=row[7],
        end_time=row[8],
        labels=labels,
        active=bool(row[9]),
        blob=row[10],
        previous_state=row[12],
        start_time=row[13],
        change_time=row[14],
        requeue_count=row[15],
        counts=tuple(row[16:-1]),
    )


def labels_of(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    """Return labels by job."""
    labels: dict[int, dict[str, str]] = {}
    for job_id, name, value in rows:
        labels.setdefault(job_id, {})[name] = value
    return labels


def _of_jobs(
    table: sa.Table,
    first: sa.ColumnElement[int],
    last: sa.ColumnElement[int],
    *,
    active: bool,
) -> sa.Select[Any]:
    query = sa.select(table).where(table.c.job_id.between(first, last))
    if active:
        alive = sa.select(schema.job.c.id).where(
            schema.IS_ACTIVE, schema.job.c.id.between(first, last)
        )
        query = query.where(table.c.job_id.in_(alive))
    return query
