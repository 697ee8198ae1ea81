"""Watches: backlog, one mark, then live; nothing twice, nothing missing (P9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime import feed as feed_module
from hpcsched.runtime.front import Stop, WatchItem, WatchQuery
from tests.support.head_bench import ANN, BOB, NO_ID, ROOT, a_sweep
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


class Watcher:
    """Collects what a watch says."""

    def __init__(self, bench: Bench, **query: Any) -> None:
        self.items: list[WatchItem] = []
        self.error: HpcError | None = None
        self.stream = bench.head.watch(ANN, WatchQuery(**query))
        self.call = bench.begin(self._run())

    async def _run(self) -> None:
        try:
            async for item in self.stream:
                self.items.append(item)
        except HpcError as error:
            self.error = error

    @property
    def numbers(self) -> list[int]:
        return [event.seq for item in self.items for event in item.events]


async def history(bench: Bench, jobs: int = 4) -> None:
    """Let some jobs live and end."""
    await bench.node()
    for n in range(jobs):
        await bench.submit(a_sweep(2), caller=BOB if n % 2 else ANN)
    await bench.clock.advance(15)


async def test_backlog_one_mark_then_live(bench: Bench) -> None:
    await history(bench)
    last = bench.world.feed.last
    watcher = Watcher(bench, after=0, nodes=True)
    await settle()
    marks = [item for item in watcher.items if item.caught_up]
    assert [mark.seq for mark in marks] == [last]
    assert watcher.numbers == list(range(1, last + 1))

    await bench.submit()
    await bench.clock.advance(5)

    assert watcher.numbers == list(range(1, bench.world.feed.last + 1))
    assert bench.world.feed.last > last
    assert sum(item.caught_up for item in watcher.items) == 1


async def test_a_watch_from_now_on_has_no_backlog(bench: Bench) -> None:
    await history(bench)
    last = bench.world.feed.last
    watcher = Watcher(bench)
    await settle()
    assert [(i.seq, i.caught_up) for i in watcher.items] == [(last, True)]
    await bench.submit()
    await settle()

    assert watcher.numbers[0] == last + 1


@pytest.mark.parametrize("tail", [20_000, 7])
async def test_every_cursor_resumes_without_gap_or_repeat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tail: int
) -> None:
    """With all of it in memory, and with most of it in the store only."""
    monkeypatch.setattr(feed_module, "TAIL", tail)
    await history(bench)
    last = bench.world.feed.last
    assert last > 20

    for cursor in range(last + 1):
        assert [e.seq for e in await bench.events(cursor)] == list(
            range(cursor + 1, last + 1)
        )


async def test_memory_and_store_show_the_same_events(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history(bench)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="r")
    from_memory = await bench.events()
    await bench.crash()

    assert (await bench.events())[: len(from_memory)] == from_memory


async def test_history_is_paged_from_the_store_and_goes_over_into_the_live_feed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "TAIL", 5)
    monkeypatch.setattr(feed_module, "PAGE", 3)
    await history(bench)
    watcher = Watcher(bench, after=0, nodes=True)
    await bench.submit(a_sweep(4))
    await bench.clock.advance(10)

    assert watcher.numbers == list(range(1, bench.world.feed.last + 1))


async def test_a_cursor_that_was_never_given_out_is_refused(bench: Bench) -> None:
    await history(bench)
    for cursor in (bench.world.feed.last + 1, -1):
        watcher = Watcher(bench, after=cursor)
        await settle()
        assert watcher.error is not None
        assert watcher.error.reason == "CURSOR_UNKNOWN"


async def test_a_cursor_before_what_was_purged_is_refused_with_the_oldest_one(
    bench: Bench,
) -> None:
    await history(bench)
    await bench.head.forget_jobs(ROOT, [2], NO_ID)
    floor = bench.world.feed.floor
    assert floor > 0

    watcher = Watcher(bench, after=floor - 1)
    await settle()

    assert watcher.error is not None
    assert watcher.error.reason == "CURSOR_EXPIRED"
    assert watcher.error.facts["oldest_cursor"] == str(floor)
    good = Watcher(bench, after=floor, nodes=True)
    await settle()
    assert good.numbers == list(range(floor + 1, bench.world.feed.last + 1))


async def test_a_purge_in_the_middle_of_a_backlog_is_an_explicit_gap(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history(bench)
    monkeypatch.setattr(feed_module, "PAGE", 3)
    await bench.crash()  # nothing of it is in memory
    stream = bench.head.watch(ANN, WatchQuery(after=0))
    await anext(stream)
    await bench.head.forget_jobs(ROOT, [2], NO_ID)

    with pytest.raises(HpcError) as refusal:
        async for _ in stream:
            pass

    assert refusal.value.reason == "CURSOR_EXPIRED"


async def test_the_floor_survives_the_head(bench: Bench) -> None:
    await history(bench)
    await bench.head.forget_jobs(ROOT, [1], NO_ID)
    floor = bench.world.feed.floor
    await bench.crash()

    assert bench.world.feed.floor == floor


async def test_a_bookmark_comes_at_least_every_10_s(bench: Bench) -> None:
    watcher = Watcher(bench)
    await bench.clock.advance(35)

    assert [item.bookmark for item in watcher.items] == [False, True, True, True]


async def test_a_watch_of_which_nothing_is_wanted_gets_bookmarks_that_move(
    bench: Bench,
) -> None:
    await bench.node()
    watcher = Watcher(bench, owner="nobody")
    for _ in range(40):
        await bench.submit()
        await bench.clock.advance(1)

    marks = [item.seq for item in watcher.items if item.bookmark]
    assert len(marks) == 4
    assert marks == sorted(set(marks))
    assert watcher.numbers == []


async def test_filters_choose_by_owner_job_and_kind(bench: Bench) -> None:
    await history(bench)
    of_bob = Watcher(bench, after=0, owner="bob")
    of_two = Watcher(bench, after=0, job_ids=frozenset({2, 3}))
    jobs_only = Watcher(bench, after=0, jobs_only=True)
    await settle()

    assert {e.owner for i in of_bob.items for e in i.events} == {"bob"}
    assert {e.job_id for i in of_two.items for e in i.events} == {2, 3}
    changes = [c for i in jobs_only.items for e in i.events for c in e.changes]
    assert changes
    assert not [c for c in changes if c.task_id]
    assert not [e for i in jobs_only.items for e in i.events if e.node]


async def test_a_watcher_misses_no_state_of_a_job(bench: Bench) -> None:
    """One event may stand for several transitions; all are told, in order."""
    await bench.node()
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")
    states = [
        c.state
        for e in await bench.events()
        for c in e.changes
        if e.job_id == job_id and not c.task_id
    ]

    assert states == [2, 3, 5, 6, 7, 8]  # JobCreated itself says Configuring


async def test_a_snapshot_fits_the_events_after_it(bench: Bench) -> None:
    """Also if jobs change while it is read."""
    await history(bench)
    queued = [await bench.submit(a_sweep(50)) for _ in range(3)]
    await bench.clock.advance(1)
    stream = bench.head.watch(ANN, WatchQuery(snapshot=True))
    first = await anext(stream)
    await bench.head.cancel_jobs(ANN, queued[2:], Stop(), NO_ID)
    fresh = await bench.submit()
    revisions = {job.job_id: job.revision for job in first.jobs}
    assert set(queued) <= set(revisions)
    await bench.clock.advance(3)
    watcher: list[Any] = []

    async def collect() -> None:
        async for item in stream:
            watcher.append(item)
            for job in item.jobs:
                revisions[job.job_id] = job.revision
            for event in item.events:
                if event.job_id:
                    expected = revisions.get(event.job_id, 0) + 1
                    assert event.revision == expected, event
                    revisions[event.job_id] = event.revision

    call = bench.begin(collect())
    await bench.clock.advance(3)
    if call.done():
        call.result()

    for job_id, revision in revisions.items():
        assert revision == (await bench.job(job_id)).revision
    assert fresh in revisions
    assert sum(item.caught_up for item in watcher) == 1


async def test_a_snapshot_and_a_cursor_exclude_each_other(bench: Bench) -> None:
    watcher = Watcher(bench, snapshot=True, after=0)
    await settle()

    assert watcher.error is not None
    assert watcher.error.reason == "INVALID_FIELD"


async def test_a_subscriber_that_stops_reading_costs_nothing_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "TAIL", 50)
    slow = bench.head.watch(ANN, WatchQuery(after=0, nodes=True))
    await history(bench)
    await anext(slow)
    for _ in range(60):
        await bench.submit(a_sweep(3))
    await bench.clock.advance(100)
    assert len(bench.world.feed._tail) <= 101
    assert not bench.world.feed._waiting
    numbers: list[int] = []
    async for item in slow:
        numbers += [event.seq for event in item.events]
        if item.caught_up:
            break

    assert numbers[-1] == bench.world.feed.last
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_the_tail_is_bounded_by_what_events_weigh(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "TAIL_WEIGHT", 30)
    await history(bench)
    feed = bench.world.feed

    assert feed._weight <= 30
    assert feed._weight == sum(feed._weights[feed._start :])
    assert [e.seq for e in await bench.events()] == list(range(1, feed.last + 1))


async def test_a_backlog_only_watch_ends_at_its_mark(bench: Bench) -> None:
    watcher = Watcher(bench, after=0, backlog_only=True)
    await settle()

    assert watcher.call.done()
    assert watcher.items[-1].caught_up


async def test_many_watchers_are_told_in_waves_and_miss_nothing(bench: Bench) -> None:
    watchers = [Watcher(bench, nodes=True) for _ in range(feed_module.FEW + 100)]
    await bench.node()
    await settle()
    first = [len(watcher.items) for watcher in watchers]

    for _ in range(20):
        await bench.submit()
        await settle()
    told = max(len(w.items) - n for w, n in zip(watchers, first, strict=True))
    await bench.clock.advance(15)

    # One step of news, and the rest together a tenth of a second later.
    assert told <= 2
    for watcher in watchers:
        assert watcher.numbers == list(range(1, bench.world.feed.last + 1))


async def test_few_watchers_are_told_at_once(bench: Bench) -> None:
    watchers = [Watcher(bench) for _ in range(feed_module.FEW)]
    await bench.node()
    for _ in range(3):
        await bench.submit()
        await settle()
        for watcher in watchers:
            assert watcher.numbers
            assert watcher.numbers[-1] == bench.world.feed.last
