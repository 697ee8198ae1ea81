"""When reports are sent: at once, or together where nobody waits for them.

A frame costs agent and head more than what is in it, and each wakes them. While tasks
wait here nobody has to hear of an end for the next one to start, so reports may gather
for a moment. And that something has started, or was told to stop, may wait a moment for
its end, which many a task comes to by then and which goes at once. All of it is in the
journal by then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node_agent.supervisor.clock import Clock

GATHER_S = 0.04
"""Less than half of what the head sends ahead of free cores lasts."""

END_S = 0.003
"""How long, in seconds, something waits for an end that may follow, and an answer for
whatever goes with it."""


class Gathering:
    """Says whether what is to be sent may wait for more.

    Attributes:
        due: When it has to be sent, in seconds since boot; None: nothing waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end_by = self._answer_by = 0.0
        self.due: float | None = None

    def expect_end(self, now: float) -> None:
        """Take note that a task may be about to end: it has started, or was stopped."""
        self._end_by = self._end_by or now + END_S

    def answer(self) -> None:
        """Take note of an answer that says no more than that an order was heard."""
        self._answer_by = self._answer_by or self._clock.boot() + END_S

    def goes_on(
        self, messages: int, *, queued: int, live: int, tells_end: bool = False
    ) -> bool:
        """Say whether so many messages may wait; if so, ``due`` says how long.

        Args:
            messages: That are to be sent; 0: at once, if there are any.
            queued: Attempts that wait here. Where they are fewer than the messages, or
                than the processes, the head is asked for more.
            live: Attempts that have a process.
            tells_end: The head waits for one of the messages.
        """
        is_deep = queued >= max(live, messages)
        if messages and (is_deep or (self._end_by and not tells_end)):
            now = self._clock.boot()
            if is_deep:
                due = min(now + GATHER_S, self._answer_by or now + GATHER_S)
            else:
                due = self._end_by
            self.due = due if self.due is None else min(due, self.due)
            if now < self.due:
                return True
        self.due = None
        self._end_by = self._answer_by = 0.0
        return False
