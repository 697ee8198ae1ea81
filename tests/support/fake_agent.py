"""A node as the head sees it: an agent at the level of frames.

Its journal outlives cuts and restarts, as the real one does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcsched.core.reports import Ended, LiveAttempt
from hpcsched.runtime.frames import AgentFrame, Heartbeat, Hello, Resources
from tests.support.fake_node import FakeNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock, Timer
    from hpcsched.core.reports import Report
    from hpcsched.core.usage import TaskUsage
    from hpcsched.runtime.frames import AgentFront, AgentSession, HeadFrame


@dataclass
class Link:
    """The head's way to the agent; it ends with the stream."""

    agent: FakeAgent
    number: int
    open: bool = True
    frames: list[HeadFrame] = field(default_factory=list)
    closed_for: str = ""

    def send(self, frame: HeadFrame) -> None:
        self.frames.append(frame)
        if self.open:
            self.agent.later(lambda: self.agent.hear(self, frame))

    def close(self, reason: str, message: str) -> None:
        self.closed_for = self.closed_for or reason
        if self.open:
            self.agent.later(lambda: self.agent.hung_up(self, reason))


class FakeAgent(FakeNode):
    """See the module.

    Attributes:
        delay: Seconds that each frame takes, in both directions.
        gathers: Seconds for which reports wait for others, all in one frame.
        twice: Every frame with reports is sent twice.
        mute: It has frozen: nothing is sent or heard, and the stream stays.
        retry: Seconds until it connects again by itself; None: it does not.
        violations: What the head may never do, in words.
        refusals: Why the head closed streams, or would not have them.
    """

    def __init__(
        self,
        front: AgentFront,
        clock: Clock,
        name: str = "n1",
        cores: int = 2,
        **facts: Any,
    ) -> None:
        super().__init__(clock, name, cores)
        self.front = front
        self.facts = facts
        self.boots = 1
        self.instances = 1
        self.token = "*"  # noqa: S105  a name
        self.machine_id = f"machine-{name}"
        self.delay = self.gathers = 0.0
        self._gathering = False
        self.twice = False
        self.mute = False
        self.retry: float | None = 1.0
        self.violations: list[str] = []
        self.refusals: list[str] = []
        self.link: Link | None = None
        self.links: list[Link] = []
        self.session: AgentSession | None = None
        self.welcomed = False
        self.known: dict[str, Any] = {}
        self.acks: list[int] = []
        self._seq = 0
        self._heard_seq = 0
        self._beat: Timer | None = None

    # The stream

    @property
    def boot_id(self) -> str:
        return f"{self.name}-boot-{self.boots}"

    def later(self, call: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        if self.delay:
            self.clock.call_at(self.clock.mono() + self.delay, call)
        else:
            loop.call_soon(call)

    def hello(self, **changes: Any) -> Hello:
        ends = [r for r, _ in self.journal if isinstance(r, Ended)]
        named = {(r.job_id, r.task_id, r.instances[0], r.attempts[0]): r for r in ends}
        live = [
            LiveAttempt(*p.key, running=p.running, start_time=p.start, core=p.core)
            for p in (*self.live.values(), *self.queue)
        ]
        live += [
            LiveAttempt(*key, running=report.starts[0] > 0, start_time=report.starts[0])
            for key, report in named.items()
            if key not in self.live
        ]
        whole: dict[str, Any] = {
            "node": self.name,
            "boot_id": self.boot_id,
            "instance": f"{self.name}-{self.instances}",
            "protocol_min": 1,
            "protocol_max": 1,
            "agent_version": "test",
            "resources": Resources(cores=self.cores, **self.facts),
            "live": tuple(live),
            "machine_id": self.machine_id,
            "takes_alike": True,
            **self.known,
        }
        return Hello(**{**whole, **changes})

    async def connect(self, **changes: Any) -> None:
        """Open a stream; a refusal is raised."""
        link = Link(self, len(self.links))
        self.links.append(link)
        self.link, self.session, self.welcomed = link, None, False
        self._seq = self._heard_seq = 0
        self.journal = [(report, 0) for report, _ in self.journal]
        hello = self.hello(**changes)
        try:
            session = await self.front.connect(hello, link, token_node=self.token)
        except BaseException:
            if self.link is link:
                self._drop()
            raise
        if self.link is link:
            self.session = session

    def cut(self) -> None:
        """The stream breaks; both ends notice."""
        link, session = self.link, self.session
        self._drop()
        if link is not None:
            link.open = False
        if session is not None:
            session.closed()

    def _drop(self) -> None:
        self.link, self.session, self.welcomed = None, None, False
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def hung_up(self, link: Link, reason: str) -> None:
        self.refusals.append(reason)
        link.open = False
        if link is self.link:
            self.cut()
            if self.retry is not None:
                self.clock.call_at(self.clock.mono() + self.retry, self.reconnect)

    def reconnect(self) -> None:
        """Connect in the background, and again until it works."""

        async def work() -> None:
            try:
                await self.connect()
            except Exception as refusal:  # noqa: BLE001  whatever it is, try again
                self.refusals.append(str(refusal))
                if self.retry is not None:
                    self.clock.call_at(self.clock.mono() + self.retry, self.reconnect)

        if self.link is None:
            self._task = asyncio.get_running_loop().create_task(work())

    def restart(self) -> None:
        """The agent's process is another one; tasks and journal stay."""
        self.cut()
        self.instances += 1

    def reboot(self) -> None:
        """The machine boots: what ran is gone without a word; the journal stays."""
        self.cut()
        self.boots += 1
        self.instances += 1
        for process in self.live.values():
            if process.timer is not None:
                process.timer.cancel()
        self.live.clear()
        self.queue.clear()
        self.grants.clear()

    # What the head says

    def hear(self, link: Link, frame: HeadFrame) -> None:
        if link is not self.link or not link.open or self.mute:
            return
        if frame.welcome is not None:
            told = frame.welcome
            self.known = {"cluster": told.cluster, "run": told.run, "term": told.term}
            self._welcome(told.heartbeat_ms / 1000)
        if frame.position:
            self.known["position"] = frame.position
        if frame.ack:
            if frame.ack > self._seq:
                self.violations.append(f"acknowledges {frame.ack} of {self._seq}")
            if self.acks and self.acks[-1] >= frame.ack:
                self.violations.append(f"acknowledges {frame.ack} after {self.acks}")
            self.acks.append(frame.ack)
            self.journal = [
                (report, seq)
                for report, seq in self.journal
                if not 0 < seq <= frame.ack
            ]
        if frame.orders:
            if frame.seq != self._heard_seq + 1:
                self.violations.append(f"frame {frame.seq} after {self._heard_seq}")
            self._heard_seq = frame.seq
        for order in frame.orders:
            self.carry_out(order)
        self._pump()
        self.flush()

    def _welcome(self, beat_s: float) -> None:
        self.welcomed = True
        self.acks = []
        self.flush()
        self._heartbeat(beat_s)

    def _heartbeat(self, beat_s: float) -> None:
        beat = Heartbeat(running=len(self.live), queued=len(self.queue))
        self.send(AgentFrame(heartbeat=beat))
        due = self.clock.mono() + beat_s
        self._beat = self.clock.call_at(due, lambda: self._heartbeat(beat_s))

    def send(self, frame: AgentFrame) -> None:
        session, link = self.session, self.link
        if self.mute or link is None:
            return
        if session is None:  # the welcome came before connect() returned
            asyncio.get_running_loop().call_soon(lambda: self._send_on(link, frame))
            return
        self._send_on(link, frame)

    def _send_on(self, link: Link, frame: AgentFrame) -> None:
        if link is not self.link or not link.open:
            return
        session = self.session
        assert session is not None
        for _ in range(2 if self.twice and frame.reports else 1):
            self.later(lambda: session.receive(frame) if link.open else None)

    def flush(self) -> None:
        """Send what the journal has and this stream has not."""
        if not self.gathers:
            self._flush_now()
        elif not self._gathering:
            self._gathering = True
            self.clock.call_at(self.clock.mono() + self.gathers, self._flush_now)

    def _flush_now(self) -> None:
        self._gathering = False
        fresh = [report for report, seq in self.journal if not seq]
        if not fresh or not self.welcomed or self.mute:
            return
        self._seq += 1
        self.journal = [(r, seq or self._seq) for r, seq in self.journal]
        self.send(AgentFrame(seq=self._seq, reports=tuple(fresh)))

    def say(self, report: Report) -> None:
        """Report something, true or not."""
        self.journal.append((report, 0))
        self.flush()

    def use(self, *used: TaskUsage) -> None:
        """Say what running tasks use."""
        self.send(AgentFrame(usages=used))
