"""How often nodes have connected of late: one that comes and goes has a trouble."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from hpcsched.core.diagnosis.of_nodes import FLAPPING_S

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock

MOST: Final = 64
"""Connections of one node that are counted."""


class Connections:
    """See the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: dict[int, deque[float]] = {}

    def note(self, node_id: int) -> None:
        """A node has connected."""
        times = self._times.setdefault(node_id, deque(maxlen=MOST))
        times.append(self._clock.mono())

    def count(self, node_id: int) -> int:
        """Return how often a node has connected within ``FLAPPING_S``."""
        since = self._clock.mono() - FLAPPING_S
        return sum(when >= since for when in self._times.get(node_id, ()))

    def forget(self, node_id: int) -> None:
        """There is no such node any more."""
        self._times.pop(node_id, None)
