from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from hpcsched.common.clock import SystemClock

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from tests.support.manual_clock import ManualClock

pytestmark = pytest.mark.every_loop


def test_wall_is_unix_time_and_boot_counts_from_the_boot() -> None:
    clock = SystemClock()

    assert abs(clock.wall() - time.time()) < 1
    assert abs(clock.boot() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
    assert abs(clock.mono() - time.monotonic()) < 1


@pytest.mark.parametrize("seconds", [0.0004, 0.0017, 0.02])
async def test_a_sleep_never_ends_early(seconds: float) -> None:
    clock = SystemClock()
    start = clock.mono()

    await clock.sleep(seconds)

    assert clock.mono() - start >= seconds


@pytest.mark.parametrize("seconds", [0, -5])
async def test_a_sleep_of_nothing_lets_the_loop_run_once(seconds: float) -> None:
    ran: list[bool] = []
    asyncio.get_running_loop().call_soon(ran.append, True)

    await SystemClock().sleep(seconds)

    assert ran == [True]


@pytest.mark.parametrize("delay", [0.0004, 0.0017, 0.02])
async def test_a_timer_never_comes_early(delay: float) -> None:
    clock = SystemClock()
    came: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    when = clock.mono() + delay

    clock.call_at(when, lambda: came.set_result(clock.mono()))

    assert await came >= when


async def test_a_timer_of_the_past_comes_soon_but_not_within_the_call() -> None:
    clock = SystemClock()
    came = asyncio.Event()

    clock.call_at(clock.mono() - 1, came.set)

    assert not came.is_set()
    await asyncio.wait_for(came.wait(), 60)


async def test_a_cancelled_timer_does_not_come() -> None:
    clock = SystemClock()
    came: list[str] = []
    timer = clock.call_at(clock.mono() + 0.005, lambda: came.append("cancelled"))
    clock.call_at(clock.mono() + 0.01, lambda: came.append("kept"))
    timer.cancel()
    timer.cancel()

    await clock.sleep(0.02)

    assert came == ["kept"]


async def ticks(clock: Clock, every: float, seen: list[float]) -> None:
    while True:
        await clock.sleep(every)
        seen.append(clock.mono())


async def test_the_manual_clock_wakes_a_loop_once_per_tick(clock: ManualClock) -> None:
    seen: list[float] = []
    start = clock.mono()

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(ticks(clock, 10, seen))
        await clock.advance(35)
        ticking.cancel()

    assert seen == [start + 10, start + 20, start + 30]
    assert clock.mono() == start + 35


async def test_manual_timers_come_in_order_of_time_then_of_their_making(
    clock: ManualClock,
) -> None:
    came: list[str] = []
    for name, delay in (("late", 9.0), ("first", 3.0), ("second", 3.0), ("far", 11.0)):
        clock.call_at(clock.mono() + delay, lambda name=name: came.append(name))  # type: ignore[misc]

    await clock.advance(10)

    assert came == ["first", "second", "late"]
    assert clock.waiting == (clock.mono() + 1,)


async def test_a_manual_timer_of_the_past_comes_soon_and_can_be_cancelled(
    clock: ManualClock,
) -> None:
    came: list[str] = []
    clock.call_at(clock.mono(), lambda: came.append("now"))
    clock.call_at(clock.mono(), lambda: came.append("cancelled")).cancel()
    clock.call_at(clock.mono() + 1, lambda: came.append("cancelled too")).cancel()

    assert came == []
    await clock.advance(1)
    assert came == ["now"]


async def test_a_cancelled_manual_sleep_leaves_no_timer(clock: ManualClock) -> None:
    async with asyncio.TaskGroup() as tasks:
        sleeping = tasks.create_task(clock.sleep(60))
        await clock.advance(1)
        assert len(clock.waiting) == 1
        sleeping.cancel()

    assert not clock.waiting


async def test_all_three_times_pass_together_unless_told_otherwise(
    clock: ManualClock,
) -> None:
    wall, mono, boot = clock.wall(), clock.mono(), clock.boot()

    await clock.advance(10)
    clock.suspend(100)
    clock.jump_wall(-50)

    assert (clock.wall() - wall, clock.mono() - mono, clock.boot() - boot) == (
        60,
        10,
        110,
    )
