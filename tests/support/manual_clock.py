"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Timer

#: Turns of the loop after which a task that never stops yielding is left to itself.
MOST_TURNS = 1000

#: Turns given where the loop does not tell whether anything is ready (uvloop).
BLIND_TURNS = 60


@dataclass(order=True, slots=True)
class ManualTimer:
    """A callback that waits for the test to reach its time."""

    when: float
    number: int
    callback: Callable[[], object] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """A ``Clock`` whose time is what the test says.

    Timers come in the order of their times, and the loop runs until it is idle after
    each, so that a task that was woken may set its next timer within the same advance.
    What real sockets, threads and processes do is not waited for.
    """

    def __init__(
        self,
        *,
        wall: float = 1_800_000_000.0,
        mono: float = 1_000.0,
        boot: float = 1_000.0,
    ) -> None:
        self._wall = wall
        self._mono = mono
        self._boot = boot
        self._numbers = 0
        self._timers: list[ManualTimer] = []

    def wall(self) -> float:
        return self._wall

    def mono(self) -> float:
        return self._mono

    def boot(self) -> float:
        return self._boot

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_at(self._mono + seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        if when <= self._mono:
            return asyncio.get_running_loop().call_soon(callback)
        self._numbers += 1
        timer = ManualTimer(when, self._numbers, callback)
        heapq.heappush(self._timers, timer)
        return timer

    @property
    def waiting(self) -> tuple[float, ...]:
        """The times of ``mono`` at which something is due, in order."""
        return tuple(t.when for t in sorted(self._timers) if t.callback is not None)

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, with all that happens in them."""
        target = self._mono + seconds
        await settle()
        while (timer := self._next_due(target)) is not None:
            self._move_to(timer.when)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            await settle()
        self._move_to(target)
        await settle()

    def stall(self, seconds: float) -> None:
        """Let time pass in which the loop does not run; then all that is due comes."""
        self._move_to(self._mono + seconds)
        while (timer := self._next_due(self._mono)) is not None:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forwards or back, as an administrator or NTP would."""
        self._wall += seconds

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: wall and boot time pass, monotonic time does not."""
        self._wall += seconds
        self._boot += seconds

    def _next_due(self, target: float) -> ManualTimer | None:
        while self._timers and self._timers[0].when <= target:
            timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                return timer
        return None

    def _move_to(self, mono: float) -> None:
        passed = max(0.0, mono - self._mono)
        self._wall += passed
        self._boot += passed
        self._mono = max(mono, self._mono)


async def settle() -> None:
    """Let the loop run until nothing in it is ready."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:
        for _ in range(BLIND_TURNS):
            await asyncio.sleep(0)
        return
    for turn in range(MOST_TURNS):
        await asyncio.sleep(0)
        if turn > 1 and not ready:
            return
