"""When moments of the wall clock come, whatever that clock does meanwhile (F64).

A limit is a moment of the wall clock, as everybody is shown it, but what is limited
takes its time by the clock that nobody sets. So it is counted from when the moment was
first known; a jump after that moves nothing, and neither does looking again.

A head that is started again in the same boot of its machine goes on counting: when each
moment comes is stored with the job, in seconds since that boot. In another boot only
the wall clock is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.common.clock import Clock, Timer

    Due = tuple[Any, ...]
    """The id of a boot, and pairs: a moment, and when it comes, in seconds since that
    boot; empty: nothing is known."""


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
        clock = self._clock
        due = _counted(clock, moments, self._due or {})
        first = min(due, key=due.__getitem__, default=None)
        if first != self._first:
            self.stop()
            self._first = first
            if first is not None:
                left = max(0.0, due[first] - clock.boot())
                self._timer = clock.call_at(clock.mono() + left, self._come)
        self._due = due or None

    def stop(self) -> None:
        """Wait for none until they are set again; what is known of them stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._first = None

    def kept(self, moments: Sequence[float], boot_id: str) -> Due:
        """Return what is to be stored of moments, which are known from now on."""
        if not (moments and boot_id):
            return ()
        due = _counted(self._clock, moments, self._due or {})
        self._due = {**(self._due or {}), **due}
        return boot_id, tuple(due.items())

    def resume(self, stored: Due, boot_id: str) -> None:
        """Go on with what was stored, if it was in this boot."""
        if stored and stored[0] == boot_id:
            self._due = {**dict(stored[1]), **(self._due or {})}

    def _come(self) -> None:
        first, self._timer, self._first = self._first, None, None
        if first is not None:
            self._reached(first)


def fresh(clock: Clock, moments: Sequence[float], boot_id: str) -> Due:
    """Return what is to be stored of moments that nobody has known before."""
    if not (moments and boot_id):
        return ()
    return boot_id, tuple(_counted(clock, moments, {}).items())


def _counted(
    clock: Clock, moments: Sequence[float], known: Mapping[float, float]
) -> dict[float, float]:
    """Return when each moment comes, in seconds since the boot."""
    return {
        moment: known[moment]
        if moment in known
        else clock.boot() + max(0.0, moment - clock.wall())
        for moment in moments
    }
