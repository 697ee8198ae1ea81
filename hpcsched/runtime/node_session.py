"""What the head keeps of one stream of a node."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.core.orders import EndJobs
from hpcsched.runtime.frames import HeadFrame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.orders import Order, StartAlike
    from hpcsched.runtime.frames import AgentFrame, AgentLink, Hello
    from hpcsched.runtime.intake import Intake
    from hpcsched.runtime.node_actor import NodeActor

log = logging.getLogger(__name__)


class Session:
    """One stream of a node.

    Attributes:
        asked: The comparison with the records has begun; ``synced``: it is over.
        uncompared: Jobs of which it is still to come.
        out_seq: Numbered frames that were sent; ``in_seq``: that were taken.
        intake: Takes its reports.
        mute: It was asked for a job, and nothing has come from it since.
        defined: What the node has been told of tasks: by job, (task, definition).
    """

    intake: Intake

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
        self.mute = False
        self.out_seq = 0
        self.in_seq = 0
        self.uncompared: set[int] = set()
        self.defined: dict[int, set[tuple[int, int]]] = {}
        self._ack = 0

    def receive(self, frame: AgentFrame) -> None:
        """Take a frame. Never raises."""
        self.mute = False
        try:
            self.node.heard(self, frame)
        except Exception:
            # Its reports are not lost: unacknowledged, they come again.
            log.exception("node %s: a frame could not be taken", self.node.record.name)

    def closed(self) -> None:
        """The stream has ended, for whatever reason."""
        self.node.closed(self)

    def acknowledge(self, seq: int) -> None:
        """Tell the agent how far its reports are durable.

        In the frame with the orders that follow from them, or with the next ones if
        they come in time: a frame costs each end a few times what is in it. Of two
        frames the agent hears at once, as it would begin to gather its reports.
        """
        if self._ack:
            self.node.outgoing.soon()
        else:
            self.node.outgoing.in_time()
        self._ack = seq

    def send(self, parts: Iterable[tuple[Order, ...]], position: int) -> None:
        """Send frames of orders, what is to be acknowledged, and how far we are."""
        for orders in parts:
            self.out_seq += 1
            ack, self._ack = self._ack, 0
            self.link.send(
                HeadFrame(seq=self.out_seq, ack=ack, orders=orders, position=position)
            )
        if self._ack:
            ack, self._ack = self._ack, 0
            self.link.send(HeadFrame(ack=ack))

    def whole(self, order: StartAlike | EndJobs) -> StartAlike | EndJobs | None:
        """Return an order for several jobs as it is sent; None: only one by one."""
        if not self.hello.takes_alike or not self.uncompared.isdisjoint(order.job_ids):
            return None
        if isinstance(order, EndJobs):
            for job_id in order.job_ids:
                self.defined.pop(job_id, None)
            return order
        define = order.define
        for job_id in order.job_ids:
            known = self.defined.setdefault(job_id, set())
            known.add((define.task_id, define.definition))
        pin = self.node.record.pins(define)
        return replace(order, define=replace(define, pin=pin))

    def leave_alone(
        self, job_id: int, answer: Any, error: BaseException | None
    ) -> None:
        """Count what lives there and a restored store does not know.

        It is stopped when restore mode ends: then every agent connects anew.
        """
        if error is None:
            strangers, _ = answer
            count = len(strangers)
        else:
            count = sum(one.job_id == job_id for one in self.hello.live)
        if count:
            self.node.orphans += count
            log.warning(
                "node %s: %d attempts of job %d are not in the restored store; they "
                "are stopped when restore mode ends",
                *(self.node.record.name, count, job_id),
            )
