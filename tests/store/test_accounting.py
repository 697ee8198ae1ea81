"""Accounting and sums: what every store promises of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from hpcsched.store.base import Delta
from hpcsched.store.errors import StaleRevisionError
from hpcsched.store.history import (
    AllocationRow,
    HistoryQuery,
    JobHistoryRow,
    UsageQuery,
    UsageRow,
)
from hpcsched.store.sql import migrate, relisting, schema
from tests.support.store_kit import a_delta, a_node_event, an_ended_row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.store_kit import StoreKit


def an_end(job_id: int = 1, at: float = 100.0, **changes: Any) -> JobHistoryRow:
    row = JobHistoryRow(
        job_id=job_id,
        requeue_id=0,
        owner="ada",
        project="sky",
        state=8,
        event_time=at,
        body=b"body",
    )
    return replace(row, **changes)


def an_allocation(job_id: int = 1, end: float = 100.0, **changes: Any) -> AllocationRow:
    row = AllocationRow(
        job_id=job_id,
        requeue_id=0,
        node_id=1,
        cores="0-3",
        start_time=end - 50,
        end_time=end,
    )
    return replace(row, **changes)


def use(day: int = 1, owner: str = "ada", **sums: Any) -> UsageRow:
    return UsageRow(day=day, owner=owner, **sums)


async def test_rows_are_numbered_and_there_after_a_restart(kit: StoreKit) -> None:
    await kit.commit(a_delta(history=[an_end()], allocations=[an_allocation()]))
    await kit.commit(a_delta(revision=2, history=[an_end(at=90.0, requeue_id=1)]))
    await kit.reopen()

    rows = await kit.store.job_history(HistoryQuery())
    (held,) = await kit.store.allocations(HistoryQuery())

    assert [replace(row, history_id=0) for row in rows] == [
        an_end(at=90.0, requeue_id=1),
        an_end(),
    ]
    assert len({row.history_id for row in rows}) == 2
    assert 0 not in {row.history_id for row in rows}
    assert replace(held, history_id=0) == an_allocation()


async def test_a_delta_that_fails_leaves_no_row(kit: StoreKit) -> None:
    parts: dict[str, Any] = {
        "history": [an_end()],
        "allocations": [an_allocation()],
        "usage": [use(core_ms=5)],
        "sums": {"ended": 1},
    }
    with pytest.raises(StaleRevisionError):
        await kit.commit(a_delta(revision=5, **parts))

    assert not await kit.store.job_history(HistoryQuery())
    assert not await kit.store.allocations(HistoryQuery())
    assert not await kit.store.usage(UsageQuery(first_day=0, last_day=9))
    assert "ended" not in (await kit.store.load_cluster()).counters


async def test_accounting_outlives_its_job(kit: StoreKit) -> None:
    row = an_ended_row(1, 100.0)
    await kit.commit(a_delta(job=row, history=[an_end()], usage=[use(finished=1)]))
    await kit.commit(Delta(purge_job=1))
    await kit.reopen()

    assert await kit.store.load_job(1) is None
    assert len(await kit.store.job_history(HistoryQuery(job_id=1))) == 1
    assert await kit.store.usage(UsageQuery(first_day=0, last_day=9))


async def test_history_is_read_in_pages_whatever_the_filter(kit: StoreKit) -> None:
    ends = [an_end(job, at) for job, at in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.0))]
    held = [an_allocation(job, end, node_id=job) for job, end in ((1, 3.0), (2, 1.0))]
    await kit.commit(a_delta(history=ends, allocations=held))

    async def jobs(**query: Any) -> list[int]:
        found = await kit.store.job_history(HistoryQuery(**query))
        return [row.job_id for row in found]

    assert await jobs() == [2, 3, 4, 1]
    first = await kit.store.job_history(HistoryQuery(limit=2))
    after = (first[-1].event_time, first[-1].history_id)
    assert await jobs(after=after) == [4, 1]
    assert await jobs(since=2.0, until=3.0) == [3, 4]
    assert await jobs(job_id=3) == [3]
    assert await jobs(owner="bob") == []
    on_node = await kit.store.allocations(HistoryQuery(node_id=2))
    assert [row.job_id for row in on_node] == [2]


async def test_use_adds_up_and_is_told_apart_as_asked(kit: StoreKit) -> None:
    await kit.commit_together(
        a_delta(usage=[use(core_ms=5, finished=1), use(day=2, core_ms=7)]),
        a_delta(revision=2, usage=[use(core_ms=10), use(owner="bob", core_ms=1)]),
    )
    await kit.commit(Delta(usage=[use(core_ms=100, user_ms=3), use(day=9, core_ms=9)]))
    await kit.reopen()

    async def usage(*by: str, **query: Any) -> list[UsageRow]:
        asked = UsageQuery(**{"first_day": 1, "last_day": 2, "by": by, **query})
        return list(await kit.store.usage(asked))

    assert await usage("day", "owner", "project") == [
        use(core_ms=115, finished=1, user_ms=3),
        use(owner="bob", core_ms=1),
        use(day=2, core_ms=7),
    ]
    assert [(r.owner, r.core_ms) for r in await usage("owner")] == [
        ("ada", 122),
        ("bob", 1),
    ]
    assert [r.core_ms for r in await usage(last_day=9)] == [132]
    assert [r.core_ms for r in await usage("owner", owner="bob")] == [1]
    assert [r.core_ms for r in await usage("owner", offset=1, limit=1)] == [1]
    assert await usage(first_day=50, last_day=60) == []


async def test_sums_are_added_to_what_there_was(kit: StoreKit) -> None:
    await kit.commit_together(
        Delta(sums={"ended": 2}), Delta(sums={"ended": 3, "x": 1})
    )
    await kit.commit(Delta(sums={"ended": -1}))
    await kit.reopen()

    counters = (await kit.store.load_cluster()).counters
    assert (counters["ended"], counters["x"]) == (4, 1)


async def test_what_is_old_is_forgotten_and_the_rest_stays(kit: StoreKit) -> None:
    day = 86400.0
    await kit.commit(
        a_delta(
            history=[an_end(1, day), an_end(2, 3 * day)],
            allocations=[an_allocation(1, day), an_allocation(2, 3 * day)],
            usage=[use(day=1, core_ms=1), use(day=3, core_ms=1)],
        )
    )

    await kit.store.forget_allocations(2 * day)
    assert len(await kit.store.job_history(HistoryQuery())) == 2
    assert [r.job_id for r in await kit.store.allocations(HistoryQuery())] == [2]

    await kit.store.forget_history(2 * day)
    assert [r.job_id for r in await kit.store.job_history(HistoryQuery())] == [2]
    used = await kit.store.usage(UsageQuery(first_day=0, last_day=9))
    assert [row.day for row in used] == [3]


async def test_events_of_nodes_go_with_history_and_no_cursor_points_before_them(
    kit: StoreKit,
) -> None:
    old, young = a_node_event(b"old"), replace(a_node_event(b"young"), time=5e5)
    await kit.commit(Delta(events=[old]))
    await kit.commit(a_delta())
    await kit.commit(Delta(events=[old, young]))
    await kit.commit(Delta(events=[replace(old, time=1.0)]))
    bodies = [event.body for event in await kit.store.node_events(0, 10)]
    assert bodies == [b"old", b"old", b"young", b"old"]

    await kit.store.forget_history(1e5)

    kept = await kit.store.node_events(0, 10)
    assert [event.seq for event in kept] == [4, 5]
    assert await kit.store.floor() == 3
    await kit.reopen()
    assert await kit.store.floor() == 3
    assert (await kit.store.load_cluster()).last_seq == 5
    assert [event.seq for event in await kit.store.node_events(4, 10)] == [5]


def test_the_migration_counts_the_tasks_of_jobs_that_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [0] * 12
    counts[8], counts[9] = 5, 2
    blob = msgpack.packb({"counts": counts, 3: 4})
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        with monkeypatch.context() as before:
            before.setattr(migrate, "version_of", lambda _: "0001")
            before.setattr(schema, "HEAD", "0002")
            before.setattr(relisting, "relist", lambda _: None)
            migrate.bring_up_to_date(connection)
        for job_id, active in ((1, 0), (2, 0), (3, 1)):
            connection.execute(
                "INSERT INTO job VALUES (?, 'a', '', '', 7, 2000, 1, 1, 1, ?, ?, 1)",
                (job_id, active, blob),
            )

        migrate.bring_up_to_date(connection)

        found = dict(connection.execute("SELECT name, value FROM counter").fetchall())
        assert migrate.version_of(connection) == schema.HEAD
    assert found == {
        "ended tasks finished": 10,
        "ended tasks failed": 4,
        "ended tasks canceled": 0,
    }
