"""When moments of the wall clock come, whatever that clock does meanwhile (F64).

A limit is a moment of the wall clock, as everybody is shown it, but what is limited
takes its time by the clock that nobody sets. So it is counted from when the moment was
first known; a jump after that moves nothing, and neither does looking again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.common.clock import Clock, Timer


class Deadlines:
    """Those that one job has now, and the timer of the first.

    Args:
        clock: The head's.
        reached: Called with the first one, seconds since 1970, when it has come.
    """

    __slots__ = ("_clock", "_due", "_first", "_reached", "_timer")

    def __init__(self, clock: Clock, reached: Callable[[float], None]) -> None:
        self._clock = clock
        self._reached = reached
        self._due: dict[float, float] | None = None  # most jobs never have any
        self._first: float | None = None
        self._timer: Timer | None = None

    def set(self, moments: Sequence[float]) -> None:
        """Wait for the first of these; all others are over."""
        if not moments and self._first is None:
            return
        clock, known = self._clock, self._due or {}
        due = {
            moment: known[moment]
            if moment in known
            else clock.mono() + max(0.0, moment - clock.wall())
            for moment in moments
        }
        first = min(due, key=due.__getitem__, default=None)
        if first != self._first:
            self.stop()
            self._first = first
            if first is not None:
                self._timer = clock.call_at(due[first], self._come)
        self._due = due or None

    def stop(self) -> None:
        """Wait for none until they are set again; what is known of them stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._first = None

    def _come(self) -> None:
        first, self._timer, self._first = self._first, None, None
        if first is not None:
            self._reached(first)
