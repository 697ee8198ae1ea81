"""Waves: how often many subscribers are told, by what it takes to tell them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.feed import FEW, LONGEST, SHARE, WAVE_S, Feed
from hpcsched.store.memory import MemoryStore
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock

MANY = 100
STEP_S = 0.001


class Told:
    """Subscribers beyond the few; each is told, which takes a while, and rests."""

    def __init__(self, clock: ManualClock, cost_s: float, stuck: int = 0) -> None:
        self.feed = Feed(MemoryStore(), clock, 0, 0)
        self.feed.subscribers = FEW + MANY
        self.times: list[float] = []
        self._clock = clock
        self._cost_s = cost_s
        self._stuck = stuck

    async def subscriber(self, number: int) -> None:
        for turn in range(100):
            if number == FEW + MANY - 1:
                self.times.append(self._clock.mono())
            if turn == 1 and number < self._stuck:
                await self._clock.sleep(1e6)
            await self._clock.sleep(self._cost_s)
            await self.feed.wave()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let them be told while the block lasts."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self.subscriber(n)) for n in range(FEW + MANY)]
        try:
            await settle()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def intervals(self, waves: int) -> list[float]:
        """Return the seconds between waves."""
        async with self.running():
            while len(self.times) <= waves:
                await self._clock.advance(STEP_S)
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


USUAL = MANY * WAVE_S


async def test_a_wave_that_takes_no_time_comes_as_often_as_it_may(
    clock: ManualClock,
) -> None:
    found = await Told(clock, 0.0).intervals(4)

    assert found[1:4] == pytest.approx([USUAL] * 3, abs=2 * STEP_S)


@pytest.mark.parametrize("stuck", [0, MANY // 20])
async def test_waves_take_their_share_of_the_time_and_no_more(
    clock: ManualClock, stuck: int
) -> None:
    cost = 0.02
    found = await Told(clock, cost, stuck).intervals(5)

    assert found[2:5] == pytest.approx([cost / SHARE] * 3, abs=3 * STEP_S)


async def test_however_dear_a_wave_is_the_next_one_comes(clock: ManualClock) -> None:
    found = await Told(clock, 0.15).intervals(4)

    assert found[2:4] == pytest.approx([LONGEST * USUAL] * 2, abs=3 * STEP_S)
