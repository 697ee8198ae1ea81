"""When reports are sent: at once, or together while there is work for every core.

A frame costs agent and head more than what is in it. While tasks wait here nobody has
to hear of an end for the next one to start, so reports may gather for a moment. They
are in the journal by then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.timers import Timers

GATHER_S = 0.04
"""Less than half of what the head sends ahead of free cores lasts."""


class Gathering:
    """Says whether what is to be sent may wait for more."""

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._send_at: float | None = None

    def goes_on(self, reports: int, *, queued: int, live: int) -> bool:
        """Say whether so many reports may wait; if so there is another turn in time.

        Args:
            reports: That are to be sent.
            queued: Attempts that wait here. Where they are fewer than the reports, or
                than the processes, the head is asked for more.
            live: Attempts that have a process.
        """
        if queued < max(live, reports):
            self._send_at = None
            return False
        now = self._clock.boot()
        if self._send_at is None and reports:
            self._send_at = now + GATHER_S
            self._timers.at(self._send_at, lambda: None)
        if self._send_at is None or now < self._send_at:
            return True
        self._send_at = None
        return False
