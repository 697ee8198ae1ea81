"""How late the head's event loop is: the first sign that it has too much to do at once.

Heartbeats are answered from the same loop: one that is held up for as long as a node
may be silent would lose nodes (RELIABILITY F6).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock

log = logging.getLogger(__name__)

#: Later than this is told in the log, seconds.
LIMIT_S: Final = 1.0

#: The worst of so many seconds is shown.
SPAN_S: Final = 60.0


class LoopLag:
    """The delays of the last minute, measured by who wakes once a second anyway."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, late_s: float) -> None:
        """Take in by how much a timer fired too late."""
        now = self._clock.mono()
        self._forget(now)
        self._seen.append((now, max(0.0, late_s)))
        if late_s > LIMIT_S:
            log.warning(
                "the head's event loop was held up for %.1f s: requests and heartbeats "
                "waited that long",
                late_s,
            )

    @property
    def worst_s(self) -> float:
        """The longest delay of the last minute, seconds."""
        self._forget(self._clock.mono())
        return max((late for _, late in self._seen), default=0.0)

    def _forget(self, now: float) -> None:
        while self._seen and now - self._seen[0][0] > SPAN_S:
            self._seen.popleft()
