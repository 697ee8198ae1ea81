"""Listing jobs: pages by id, from an index whatever the filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hpcsched.store.sql import schema
from hpcsched.store.sql.loading import job_row, labels_of
from hpcsched.store.sql.query import compile_query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from hpcsched.store.base import JobQuery, JobRow

#: Job states by number (lifecycle.md section 1).
_STATES: Final = range(1, 12)


def list_jobs(
    connection: sqlite3.Connection, dialect: sa.Dialect, query: JobQuery
) -> Sequence[JobRow]:
    """Return the rows that match, in the order of their ids."""
    wanted = _ids(query)
    ids = [row[0] for row in connection.execute(*compile_query(wanted, dialect))]
    rows = rows_of(connection, dialect, ids)
    return [rows[job_id] for job_id in ids if job_id in rows]


def rows_of(
    connection: sqlite3.Connection, dialect: sa.Dialect, ids: Sequence[int]
) -> dict[int, JobRow]:
    """Return the rows of jobs by id; one that is gone is left out."""
    if not ids:
        return {}
    job, label = schema.job, schema.job_label
    rows = sa.select(job).where(job.c.id.in_(ids))
    labels = labels_of(
        connection.execute(
            *compile_query(sa.select(label).where(label.c.job_id.in_(ids)), dialect)
        )
    )
    return {
        row[0]: job_row(row, labels.get(row[0], {}))
        for row in connection.execute(*compile_query(rows, dialect))
    }


def _ids(query: JobQuery) -> sa.Select[Any]:
    """Return the statement that finds the ids of the page.

    One state at a time, each in the order of an index, then the first of all: a state
    that is rare among millions of jobs costs no more than a common one.
    """
    if query.labels:
        return _page(_by_label(query), query)
    states: Sequence[int] = query.states or (_STATES if query.owner else ())
    if not states:
        return _page(sa.select(schema.job.c.id).where(*conditions_of(query)), query)
    parts = []
    for state in sorted(set(states)):
        of_state = sa.select(schema.job.c.id).where(
            schema.job.c.state == state, *conditions_of(query)
        )
        page = _page(of_state, query).subquery()
        parts.append(sa.select(page.c.id))
    found = sa.union_all(*parts).subquery()
    ids = sa.select(found.c.id)
    order = found.c.id.asc() if query.ascending else found.c.id.desc()
    return ids.order_by(order).limit(query.limit)


def _by_label(query: JobQuery) -> sa.Select[Any]:
    job = schema.job
    found = sa.select(job.c.id).where(*conditions_of(query))
    if query.states:
        found = found.where(job.c.state.in_(query.states))
    for name, value in query.labels.items():
        label = schema.job_label.alias()
        found = found.where(
            job.c.id == label.c.job_id, label.c.name == name, label.c.value == value
        )
    return found


def _page(found: sa.Select[Any], query: JobQuery) -> sa.Select[Any]:
    job_id = schema.job.c.id
    order = job_id.asc() if query.ascending else job_id.desc()
    return found.order_by(order).limit(query.limit)


def conditions_of(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    """Return what a query asks for beside states and labels."""
    job = schema.job
    conditions: list[sa.ColumnElement[bool]] = []
    if query.owner:
        conditions.append(job.c.owner == query.owner)
    if query.min_id:
        conditions.append(job.c.id >= query.min_id)
    if query.max_id:
        conditions.append(job.c.id <= query.max_id)
    if query.after_id:
        conditions.append(
            job.c.id > query.after_id if query.ascending else job.c.id < query.after_id
        )
    if query.since is not None:
        # The ids of recent jobs are recent as well: a newest-first walk ends there.
        other = job.alias()
        oldest = sa.select(sa.func.min(other.c.id)).where(
            other.c.create_time >= query.since
        )
        conditions.append(job.c.create_time >= query.since)
        conditions.append(job.c.id >= oldest.scalar_subquery())
    return conditions
