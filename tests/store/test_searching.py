"""Searching jobs: the same answer from every store, whatever filters and order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcsched.core.listing.conditions import Operator, condition
from hpcsched.core.listing.ordering import sort_key
from hpcsched.core.listing.properties import JOB_PROPERTIES, TASK_COUNTS
from hpcsched.store.base import JobQuery, JobSearch
from hpcsched.store.sql import schema
from tests.support.store_kit import MemoryKit, SqliteKit, a_delta, a_row

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.store.base import Delta
    from tests.support.store_kit import StoreKit

O = Operator  # noqa: E741  a table reads best so
COUNT = 60


def a_job(job_id: int) -> Delta:
    """Return a job whose properties repeat in different cycles."""
    row = a_row(
        job_id,
        owner="ada" if job_id % 2 else "bob",
        state=(5, 6, 8, 9)[job_id % 4],
        priority=1000 * (job_id % 3),
        submit_time=None if job_id % 5 == 0 else 2000.0 + job_id // 7,
        previous_state=None if job_id % 4 == 0 else 2,
        start_time=None if job_id % 3 else 3000.0 + job_id,
        change_time=4000.0 - job_id,
        requeue_count=job_id % 2,
        counts=tuple(job_id * n % (n + 5) for n in range(len(TASK_COUNTS))),
        labels={"team": "red" if job_id % 3 else "blue"},
    )
    terms = {
        "user_name": f"user{job_id % 3}",
        "runtime": job_id % 4 * 60,
        "min_cores": None if job_id % 6 == 0 else job_id % 6,
        "is_exclusive": job_id % 2,
    }
    return a_delta(job_id, job=row, specs={0: b"spec"}, terms=terms)


def search(
    *filters: tuple[str, Operator, str], sort: str = "", **query: Any
) -> JobSearch:
    return JobSearch(
        query=JobQuery(**{"limit": 1000, **query}),
        conditions=[
            condition(
                JOB_PROPERTIES, name, operator, texts.split(",") if texts else (), "f"
            )
            for name, operator, texts in filters
        ],
        sort=[
            sort_key(
                JOB_PROPERTIES, name.removeprefix("-"), descending=name.startswith("-")
            )
            for name in filter(None, sort.split(","))
        ],
    )


async def filled(kit: StoreKit) -> StoreKit:
    deltas = [a_job(n) for n in range(1, COUNT + 1)]
    random.Random(1).shuffle(deltas)
    await kit.commit_together(*deltas)
    return kit


SEARCHES = {
    "a filter": search(("priority", O.GREATER_THAN, "0")),
    "a range": search(("id", O.GREATER_THAN_OR_EQUAL, "10"), ("id", O.LESS_THAN, "20")),
    "no value": search(("submit_time", O.IS_NULL, "")),
    "a value": search(("start_time", O.IS_NOT_NULL, ""), sort="-start_time"),
    "not equal leaves out no value": search(("min_cores", O.NOT_EQUAL, "3")),
    "terms": search(("user_name", O.IN, "user0,user2"), ("runtime", O.EQUAL, "60")),
    "states": search(("state", O.HAS_BIT_SET, "queued,failed"), sort="state,id"),
    "a prefix": search(("name", O.START_WITH, "job 1"), sort="name"),
    "a prefix is no pattern": search(("name", O.START_WITH, "job%"), sort="name"),
    "with a query": search(
        ("requeue_count", O.EQUAL, "1"),
        owner="ada",
        states=(6, 9),
        labels={"team": "red"},
        sort="priority,-change_time",
    ),
    "tasks": search(("task_count", O.EQUAL, "0")),
    "failed elements": search(("task_counts.failed", O.GREATER_THAN, "7")),
    "the reference's name": search(("FailedTaskCount", O.LESS_THAN_OR_EQUAL, "7")),
    "most elements first": search(sort="-task_counts.total,task_counts.running"),
    "no value first": search(sort="submit_time,-priority"),
    "no value last": search(sort="-min_cores,owner"),
}


@pytest.mark.parametrize("name", SEARCHES)
async def test_both_stores_find_the_same_in_the_same_order(
    name: str, tmp_path: Path
) -> None:
    found = []
    for kit in (MemoryKit(), SqliteKit(tmp_path / "hpcsched.sqlite3")):
        await filled(kit)
        rows = await kit.store.search_jobs(SEARCHES[name])
        found.append([(row.job_id, position) for row, position in rows])
        await kit.store.close()

    assert found[0] == found[1]
    assert "pattern" in name or 0 < len(found[0]) <= COUNT


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(sorted(JOB_PROPERTIES)), max_size=3, unique=True),
    falling=st.lists(st.booleans(), min_size=3, max_size=3),
    ids_fall=st.booleans(),
    size=st.integers(1, 25),
)
async def test_pages_join_to_the_whole_in_any_order(
    sqlite_kit: SqliteKit,
    names: list[str],
    falling: list[bool],
    ids_fall: bool,
    size: int,
) -> None:
    if not await sqlite_kit.store.list_jobs(JobQuery()):
        await filled(sqlite_kit)
    sort = [
        sort_key(JOB_PROPERTIES, name, descending=down)
        for name, down in zip(names, falling, strict=False)
    ]

    async def page(limit: int, after: Any) -> Any:
        one = JobSearch(
            query=JobQuery(limit=limit),
            sort=sort,
            descending_ids=ids_fall,
            after=after,
        )
        return await sqlite_kit.store.search_jobs(one)

    whole = [row.job_id for row, _ in await page(1000, None)]
    joined: list[int] = []
    after = None
    while rows := await page(size, after):
        joined += [row.job_id for row, _ in rows]
        after = rows[-1][1]

    assert joined == whole
    assert sorted(whole) == list(range(1, COUNT + 1))


async def test_terms_live_and_go_with_their_job(kit: StoreKit) -> None:
    await filled(kit)
    user = search(("user_name", O.EQUAL, "user1"))
    before = [row.job_id for row, _ in await kit.store.search_jobs(user)]
    edited = a_delta(1, 2, specs={0: b"new"}, terms={"user_name": "other"})
    await kit.commit(edited)
    await kit.commit(a_delta(4, 2))  # neither an edit nor a change of terms
    await kit.commit_together(a_delta(7, 2, purge_job=None))
    await kit.reopen()

    after = [row.job_id for row, _ in await kit.store.search_jobs(user)]

    assert {*before} - {*after} == {1}


def test_each_property_of_jobs_has_its_column() -> None:
    columns = {c.name for c in schema.job.c} | {c.name for c in schema.job_terms.c}

    counts = schema.COUNT_COLUMNS
    assert {counts.get(name, name) for name in JOB_PROPERTIES} <= columns
