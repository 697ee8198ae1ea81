"""Statements of the hot path, compiled once.

Python's sqlite3 gives up the interpreter lock for each row of ``executemany``, and
then waits up to ``sys.getswitchinterval()`` to get it back from a busy event loop: 284
rows/s were measured. So rows travel many to a statement, in a few fixed sizes (the
driver caches each prepared): 14,600 rows/s under the same load, no slower when idle.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hpcsched.store.sql import schema
from hpcsched.store.sql.query import Query
from hpcsched.store.sql.sums import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = tuple[Any, ...]

#: Rows in one statement, largest first; the last is 1.
SIZES: Final = (256, 64, 16, 8, 4, 3, 2, 1)


class Cursor(Protocol):
    """What is needed of a driver's connection or cursor."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run one statement."""


class BulkStatement:
    """A statement about any number of rows of one shape."""

    __slots__ = ("_build", "_dialect", "_sizes", "_sql", "_width")

    def __init__(
        self,
        dialect: sa.Dialect,
        width: int,
        build: Callable[[int], sa.ClauseElement],
        *,
        sizes: Sequence[int] = SIZES,
    ) -> None:
        self._dialect = dialect
        self._width = width
        self._build = build
        self._sizes = sizes
        self._sql: dict[int, str] = {}

    def run(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        """Run it for all rows, in their order."""
        at, end = 0, len(rows)
        for size in self._sizes:
            while end - at >= size:
                part = rows if size == end else rows[at : at + size]
                cursor.execute(self._text(size), tuple(chain.from_iterable(part)))
                at += size

    def _text(self, size: int) -> str:
        sql = self._sql.get(size)
        if sql is None:
            sql = self._sql[size] = self._make_text(size)
        return sql

    def _make_text(self, size: int) -> str:
        """Return the text for so many rows, made from those for one and for two.

        Compiling 256 rows would hold the interpreter for a tenth of a second.
        """
        if size in {1, 2}:
            return self._compile(size)
        one, two = self._text(1), self._text(2)
        row = len(two) - len(one)
        same = next(
            (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
            len(one),
        )
        return one[:same] + two[same : same + row] * (size - 1) + one[same:]

    def _compile(self, size: int) -> str:
        compiled = self._build(size).compile(
            dialect=self._dialect, compile_kwargs={"render_postcompile": True}
        )
        count = len(getattr(compiled, "positiontup", None) or ())
        if count != size * self._width:
            problem = f"{count} parameters for {size} rows of {self._width}"
            raise AssertionError(problem)
        return str(compiled)


class Statements:
    """Everything that the writer writes."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        job = schema.job
        columns = [column.name for column in job.c]
        self.add_events = self._insert(schema.event)
        self.create_jobs = self._upsert(
            job, where=job.c.revision == sa.literal_column("0")
        )
        self.replace_jobs = self._upsert(job, keep=("revision",))
        # An update writes every index that names one of its columns, changed or not.
        fixed = ("owner", "create_time")
        self.advance_jobs = self._advance(columns, keep=fixed)
        self.advance_revisions = self._advance(["id", "revision"])
        self.delete_labels = self._delete(schema.job_label.c.job_id)
        self.add_labels = self._insert(schema.job_label)
        self.put_terms = self._upsert(schema.job_terms)
        self.delete_parents = self._delete(schema.job_parent.c.job_id)
        self.add_parents = self._insert(schema.job_parent)
        self.put_specs = self._upsert(schema.job_spec)
        self.drop_chunks = self._delete(schema.chunk.c.job_id, schema.chunk.c.tbl)
        self.put_chunks = self._upsert(schema.chunk)
        self.put_notes = self._upsert(schema.note)
        self.put_outputs = self._upsert(schema.output)
        self.add_requests = self._insert(schema.request)
        self.put_nodes = self._upsert(schema.node)
        self.put_entries = self._upsert(schema.entry)
        self.delete_entries = self._delete(schema.entry.c.kind, schema.entry.c.name)
        self.put_parameters = self._upsert(schema.parameter)
        self.delete_parameters = self._delete(schema.parameter.c.name)
        self.put_tokens = self._upsert(schema.token)
        self.delete_tokens = self._delete(schema.token.c.token_id)
        self.put_counters = self._upsert(schema.counter)
        self.add_counters = self._upsert(schema.counter, add=True)
        numbered = ("history_id",)
        self.add_history = self._insert(schema.job_history, numbered)
        self.add_allocations = self._insert(schema.allocation, numbered)
        self.add_usage = self._upsert(schema.usage, add=True)
        self.put_meta = self._upsert(schema.meta)
        self.put_purges = self._upsert(schema.purge)
        self.delete_jobs = self._delete(job.c.id)
        event, meta = schema.event.c, schema.meta.c
        newest = sa.select(sa.func.max(event.seq)).where(
            event.job_id == sa.bindparam("job_id", type_=sa.Integer)
        )
        self.newest_event_of_job = Query(newest, dialect)
        floor = sa.select(meta.value).where(meta.name == schema.FLOOR)
        self.floor = Query(floor, dialect)

    def _insert(self, table: sa.Table, numbered: Sequence[str] = ()) -> BulkStatement:
        """Add rows; the database gives the columns ``numbered`` their values."""
        row = {k: v for k, v in _placeholders(table).items() if k not in numbered}
        return BulkStatement(
            self._dialect, len(row), lambda n: sa.insert(table).values([row] * n)
        )

    def _upsert(
        self,
        table: sa.Table,
        *,
        keep: Sequence[str] = (),
        where: sa.ColumnElement[bool] | None = None,
        add: bool = False,
    ) -> BulkStatement:
        """Put rows in the place of those of their key, or ``add`` to those."""
        row = _placeholders(table)
        key = [column.name for column in table.primary_key]
        rest = [name for name in row if name not in key and name not in keep]

        def build(n: int) -> sa.ClauseElement:
            insert = _insert_of(self._dialect)(table).values([row] * n)
            if rest:
                new = insert.excluded
                changes = {
                    name: _sum(table.c[name], new[name]) if add else new[name]
                    for name in rest
                }
                done: sa.ClauseElement = insert.on_conflict_do_update(
                    index_elements=key, set_=changes, where=where
                )
            else:
                done = insert.on_conflict_do_nothing(index_elements=key)
            return done

        return BulkStatement(self._dialect, len(row), build)

    def _advance(
        self, columns: Sequence[str], *, keep: Sequence[str] = ()
    ) -> BulkStatement:
        """Update jobs that are at the revision named last in their row."""
        job = schema.job
        shape = [sa.column(name, job.c[name].type) for name in columns]
        shape.append(sa.column("base", sa.Integer))
        blank = tuple(0 for _ in shape)

        def build(n: int) -> sa.ClauseElement:
            rows = sa.values(*shape, name="given").data([blank] * n).cte("given")
            changed = [name for name in columns if name != "id" and name not in keep]
            changes = {name: rows.c[name] for name in changed}
            return (
                sa.update(job)
                .values(changes)
                .where(job.c.id == rows.c.id, job.c.revision == rows.c.base)
            )

        return BulkStatement(self._dialect, len(shape), build)

    def _delete(self, *key: sa.Column[Any]) -> BulkStatement:
        table = key[0].table
        if len(key) == 1:
            return BulkStatement(
                self._dialect, 1, lambda n: sa.delete(table).where(key[0].in_([0] * n))
            )
        where = sa.and_(*(column == sa.bindparam(None, 0) for column in key))
        return BulkStatement(
            self._dialect, len(key), lambda _: sa.delete(table).where(where), sizes=(1,)
        )


def _sum(there: sa.Column[Any], new: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return what a column is after something was added; checksums (sums) go round."""
    both = there + new
    return both.op("&")(sa.literal_column(str(MASK))) if there.name == "crc" else both


def _placeholders(table: sa.Table) -> dict[str, int]:
    return dict.fromkeys((column.name for column in table.c), 0)


def _insert_of(dialect: sa.Dialect) -> Callable[[sa.Table], Any]:
    inserts: dict[str, Callable[[sa.Table], Any]] = {
        "sqlite": sqlite.insert,
        "postgresql": postgresql.insert,
    }
    return inserts[dialect.name]
