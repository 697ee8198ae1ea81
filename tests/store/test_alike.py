"""A delta that stands for many jobs writes what so many deltas would have written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hpcsched.core.job.packing import Cut
from hpcsched.store.alike import Alike, Own, Varied, one_by_one
from hpcsched.store.base import Delta, JobQuery
from hpcsched.store.errors import StaleRevisionError
from hpcsched.store.history import HistoryQuery, JobHistoryRow, UsageQuery, UsageRow
from tests.support.store_kit import (
    MemoryKit,
    StoreKit,
    a_delta,
    a_request,
    a_row,
    an_event,
)

CREATED = Cut(b"created", has_number=False)
PLACED = Cut(b"at ", b" it was queued")
BLOB = Cut(b"blob ", b"!")


def new_jobs(first: int, count: int, shift: int = 7) -> Delta:
    """Return a delta that makes so many jobs."""
    row = a_row(first, blob=BLOB.filled(first + shift), create_time=1.0)
    row = replace(row, labels={"a": "1", "b": "2"})
    return a_delta(
        events=(
            an_event(first, 1, CREATED.filled(0)),
            an_event(first, 2, PLACED.filled(first + shift)),
        ),
        job=row,
        specs={0: b"own", 1: b"task"},
        terms={"user_name": "ada", "runtime": 5},
        chunks={(0, 0): b"chunk"},
        counters={"next_job": first + count},
        requests=[a_request(f"r{first}")],
        alike=Alike(
            ids=range(first, first + count),
            shift=shift,
            blob=BLOB,
            bodies=(CREATED, PLACED),
        ),
    )


def ended_jobs(ids: list[int], shift: int = 7) -> Delta:
    """Return a delta that ends jobs of those."""
    row = a_row(ids[0], state=9, active=False, end_time=3000.0, create_time=1.0)
    row = replace(row, blob=BLOB.filled(ids[0] + shift))
    return a_delta(
        events=(an_event(ids[0], 3, CREATED.filled(0)),),
        job=row,
        chunks={(0, 0): b"ended"},
        notes={1: b"why"},
        history=[
            JobHistoryRow(
                job_id=ids[0],
                requeue_id=0,
                owner="ada",
                project="",
                state=9,
                event_time=3000.0,
                body=b"end",
            )
        ],
        usage=[UsageRow(day=0, owner="ada", project="", canceled=len(ids))],
        sums={"ended tasks canceled": len(ids)},
        alike=Alike(ids=ids, shift=shift, blob=BLOB, bodies=(CREATED,)),
    )


async def content(kit: StoreKit, last: int) -> Any:
    store = kit.store
    cluster = await store.load_cluster()
    return {
        "jobs": [await store.load_job(job_id) for job_id in range(1, last + 1)],
        "rows": await store.list_jobs(JobQuery(limit=10_000)),
        "labelled": await store.list_jobs(JobQuery(labels={"a": "1"}, limit=10_000)),
        "events": await store.read_events(0, 10_000),
        "history": [
            replace(one, history_id=0)
            for one in await store.job_history(HistoryQuery(limit=10_000))
        ],
        "usage": await store.usage(UsageQuery(first_day=0, last_day=9)),
        "counters": dict(cluster.counters),
        "last": cluster.last_seq,
        "request": await store.find_request("ada", "r2"),
    }


async def test_it_reads_as_one_delta_for_each_would(kit: StoreKit) -> None:
    last = 2500
    deltas = [
        a_delta(1),
        new_jobs(2, last - 1),
        ended_jobs([*range(2, 2300), 2400, 2402]),
        ended_jobs([2401]),
    ]
    other = MemoryKit()
    numbers = [await kit.commit(delta) for delta in deltas]
    for delta in deltas:
        await other.commit_together(*one_by_one(delta))

    assert numbers == [1, 2, 2 * last, 2 * last + 2300]
    assert await content(kit, last) == await content(other, last)


async def test_jobs_whose_tasks_differ_read_as_one_delta_for_each_would(
    kit: StoreKit,
) -> None:
    last, told = 2500, Cut(b"created ", b" so")
    delta = new_jobs(2, last - 1)
    assert isinstance(delta.alike, Alike)
    own = [b"task %d" % number for number in delta.alike.ids]
    delta.alike = replace(delta.alike, own=own, bodies=(told, PLACED))
    delta.specs = {0: b"own", 1: own[0]}
    delta.events = [
        replace(delta.events[0], body=told.filled_with(own[0])),
        delta.events[1],
    ]
    other = MemoryKit()
    for store in (kit, other):
        await store.commit(a_delta(1))
    await kit.commit(delta)
    await other.commit_together(*one_by_one(delta))

    found = await content(kit, last)
    assert found == await content(other, last)
    assert found["jobs"][last - 1].specs == {0: b"own", 1: b"task 2500"}


async def test_one_that_is_not_where_it_should_be_keeps_all_from_being_written(
    kit: StoreKit,
) -> None:
    await kit.commit(new_jobs(1, 2500))
    await kit.commit(a_delta(2400, 3))
    before = await content(kit, 2500)
    with pytest.raises(StaleRevisionError):
        await kit.commit(ended_jobs(list(range(1, 2501))))

    assert await content(kit, 2500) == before


async def test_jobs_that_are_there_already_are_not_made_again(kit: StoreKit) -> None:
    await kit.commit(a_delta(40))
    with pytest.raises(StaleRevisionError):
        await kit.commit(new_jobs(1, 50))

    assert await kit.store.load_job(1) is None


async def test_it_goes_into_one_transaction_with_others(kit: StoreKit) -> None:
    numbers = await kit.commit_together(new_jobs(1, 3), a_delta(4), new_jobs(5, 2))

    assert list(numbers) == [1, 7, 8]
    events = await kit.store.read_events(0, 100)
    assert [event.job_id for event in events] == [1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6]


def lived_jobs(ids: list[int]) -> Delta:
    """Return a delta that ends jobs of those, each with rows of its own."""
    row = a_row(ids[0], state=8, active=False, end_time=3000.0, create_time=1.0)
    own = [
        Own(
            job_id,
            (2000.0 + job_id, 3000.0),
            (b"began %d" % job_id, b"ended %d" % job_id),
            2000.0 + job_id,
            b"blob %d" % job_id,
            (b"chunk %d" % job_id, b"other %d" % job_id),
        )
        for job_id in ids
    ]
    first = own[0]
    history = [
        JobHistoryRow(
            job_id=job_id,
            requeue_id=0,
            owner="ada",
            project="",
            state=8,
            event_time=3000.0,
            body=b"end %d" % job_id,
        )
        for job_id in ids
    ]
    events = zip((3, 4), first.times, first.bodies, strict=True)
    return a_delta(
        events=[
            replace(an_event(ids[0], revision, body), time=time)
            for revision, time, body in events
        ],
        job=replace(row, start_time=first.start_time, blob=first.blob),
        chunks={(0, 0): first.chunks[0], (1, 0): first.chunks[1]},
        history=history,
        usage=[UsageRow(day=0, owner="ada", project="", finished=len(ids))],
        sums={"ended tasks finished": len(ids)},
        alike=Varied(own=own),
    )


async def test_jobs_with_rows_of_their_own_read_as_one_delta_for_each_would(
    kit: StoreKit,
) -> None:
    last = 2400
    deltas = [
        new_jobs(1, last),
        lived_jobs([*range(1, 2200), 2300]),
        lived_jobs([2250]),
    ]
    other = MemoryKit()
    numbers = [await kit.commit(delta) for delta in deltas]
    for delta in deltas:
        await other.commit_together(*one_by_one(delta))

    assert numbers == [1, 2 * last + 1, 2 * last + 4401]
    assert await content(kit, last) == await content(other, last)


async def test_one_of_those_that_is_not_where_it_should_be_keeps_all_as_they_were(
    kit: StoreKit,
) -> None:
    await kit.commit(new_jobs(1, 300))
    await kit.commit(a_delta(200, 3))
    before = await content(kit, 300)
    with pytest.raises(StaleRevisionError):
        await kit.commit(lived_jobs(list(range(1, 301))))

    assert await content(kit, 300) == before
