"""Watching one job, waiting for one job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime import feed as feed_module
from hpcsched.runtime import registry
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, a_sweep
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.runtime.front import WatchItem
    from tests.support.head_bench import Bench


async def watched(
    bench: Bench, job_id: int, after: int | None = None, **more: Any
) -> list[WatchItem]:
    items = []
    async for item in bench.head.watch_job(
        ANN, job_id, after, **{"jobs_only": False, **more}
    ):
        items.append(item)  # noqa: PERF401  the items are seen when it fails
    return items


def revisions(items: list[WatchItem]) -> list[int]:
    return [event.revision for item in items for event in item.events]


async def test_it_ends_with_the_job_and_has_its_last_event(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit(a_sweep(5))
    call = bench.begin(watched(bench, job_id))
    await bench.until_state(job_id, "Finished")
    items = await call

    job = items[-1].job
    assert job is not None
    assert job.state.label == "Finished"
    assert revisions(items) == list(range(1, job.revision + 1))
    assert sum(item.caught_up for item in items) == 1
    assert [item.job for item in items[:-1]] == [None] * (len(items) - 1)


async def test_a_job_that_has_ended_is_told_whole(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit(a_sweep(3))
    await bench.until_state(job_id, "Finished")
    for _ in range(2):
        items = await watched(bench, job_id)
        job = items[-1].job
        assert job is not None
        assert revisions(items) == list(range(1, job.revision + 1))
        await bench.crash()


async def test_after_the_end_there_is_only_the_job(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")

    items = await watched(bench, job_id, bench.world.feed.last)

    assert revisions(items) == []
    assert items[-1].job is not None


async def test_it_never_misses_the_end_on_a_busy_cluster(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "TAIL", 10)
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (0.1 * (1 + p.key[0] % 3), 0)
    ids = [await bench.submit(a_sweep(6)) for _ in range(12)]
    calls = [bench.begin(watched(bench, job_id)) for job_id in ids]
    noise = [await bench.submit() for _ in range(20)]
    for job_id in (*ids, *noise):
        await bench.until_state(job_id, "Finished")
    await settle()

    for call in calls:
        assert call.done(), "it ends though other jobs go on"
        items = call.result()
        assert items[-1].job is not None
        assert revisions(items) == list(range(1, items[-1].job.revision + 1))


async def test_it_goes_on_over_a_requeue(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda p: None if p.key[3] == 1 else (2.0, 0)
    job_id = await bench.submit()
    call = bench.begin(watched(bench, job_id))
    await bench.clock.advance(1)
    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")
    items = await call

    job = items[-1].job
    assert job is not None
    assert (job.state.label, job.requeue_count) == ("Finished", 1)
    assert revisions(items) == list(range(1, job.revision + 1))


async def test_it_resumes_at_every_cursor(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit(a_sweep(3))
    other = await bench.submit(a_sweep(3))
    await bench.until_state(other, "Finished")
    all_ = [e.seq for item in await watched(bench, job_id) for e in item.events]

    for cursor in range(bench.world.feed.last + 1):
        items = await watched(bench, job_id, cursor)
        seen = [e.seq for item in items for e in item.events]
        assert seen == [seq for seq in all_ if seq > cursor]


async def test_bookmarks_come_while_nothing_happens(bench: Bench) -> None:
    job_id = await bench.submit()
    call = bench.begin(watched(bench, job_id))
    await bench.clock.advance(25)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    items = await call

    assert sum(item.bookmark for item in items) == 2


async def test_only_the_job_without_its_tasks(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit(a_sweep(3))
    call = bench.begin(watched(bench, job_id, jobs_only=True))
    await bench.until_state(job_id, "Finished")
    items = await call

    changes = [c for item in items for e in item.events for c in e.changes]
    assert {c.task_id for c in changes} == {0}


async def test_what_is_not_there_cannot_be_watched(bench: Bench) -> None:
    with pytest.raises(HpcError, match="not found"):
        await watched(bench, 99)
    job_id = await bench.submit()
    with pytest.raises(HpcError, match="never given out"):
        await watched(bench, job_id, 10_000)


async def test_waiting_ends_with_the_job(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit()
    call = bench.begin(bench.head.wait_job(ANN, job_id, 50))
    await settle()
    assert not call.done()
    await bench.clock.advance(5)

    assert call.done()
    assert call.result().state.label == "Finished"
    assert (await bench.head.wait_job(ANN, job_id, 50)).state.label == "Finished"


async def test_waiting_ends_with_the_time(bench: Bench) -> None:
    job_id = await bench.submit()
    call = bench.begin(bench.head.wait_job(ANN, job_id, 9))
    await bench.clock.advance(8.9)
    assert not call.done()
    await bench.clock.advance(0.2)

    assert call.result().state.label == "Queued"


async def test_waiting_for_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(HpcError, match="job 7 not found"):
        await bench.head.wait_job(ANN, 7, 9)


async def test_nothing_is_left_of_a_thousand_watches_waits_and_looks(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await settle()
    calls = [bench.begin(watched(bench, job_id)) for _ in range(300)]
    calls += [bench.begin(bench.head.wait_job(ANN, job_id, 50)) for _ in range(300)]
    await settle()
    assert bench.world.feed._waiting
    assert bench.world.jobs._end_waiters
    for call in calls[::2]:
        call.cancel()
    for _ in range(1000):
        with pytest.raises(HpcError):
            await bench.job(4711)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.until_state(job_id, "Canceled")
    await settle()

    assert all(call.done() for call in calls)
    assert not bench.world.feed._waiting
    assert not bench.world.jobs._end_waiters
    assert not bench.head._ledgers._running
    assert len(bench.world.jobs) == 1
    assert len(bench.clock.waiting) <= 4  # the head's own, and the agent's


async def test_ended_jobs_leave_memory(bench: Bench) -> None:
    for _ in range(registry.ENDED_KEPT + 30):
        job_id = await bench.submit()
        await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    assert len(bench.world.jobs) <= registry.ENDED_KEPT
    assert await bench.state(1) == "Canceled"
    assert len(bench.world.jobs) <= registry.ENDED_KEPT + 1


async def test_big_ended_jobs_leave_memory_earlier(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ENDED_ROWS", 1000)
    for _ in range(10):
        job_id = await bench.submit(a_sweep(400))
        await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    assert len(bench.world.jobs) <= 3
    assert bench.world.jobs._ended_rows <= 1000


async def test_who_asks_for_a_number_before_it_is_given_out_makes_no_second_owner(
    bench: Bench,
) -> None:
    bench.store.hold()
    submit = bench.begin(bench.submit())
    await settle()
    early = bench.begin(bench.job(1))
    bench.store.release()

    assert await submit == 1
    try:
        seen = (await early).state.label
    except HpcError as error:
        seen = error.reason
    assert seen in ("Queued", "JOB_NOT_FOUND")
    await bench.node()
    await bench.until_state(1, "Finished")
