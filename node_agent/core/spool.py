"""Reports that the head has not acknowledged, in the order of the journal.

The supervisor's journal on disk is what survives; this is its image in memory, so that
a new stream begins with everything that the last one did not get rid of. A position of
the journal is acknowledged to the supervisor only when the head has acknowledged the
frame with its report, and every frame before (RELIABILITY, P5).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from node_agent.core.reports import End

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node_agent.core.reports import Report

#: Most reports in one frame, and about how many bytes: a frame stays below 1 MiB.
MOST_REPORTS: Final = 4096
MOST_BYTES: Final = 600 * 1024


class Spool:
    """The unacknowledged reports: those that wait, and those in frames on their way."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Report]] = deque()
        self._sent: deque[tuple[int, list[tuple[int, Report]]]] = deque()
        self._last_position = 0
        self._ends_waiting = 0

    def __len__(self) -> int:
        return len(self._waiting) + sum(len(batch) for _, batch in self._sent)

    @property
    def frames_in_flight(self) -> int:
        """Frames with reports that were sent on this stream and not acknowledged."""
        return len(self._sent)

    @property
    def has_waiting(self) -> bool:
        """Is there a report that this stream has not carried yet?"""
        return bool(self._waiting)

    @property
    def ends_waiting(self) -> int:
        """How many ends are among them."""
        return self._ends_waiting

    def add(self, position: int, report: Report) -> bool:
        """Keep a report of the journal; return False for one that is here already."""
        if position <= self._last_position:
            return False
        self._last_position = position
        self._append(position, report)
        return True

    def add_unjournalled(self, report: Report) -> None:
        """Keep a report that the journal does not have: a refusal.

        It is released with its neighbours, and lost with this process. Then the
        inventory tells the head that the attempt is not here.
        """
        self._append(self._last_position, report)

    def _append(self, position: int, report: Report) -> None:
        self._waiting.append((position, report))
        self._ends_waiting += isinstance(report, End)

    def take(self, seq: int) -> list[Report]:
        """Return what goes into the stream's next frame, whose number is given."""
        batch: list[tuple[int, Report]] = []
        room = MOST_BYTES
        while self._waiting and len(batch) < MOST_REPORTS:
            room -= self._waiting[0][1].size
            if room < 0 and batch:
                break
            batch.append(self._waiting.popleft())
        if batch:
            self._sent.append((seq, batch))
            self._ends_waiting -= _ends(batch)
        return [report for _, report in batch]

    def release(self, ack: int) -> int | None:
        """Forget what frames up to this number held.

        Returns:
            The position up to which the supervisor may forget as well; None where
            nothing was released.
        """
        position: int | None = None
        while self._sent and self._sent[0][0] <= ack:
            _, batch = self._sent.popleft()
            position = batch[-1][0]
        return position

    def rewind(self) -> None:
        """Let everything unacknowledged be sent again: a new stream begins."""
        while self._sent:
            _, batch = self._sent.pop()
            self._waiting.extendleft(reversed(batch))
            self._ends_waiting += _ends(batch)

    def clear(self) -> None:
        """Forget all: the supervisor is about to deliver its journal again."""
        self._waiting.clear()
        self._sent.clear()
        self._last_position = 0
        self._ends_waiting = 0

    def ends(self) -> Iterator[End]:
        """Yield the ends that the head may not know of."""
        for _, batch in self._sent:
            yield from (report for _, report in batch if isinstance(report, End))
        yield from (report for _, report in self._waiting if isinstance(report, End))


def _ends(batch: list[tuple[int, Report]]) -> int:
    return sum(isinstance(report, End) for _, report in batch)
