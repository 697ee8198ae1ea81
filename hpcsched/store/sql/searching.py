"""Listing jobs by any of their properties, in any order (store.base.JobSearch)."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hpcsched.core.listing.conditions import Comparison
from hpcsched.store.sql import schema
from hpcsched.store.sql.listing import conditions_of, rows_of
from hpcsched.store.sql.query import compile_query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.core.listing.conditions import Condition
    from hpcsched.core.listing.ordering import Position
    from hpcsched.store.base import JobRow, JobSearch

    Column = sa.Column[Any]
    Clause = sa.ColumnElement[bool]

_COMPARE: Final[Mapping[Comparison, Callable[[Any, Any], Clause]]] = {
    Comparison.GREATER: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
}
_TERMS: Final = frozenset(column.name for column in schema.job_terms.c)


def search_jobs(
    connection: sqlite3.Connection, dialect: sa.Dialect, search: JobSearch
) -> Sequence[tuple[JobRow, Position]]:
    """Return the rows of a page in their order, each with its position."""
    found = connection.execute(*compile_query(statement_of(search), dialect)).fetchall()
    rows = rows_of(connection, dialect, [row[-1] for row in found])
    return [(rows[row[-1]], tuple(row)) for row in found if row[-1] in rows]


def statement_of(search: JobSearch) -> sa.Select[Any]:
    """Return the statement that finds keys and ids of the page."""
    job, terms = schema.job, schema.job_terms
    keys = [_column(key.property.name) for key in search.sort]
    query = sa.select(*keys, job.c.id)
    names = [c.property.name for c in search.conditions]
    names += [key.property.name for key in search.sort]
    if any(name in _TERMS for name in names):
        query = query.select_from(
            sa.join(job, terms, job.c.id == terms.c.job_id, isouter=True)
        )
    query = query.where(
        *conditions_of(search.query),
        *(_clause(condition) for condition in search.conditions),
    )
    if search.query.states:
        query = query.where(job.c.state.in_(sorted(set(search.query.states))))
    for name, value in search.query.labels.items():
        label = schema.job_label.alias()
        has = sa.select(label.c.job_id).where(
            label.c.name == name, label.c.value == value
        )
        query = query.where(job.c.id.in_(has))
    if search.after is not None:
        query = query.where(_after(search, [*keys, job.c.id]))
    for column, key in zip(keys, search.sort, strict=True):
        order = column.desc().nullslast() if key.descending else column.nullsfirst()
        query = query.order_by(order)
    last = job.c.id.desc() if search.descending_ids else job.c.id.asc()
    return query.order_by(last).limit(search.query.limit)


def _column(name: str) -> Column:
    if name in _TERMS:
        return schema.job_terms.c[name]
    return schema.job.c[schema.COUNT_COLUMNS.get(name, name)]


def _clause(condition: Condition) -> Clause:
    column, values = _column(condition.property.name), condition.values
    clause: Clause
    match condition.comparison:
        case Comparison.IN:
            clause = column.in_(values)
        case Comparison.NOT_IN:
            clause = column.not_in(values)
        case Comparison.NULL:
            clause = column.is_(None)
        case Comparison.NOT_NULL:
            clause = column.is_not(None)
        case Comparison.PREFIX:
            prefix = str(values[0])
            clause = sa.func.substr(column, 1, len(prefix)) == prefix
        case _:
            clause = _COMPARE[condition.comparison](column, values[0])
    return clause


def _after(search: JobSearch, columns: Sequence[Column]) -> Clause:
    """Return what is true of all that stands behind a position."""
    assert search.after is not None  # noqa: S101  the caller has looked
    descending = [key.descending for key in search.sort] + [search.descending_ids]
    either: list[Clause] = []
    same: list[Clause] = []
    for column, value, down in zip(columns, search.after, descending, strict=True):
        if value is None:
            # Nothing stands before no value; in falling order nothing stands behind it.
            behind: Clause = sa.false() if down else column.is_not(None)
            equal: Clause = column.is_(None)
        else:
            behind = (
                sa.or_(column < value, column.is_(None)) if down else column > value
            )
            equal = column == value
        either.append(sa.and_(*same, behind))
        same.append(equal)
    return sa.or_(*either)
