"""The clock of the supervisor: the only module of it that asks for the time."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock. Tests pass one that they move themselves."""

    __slots__ = ()

    def boot(self) -> float:
        """Return seconds since boot, time asleep included (CLOCK_BOOTTIME).

        Deadlines are on this clock: it cannot be set, it runs on while the machine
        sleeps, and another process of the same boot reads the same value.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def pause(self, seconds: float) -> None:
        """Do nothing for a moment: only where nothing else can be done meanwhile."""
        time.sleep(seconds)

    def wall(self) -> float:
        """Return seconds since 1970: for people, never for a decision."""
        return time.time()
