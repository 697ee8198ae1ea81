"""What the head keeps of one stream of a node."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from hpcsched.runtime.frames import HeadFrame

if TYPE_CHECKING:
    from hpcsched.runtime.frames import AgentFrame, AgentLink, Hello
    from hpcsched.runtime.node_actor import NodeActor

log = logging.getLogger(__name__)


class Session:
    """One stream of a node.

    Attributes:
        asked: The comparison with the records has begun; ``synced``: it is over.
        uncompared: Jobs of which it is still to come.
        out_seq: Numbered frames that were sent; ``in_seq``: that were taken.
        defined: What the node has been told of tasks: job, task, definition.
    """

    def __init__(
        self,
        node: NodeActor,
        link: AgentLink,
        hello: Hello,
        *,
        rebooted: bool,
        beat_s: float,
    ) -> None:
        self.node = node
        self.link = link
        self.hello = hello
        self.rebooted = rebooted
        self.beat_s = beat_s
        self.asked = False
        self.synced = False
        self.out_seq = 0
        self.in_seq = 0
        self.uncompared: set[int] = set()
        self.defined: set[tuple[int, int, int]] = set()
        self._unacked: deque[list[int]] = deque()

    def receive(self, frame: AgentFrame) -> None:
        """Take a frame. Never raises."""
        try:
            self.node.heard(self, frame)
        except Exception:
            # Its reports are not lost: unacknowledged, they come again.
            log.exception("node %s: a frame could not be taken", self.node.record.name)

    def closed(self) -> None:
        """The stream has ended, for whatever reason."""
        self.node.closed(self)

    def expect(self, seq: int, answers: int) -> list[int]:
        """Note that a frame is acknowledged after so many answers of jobs."""
        entry = [seq, answers]
        self._unacked.append(entry)
        return entry

    def acknowledge(self) -> None:
        """Tell the agent how far its reports are durable."""
        newest = 0
        while self._unacked and self._unacked[0][1] <= 0:
            newest = self._unacked.popleft()[0]
        if newest:
            self.link.send(HeadFrame(ack=newest))
