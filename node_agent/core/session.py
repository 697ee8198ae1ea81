"""Numbers and acknowledgements of one stream, in both directions.

Each direction numbers its frames from 1 and acknowledges the other's cumulatively
(ARCHITECTURE.md section 5). What acknowledged means differs: the head's word is that
the reports are durable; ours is that the supervisor has the orders.
"""

from __future__ import annotations

from typing import Final


class SequenceError(Exception):
    """The head broke the order of frames: the stream cannot be trusted any more."""


class StaleHeadError(Exception):
    """The head's term is lower than one that was seen: another has taken over."""


#: As the head counts: how often the cluster went back to an older store is above these
#: bits of a term (``hpcsched/store/progress.py``).
GENERATION_BITS: Final = 20

#: No head was started, and no store restored, so many times since it was heard last. A
#: head that says so is broken, or not what it seems: its term, once kept, would shut
#: out every right one.
MOST_STARTS: Final = 1 << 16
MOST_GENERATIONS: Final = 64


def check_term(term: int, seen: int) -> None:
    """Refuse the term of a head that does not follow from the highest that was seen.

    Raises:
        StaleHeadError: it is lower, or higher than can be.
    """
    if term < seen:
        raise StaleHeadError(f"the head's term is {term}; {seen} was seen")
    generations = (term >> GENERATION_BITS) - (seen >> GENERATION_BITS)
    is_far = term - seen > MOST_STARTS if not generations else False
    if is_far or generations > MOST_GENERATIONS:
        raise StaleHeadError(
            f"the head's term is {term}, which cannot follow {seen}: it is not obeyed. "
            "If it is right, remove the file term of the agent's directory"
        )


class Session:
    """One stream after its Welcome; a new stream has a new one."""

    def __init__(self) -> None:
        self._sent = 0
        self._acknowledged = 0
        self._seen = 0
        self._carried_out = 0
        self._told = 0

    @property
    def next_seq(self) -> int:
        """The number of the next numbered frame of ours."""
        return self._sent + 1

    def count_frame(self) -> None:
        """Note that the frame with ``next_seq`` was made."""
        self._sent += 1

    @property
    def all_acknowledged(self) -> bool:
        """Has the head acknowledged every numbered frame of ours?"""
        return self._acknowledged == self._sent

    def acknowledged(self, ack: int) -> bool:
        """Take the head's acknowledgement; return whether it is news.

        Raises:
            SequenceError: no such frame was sent on this stream.
        """
        if not 0 <= ack <= self._sent:
            raise SequenceError(
                f"the head acknowledges frame {ack}; {self._sent} were sent"
            )
        if ack <= self._acknowledged:
            return False
        self._acknowledged = ack
        return True

    def accept(self, seq: int) -> bool:
        """Return whether a numbered frame of the head is to be carried out.

        One that was seen before is not: it came twice.

        Raises:
            SequenceError: a frame before it is missing.
        """
        if seq <= self._seen:
            return False
        if seq != self._seen + 1:
            raise SequenceError(f"frame {seq} of the head came after {self._seen}")
        self._seen = seq
        return True

    def carried_out(self, seq: int) -> None:
        """Note that the supervisor has the orders of all frames up to this one."""
        self._carried_out = max(self._carried_out, seq)

    @property
    def ack_due(self) -> bool:
        """Is there anything that the head has not been told of?"""
        return self._carried_out > self._told

    def take_ack(self) -> int:
        """Return the acknowledgement for the frame that is sent now."""
        self._told = self._carried_out
        return self._told
