"""Listing jobs: the same answer from every store, and from an index."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.base import JobQuery
from hpcsched.store.sql import listing, sqlite
from hpcsched.store.sql.query import compile_query
from hpcsched.store.sql.reads import Reads
from tests.support.store_kit import SqliteKit, a_delta, a_row

if TYPE_CHECKING:
    from tests.support.store_kit import StoreKit

ROWS = [
    a_row(
        n,
        owner="ada" if n % 2 else "bob",
        state=(5, 6, 7, 8)[n % 4],
        labels={"team": "red" if n % 3 else "blue", "run": str(n % 5)},
    )
    for n in range(1, 61)
]

QUERIES = {
    "everything": JobQuery(limit=1000),
    "the newest five": JobQuery(limit=5),
    "the oldest five": JobQuery(limit=5, ascending=True),
    "one state": JobQuery(states=(7,), limit=4),
    "two states": JobQuery(states=(7, 5), limit=7),
    "an owner": JobQuery(owner="bob", limit=9),
    "an owner's states": JobQuery(owner="ada", states=(6, 8), limit=1000),
    "nobody's": JobQuery(owner="eve"),
    "since": JobQuery(since=1050.0, limit=1000),
    "since, with states": JobQuery(since=1030.0, states=(5,), ascending=True),
    "a label": JobQuery(labels={"team": "blue"}, limit=6),
    "two labels": JobQuery(labels={"team": "red", "run": "3"}),
    "labels, an owner and states": JobQuery(
        labels={"team": "red"}, owner="ada", states=(6, 8), ascending=True
    ),
    "no such label": JobQuery(labels={"team": "green"}),
    "a range": JobQuery(min_id=10, max_id=20),
    "a page after another": JobQuery(after_id=40, limit=5),
    "a page upwards": JobQuery(after_id=40, limit=5, ascending=True),
    "a page of a state": JobQuery(after_id=40, states=(5, 6, 7), limit=5),
    "an unknown state": JobQuery(states=(3,)),
}


def expected(query: JobQuery) -> list[int]:
    found = [
        row.job_id
        for row in ROWS
        if (not query.states or row.state in query.states)
        and (not query.owner or row.owner == query.owner)
        and (query.since is None or row.create_time >= query.since)
        and set(query.labels.items()) <= set(row.labels.items())
        and row.job_id >= query.min_id
        and (not query.max_id or row.job_id <= query.max_id)
    ]
    if not query.ascending:
        found.reverse()
    if query.after_id:
        sign = 1 if query.ascending else -1
        found = [n for n in found if n * sign > query.after_id * sign]
    return found[: query.limit]


async def test_a_list_has_the_jobs_that_match_in_the_order_of_their_ids(
    kit: StoreKit,
) -> None:
    rows = ROWS.copy()
    random.Random(1).shuffle(rows)
    await kit.commit_together(*(a_delta(row.job_id, job=row) for row in rows))

    for name, query in QUERIES.items():
        listed = await kit.store.list_jobs(query)
        assert [row.job_id for row in listed] == expected(query), name
        assert all(row == ROWS[row.job_id - 1] for row in listed), name


async def test_no_list_walks_through_all_jobs(sqlite_kit: SqliteKit) -> None:
    connection = sqlite.connect_reader(sqlite_kit.path)
    try:
        for name in ("one state", "two states", "an owner", "an owner's states"):
            query, values = compile_query(listing._ids(QUERIES[name]), sqlite.dialect())
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
            text = "\n".join(row[3] for row in plan)
            assert "SCAN job" not in text, text
            assert "COVERING INDEX job_by_" in text, text
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("read", "index"), [("_expired", "job_by_end_time"), ("_counts", "job_by_state")]
)
async def test_reads_use_their_index(
    sqlite_kit: SqliteKit, read: str, index: str
) -> None:
    query, values = getattr(Reads(sqlite.dialect()), read).with_values(before=1, room=1)
    connection = sqlite.connect_reader(sqlite_kit.path)
    try:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    finally:
        connection.close()

    assert index in plan[0][3]


async def test_starting_reads_active_jobs_from_their_index(
    sqlite_kit: SqliteKit,
) -> None:
    query = sqlite_kit.store._loader._rows[True]
    sql, values = query.with_values(first=1, last=9, room=5)
    connection = sqlite.connect_reader(sqlite_kit.path)
    try:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    finally:
        connection.close()

    assert "job_active" in plan[0][3]


async def test_a_page_has_a_limit(sqlite_kit: SqliteKit) -> None:
    with pytest.raises(ValueError, match="at most 10000"):
        await sqlite_kit.store.list_jobs(JobQuery(limit=10_001))
