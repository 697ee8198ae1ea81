"""When the purge comes: once a day, on its day, and soon after it was missed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.cleaning import next_cleanup
from hpcsched.runtime.front import Stop
from hpcsched.store.history import HistoryQuery
from tests.support.head_bench import ANN, NO_ID, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.head_bench import Bench

DAY = 86400.0


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place whose clocks change: 29 March and 25 October 2026."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def local(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("after", "hour", "day", "expected"),
    [
        ("2026-11-20 01:59", 2, "", "2026-11-20 02:00"),
        ("2026-11-20 02:00", 2, "", "2026-11-21 02:00"),
        ("2026-11-20 23:59", 0, "", "2026-11-21 00:00"),
        ("2026-11-20 01:00", 2, "Friday", "2026-11-20 02:00"),
        ("2026-11-20 03:00", 2, "Friday", "2026-11-27 02:00"),
        ("2026-11-20 03:00", 2, "Sunday", "2026-11-22 02:00"),
        ("2026-03-28 12:00", 4, "", "2026-03-29 04:00"),
        ("2026-10-24 12:00", 4, "", "2026-10-25 04:00"),
    ],
)
def test_the_purge_has_its_hour_by_local_rules(
    after: str, hour: int, day: str, expected: str
) -> None:
    assert next_cleanup(local(after), hour, day) == local(expected)


@pytest.mark.usefixtures("berlin")
def test_a_night_without_the_hour_and_one_with_two_have_one_purge_each() -> None:
    for night in ("2026-03-28 12:00", "2026-10-24 12:00"):
        first = next_cleanup(local(night), 2, "")
        second = next_cleanup(first, 2, "")

        assert datetime.fromtimestamp(second).astimezone().hour == 2
        assert second - first > timedelta(hours=20).total_seconds()


async def expired(bench: Bench) -> int:
    """Return a job whose time is over."""
    job_id = await bench.submit()
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    bench.clock.jump_wall(6 * DAY)
    return job_id


def gone(bench: Bench) -> bool:
    return not bench.store._state.jobs


async def test_a_purge_that_was_missed_comes_soon_after_the_start(
    bench: Bench,
) -> None:
    await bench.stop()
    await bench.start()
    await expired(bench)
    await bench.crash()
    assert not gone(bench)

    await bench.clock.advance(120)

    assert gone(bench)


async def test_a_purge_that_was_done_is_not_done_again_after_a_restart(
    bench: Bench,
) -> None:
    bench.clock.jump_wall(2 * DAY)
    await bench.clock.advance(120)
    ran = (await bench.store.load_cluster()).counters["last cleanup"]
    await bench.crash()

    await bench.clock.advance(600)

    assert (await bench.store.load_cluster()).counters["last cleanup"] == ran


async def test_in_restore_mode_nothing_is_deleted(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.head.set_parameters(ROOT, {"RestoreMode": "True"}, NO_ID)
    bench.clock.jump_wall(30 * DAY)
    await bench.clock.advance(600)
    assert not gone(bench)

    await bench.head.set_parameters(ROOT, {"RestoreMode": "False"}, NO_ID)
    await bench.clock.advance(120)

    assert gone(bench)


async def test_accounting_has_times_of_its_own(bench: Bench) -> None:
    agent = await bench.node()
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")
    agent.retry = None
    agent.cut()
    bench.clock.jump_wall(4 * DAY)
    values = {"TTLCompletedJobs": "1", "AllocationHistoryTtl": "5"}
    await bench.head.set_parameters(ROOT, values, NO_ID)
    await bench.head.clean_up()
    assert gone(bench)
    assert await bench.head.allocations(ANN, HistoryQuery())

    bench.clock.jump_wall(2 * DAY)
    await bench.head.clean_up()
    assert not await bench.head.allocations(ANN, HistoryQuery())
    assert await bench.head.job_history(ANN, HistoryQuery())

    bench.clock.jump_wall(365 * DAY)
    await bench.head.clean_up()
    assert not await bench.head.job_history(ANN, HistoryQuery())


async def test_many_jobs_are_deleted_in_one_run(bench: Bench) -> None:
    ids = [await bench.submit() for _ in range(130)]
    await bench.head.cancel_jobs(ANN, ids, Stop(), NO_ID)
    bench.clock.jump_wall(6 * DAY)

    await bench.head.clean_up()

    assert gone(bench)
    assert bench.world.tally.counts == {}
