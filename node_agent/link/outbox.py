"""What goes into the next frame, and when.

Everything that has gathered goes at once, and nothing waits to fill a frame, unless
nobody waits for it. A frame costs some 0.4 ms on each end, whatever it holds. So while
the node has a deep queue of attempts, or the head has not acknowledged the last frames,
reports gather for a few milliseconds, and for longer as long as the queue is long
beside what has ended; and an acknowledgement waits a little for a frame to travel with.
That something has started waits for a moment as well, unless the supervisor has waited:
many a task is over by then, and its end, which goes at once, tells its start too. Where
cores may soon be without work, reports go at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from node_agent.core.frames import AgentFrame
from node_agent.core.reports import in_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock, Timer
    from node_agent.core.session import Session
    from node_agent.link.node import Node
    from node_agent.outputs import Outputs

#: Frames with reports that may be unacknowledged before further reports are gathered.
FREE_FRAMES: Final = 2
#: How long they are gathered, seconds.
GATHER_S: Final = 0.010

#: How long at the most, as long as far more attempts wait than have ended, seconds.
LONGEST_S: Final = 0.030

#: How long a start waits for the end of its task, seconds.
START_S: Final = 0.003

#: How long an acknowledgement waits for a frame to travel with, seconds.
ACK_DELAY_S: Final = 0.02


class Outbox:
    """Makes the frames of one stream.

    Attributes:
        takes_lived: The head is told of tasks of several jobs together.
    """

    def __init__(
        self,
        node: Node,
        session: Session,
        outputs: Outputs,
        clock: Clock,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._node = node
        self._session = session
        self._outputs = outputs
        self._clock = clock
        self._wake = wake
        self._beat_due = False
        self._in_step_due = False
        self._gathered = self._gathering = False
        self._gather_until = 0.0
        self._ack_ripe = False
        self._ack_timer: Timer | None = None
        self._leaving = False
        self.goodbye_sent = False
        self.takes_lived = False

    def beat(self) -> None:
        """Send a heartbeat next."""
        self._beat_due = True
        self._wake()

    def say_in_step(self) -> None:
        """Send a heartbeat as soon as everything unacknowledged has been sent again.

        The head compares the node's inventory with its records at the first heartbeat
        of a stream: by then it must have every result that it has not acknowledged.
        """
        self._in_step_due = True
        self._wake()

    def leave(self) -> None:
        """Send what waits, and then a goodbye."""
        self._leaving = True
        self._wake()

    def next_frame(self) -> AgentFrame | None:
        """Return what has gathered; None if that is nothing, or not yet enough."""
        session, spool = self._session, self._node.spool
        seq = session.next_seq
        reports = spool.take(seq) if self._may_report() else []
        goodbye = self._leaving and not self.goodbye_sent and not spool.has_waiting
        if self._in_step_due and not spool.has_waiting:
            self._in_step_due, self._beat_due = False, True
        numbered = bool(reports) or goodbye
        chunks = self._outputs.take()
        usages = self._node.usages.news()
        due = numbered or chunks or usages or self._beat_due
        if not (due or self._may_acknowledge()):
            return None
        if numbered:
            session.count_frame()
        self.goodbye_sent |= goodbye
        load = self._node.load() if self._beat_due else None
        self._beat_due = self._ack_ripe = False
        if self._ack_timer is not None:  # it has travelled with this frame
            self._ack_timer.cancel()
            self._ack_timer = None
        return AgentFrame(
            seq=seq if numbered else 0,
            ack=session.take_ack(),
            reports=in_columns(reports, lived=self.takes_lived),
            load=load,
            chunks=chunks,
            usages=usages,
            goodbye=goodbye,
        )

    def _may_report(self) -> bool:
        spool = self._node.spool
        if not spool.has_waiting:
            return False
        busy = self._node.has_deep_queue or spool.frames_in_flight >= FREE_FRAMES
        at_once = self._node.starts_have_waited or spool.ends_waiting
        waits = GATHER_S if busy else 0.0 if at_once else START_S
        hurried = self._leaving or self._in_step_due
        if not waits or hurried or self._gathered:
            self._gathered = False
            return True
        if not self._gathering:
            self._gathering = True
            now = self._clock.mono()
            self._gather_until = now + LONGEST_S
            self._clock.call_at(now + waits, self._have_gathered)
        return False

    def _have_gathered(self) -> None:
        spool, due = self._node.spool, self._clock.mono() + GATHER_S
        if due <= self._gather_until and self._node.has_plenty(spool.ends_waiting):
            self._clock.call_at(due, self._have_gathered)
            return
        self._gathering = False
        self._gathered = spool.has_waiting
        self._wake()

    def _may_acknowledge(self) -> bool:
        if not self._session.ack_due:
            return False
        if not self._ack_ripe and self._ack_timer is None:
            due = self._clock.mono() + ACK_DELAY_S
            self._ack_timer = self._clock.call_at(due, self._ripen_ack)
        return self._ack_ripe

    def _ripen_ack(self) -> None:
        self._ack_timer = None
        self._ack_ripe = True
        self._wake()
