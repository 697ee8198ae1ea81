"""Time as an argument: the only module that asks the machine what time it is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A callback that has been asked for and has not come yet."""

    def cancel(self) -> None:
        """Call it off; once it has come, or a second time, this does nothing."""


class Clock(Protocol):
    """What programs ask for the time, so that a test can be the time."""

    def wall(self) -> float:
        """Return Unix time in seconds, UTC: for records. It may jump either way."""

    def mono(self) -> float:
        """Return seconds that never go back: for intervals and deadlines."""

    def boot(self) -> float:
        """Return seconds since this machine booted, its suspensions included.

        The same in each process of the machine, so it may be written down and compared
        by another program, as long as the boot id is the same.
        """

    async def sleep(self, seconds: float) -> None:
        """Return no earlier than so many seconds of ``mono`` later.

        Nought and less let the loop run once.
        """

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call the callback from the running loop once ``mono() >= when``.

        A time that has passed means soon, not now.
        """


@final
class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def wall(self) -> float:
        return time.time()

    def mono(self) -> float:
        return time.monotonic()

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        # uvloop counts in whole milliseconds from the start of the loop's turn, so one
        # sleep may end early: whoever then compares with a deadline would be misled.
        deadline = time.monotonic() + seconds
        left = seconds
        while True:
            await asyncio.sleep(max(0.0, left))
            left = deadline - time.monotonic()
            if left <= 0:
                return

    def block(self, seconds: float) -> None:
        """Block this thread; for programs without an event loop only."""
        time.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        return _LoopTimer(when, callback)


class _LoopTimer:
    """A timer of the running loop that never comes early, whatever the loop does."""

    __slots__ = ("_callback", "_handle", "_loop", "_when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._when = when
        self._callback = callback
        self._handle = self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> asyncio.TimerHandle:
        left = max(0.0, self._when - time.monotonic())
        return self._loop.call_later(left, self._fire)

    def _fire(self) -> None:
        if time.monotonic() < self._when:
            self._handle = self._arm()
        else:
            self._callback()
