"""The clocks of simulated machines: each has its own idea of the time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Timer
    from tests.support.sim.loop import SimLoop

#: Wall time at the start of every run: 2026-01-05 12:00 UTC, far from any cleanup.
EPOCH = 1_767_614_400.0


class Machine:
    """One machine: its boot, its clocks.

    Attributes:
        boots: How often it has booted.
        rate: Seconds of its monotonic clock in one second of true time.
    """

    def __init__(self, loop: SimLoop, name: str, *, rate: float = 1.0) -> None:
        self.loop = loop
        self.name = name
        self.rate = rate
        self.boots = 1
        self.wall_offset = 0.0
        self._booted = loop.time() - 500.0
        self._asleep = 0.0
        self._suspended: float | None = None

    @property
    def boot_id(self) -> str:
        return f"{self.name}-boot-{self.boots}"

    def set_rate(self, rate: float) -> None:
        """Let the clock run faster or slower from now on."""
        boot = self.boot()
        self.rate = rate
        self._booted = self.loop.time() - boot / rate

    def reboot(self) -> None:
        self.boots += 1
        self._booted = self.loop.time()
        self._asleep = 0.0
        self._suspended = None

    def suspend(self) -> None:
        """Note that the machine is suspended from now on, all its programs with it."""
        if self._suspended is None:
            self._suspended = self.loop.time()

    def resume(self) -> None:
        """Note that it goes on.

        Of two suspensions at a time the one that ends first has ended both; counting
        the rest of the other too would set the clock back under running programs.
        """
        if self._suspended is not None:
            self._asleep += self.loop.time() - self._suspended
            self._suspended = None

    def boot(self) -> float:
        return (self.loop.time() - self._booted) * self.rate

    def mono(self) -> float:
        return (self.loop.time() - self._booted - self._asleep) * self.rate

    def when(self, mono: float) -> float:
        """Return the loop's time of a moment of ``mono``."""
        return mono / self.rate + self._booted + self._asleep

    def wall(self) -> float:
        return EPOCH + self.loop.time() * self.rate + self.wall_offset


class SimTimer:
    """A timer of the loop that never comes early by its machine's clock."""

    __slots__ = ("_callback", "_clock", "_handle", "_when")

    def __init__(self, clock: SimClock, when: float, callback: Any) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._handle: Any = None
        self._arm()

    def _arm(self) -> None:
        machine = self._clock.machine
        due = max(machine.loop.time(), machine.when(self._when))
        self._handle = machine.loop.call_at(due, self._fire)

    def _fire(self) -> None:
        machine = self._clock.machine
        left = self._when - machine.mono()
        if left > 1e-7:
            self._arm()
        elif left > 0:  # what rounding has left
            self._handle = machine.loop.call_later(1e-6, self._fire)
        else:
            self._callback()

    def cancel(self) -> None:
        self._handle.cancel()


class SimClock:
    """A ``Clock`` of one program on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def wall(self) -> float:
        return self.machine.wall()

    def mono(self) -> float:
        return self.machine.mono()

    def boot(self) -> float:
        return self.machine.boot()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_at(self.mono() + seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        return SimTimer(self, when, callback)

    def pause(self, seconds: float) -> None:
        """Do nothing: a supervisor that waits in place costs no virtual time."""
