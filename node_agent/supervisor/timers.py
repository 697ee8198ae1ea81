"""Deadlines on CLOCK_BOOTTIME, soonest first."""

from __future__ import annotations

import heapq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.clock import Clock

LONGEST_WAIT_S = 10.0
"""epoll's clock stands still while the machine sleeps; ours does not."""


MIN_STALE = 64


class Timers:
    """Calls that are due later.

    Those of an attempt are made while it is not over; what is left of attempts that
    are is cleared away now and then, so that a short task with a long limit costs
    nothing afterwards.
    """

    __slots__ = ("_clock", "_count", "_heap", "_stale")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None], Attempt | None]] = []
        self._count = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(
        self, when: float, call: Callable[[], None], attempt: Attempt | None = None
    ) -> None:
        """Call at or soon after a time, in seconds since boot."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, call, attempt))

    def after(
        self, delay_s: float, call: Callable[[], None], attempt: Attempt | None = None
    ) -> None:
        """Call after a delay, in seconds."""
        self.at(self._clock.boot() + delay_s, call, attempt)

    def one_is_over(self) -> None:
        """Take note that an attempt with a timer is over."""
        self._stale += 1
        if self._stale > MIN_STALE and 2 * self._stale > len(self._heap):
            self._heap = [
                entry for entry in self._heap if entry[3] is None or not entry[3].over
            ]
            heapq.heapify(self._heap)
            self._stale = 0

    def patience_s(self, due: float | None = None) -> float | None:
        """Return how long to wait for other things, None for ever.

        Args:
            due: When there is something to do that has no call here.
        """
        if self._heap and (due is None or self._heap[0][0] < due):
            due = self._heap[0][0]
        if due is None:
            return None
        wait_s = due - self._clock.boot()
        return min(LONGEST_WAIT_S, max(0.0, wait_s))

    def run(self) -> None:
        """Make the calls that are due."""
        while self._heap and self._heap[0][0] <= self._clock.boot():
            _, _, call, attempt = heapq.heappop(self._heap)
            if attempt is None or not attempt.over:
                call()
