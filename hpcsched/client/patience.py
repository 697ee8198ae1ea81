"""How long a client tries, and how long it pauses in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from hpcsched.common.errors import HpcError
    from hpcsched.common.rng import Ids

#: Nobody answered, or the answer was lost: another attempt, or another head, may help.
NO_ANSWER: Final = frozenset({"HEAD_UNREACHABLE", "OUTCOME_UNKNOWN", "HEAD_STOPPING"})

#: The head answered that it has too much to do, or has too much from this user.
BUSY: Final = frozenset(
    {
        "QUEUE_FULL",
        "TOO_MANY_BYTES",
        "TOO_MANY_CALLS",
        "TOO_MANY_CONNECTIONS",
        "TOO_MANY_STREAMS",
    }
)
#: The longest that a head can make a client wait before its next attempt, seconds.
LONGEST_HINT_S: Final = 30.0

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
BUSY_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        call_s: One call with its retries, seconds.
        connect_s: A head that does not answer, seconds.
    """

    call_s: float = 60.0
    connect_s: float = 10.0


class Retries:
    """The attempts of one call."""

    __slots__ = (
        "_attempts",
        "_clock",
        "_deadline",
        "_ids",
        "_patience",
        "_silent_since",
    )

    def __init__(
        self, patience: Patience, clock: Clock, ids: Ids, *, limit: float | None
    ) -> None:
        now = clock.mono()
        self._patience = patience
        self._clock = clock
        self._ids = ids
        self._deadline = None if limit is None else now + limit
        self._silent_since = now
        self._attempts = 0

    @property
    def endless(self) -> bool:
        """Is there no deadline?"""
        return self._deadline is None

    def left(self) -> float:
        """Return the seconds that are left to the deadline, a moment at least."""
        if self._deadline is None:
            return float("inf")
        return max(0.001, self._deadline - self._clock.mono())

    def connect_left(self) -> float:
        """Return the seconds that an attempt may take to get its connection."""
        if self._deadline is None:
            return self._patience.connect_s
        return max(
            0.001, min(self._silence_ends(), self._deadline) - self._clock.mono()
        )

    def next_pause(self, refusal: HpcError, *, heads: int) -> float | None:
        """Return the seconds before the next attempt; None where none should be made.

        Args:
            refusal: What came of the attempt.
            heads: How many there are to try; all are tried before the first pause.
        """
        busy = refusal.reason in BUSY
        if not busy and refusal.reason not in NO_ANSWER:
            return None
        self._attempts += 1
        turn, position = divmod(self._attempts, heads)
        pause = 0.0
        if position == 0:
            longest = FIRST_PAUSE_S * 2 ** min(turn - 1, 10)
            pause = min(LONGEST_PAUSE_S, longest) * (0.5 + self._ids.jitter() / 2)
        if busy:
            # Not all at the same moment: each waits up to half as long again.
            asked = min(refusal.retry_after_s or BUSY_PAUSE_S, LONGEST_HINT_S)
            pause = max(pause, asked * (1 + self._ids.jitter() / 2))
            self._silent_since = self._clock.mono()
        if self._deadline is None:
            return pause
        end = self._deadline if busy else min(self._deadline, self._silence_ends())
        return pause if self._clock.mono() + pause < end else None

    def restart_silence(self) -> None:
        """Count the head's silence from now: until now there was a connection."""
        self._silent_since = self._clock.mono()

    def _silence_ends(self) -> float:
        return self._silent_since + self._patience.connect_s
