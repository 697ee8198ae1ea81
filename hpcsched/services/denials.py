"""The log of calls that were not allowed: who, what, from where.

Somebody who tries secrets must not fill the disk with lines: after so many in a window
the rest is counted, and the count is a line of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from hpcsched.common.errors import HpcError

_log = logging.getLogger(__name__)
DENIALS: Final = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
WINDOW_S: Final = 10.0
LINES: Final = 100
"""Lines in one window."""


class DenialLog:
    """See the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = 0.0
        self._lines = 0
        self._more = 0

    def note(self, error: HpcError, method: str, peer: str, call: str) -> None:
        """Log a refusal if it is a denial.

        Args:
            error: The refusal.
            method: Full name of the RPC.
            peer: Address of the caller, as gRPC tells it.
            call: The request id that the caller gave the call; may be empty.
        """
        if error.reason not in DENIALS:
            return
        now = self._clock.mono()
        if now >= self._end:
            if self._more:
                _log.warning("denied: %d more calls", self._more)
            self._end, self._lines, self._more = now + WINDOW_S, 0, 0
        if self._lines >= LINES:
            self._more += 1
            return
        self._lines += 1
        user = error.facts.get("user", "")
        _log.warning(
            "denied: %s, from %s: %s",
            method,
            peer,
            error,
            extra={"call": call, "user": user},
        )
