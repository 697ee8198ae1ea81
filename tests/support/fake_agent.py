"""A node as the head sees it: an agent at the level of frames, with a model behind it.

The model starts, runs and ends attempts by a ManualClock. Its journal outlives cuts and
restarts, as the real one does. What really happened is on record for checks: every start
of every attempt, every exit code, every moment at which two processes had one core.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcsched.core import orders as o
from hpcsched.core.reports import EndDetail, Ended, LiveAttempt, Report, Started
from hpcsched.core.task.states import EndReason
from hpcsched.runtime.frames import (
    AgentFrame,
    Heartbeat,
    Hello,
    OutputChunk,
    Resources,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock, Timer
    from hpcsched.runtime.frames import AgentFront, AgentSession, HeadFrame

Key = tuple[int, int, int, int]
"""(job, task, instance, attempt)."""


@dataclass
class Process:
    """An attempt that waits for a core, or runs."""

    key: Key
    cores: int
    value: int = 0
    core: int = -1
    taken: tuple[int, ...] = ()
    start: float = 0.0
    code: int = 0
    timer: Timer | None = None

    @property
    def running(self) -> bool:
        return self.start > 0


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


class FakeAgent:
    """See the module.

    Attributes:
        plan: Says how long an attempt runs, and how it exits; None: until it is stopped.
        delay: Seconds that each frame takes, in both directions.
        twice: Every frame with reports is sent twice.
        mute: It has frozen: nothing is sent, nothing is heard, and the stream stays.
        retry: Seconds until it connects again by itself; None: it does not.
        silent_starts: Starts are not reported, only ends.
        starts: How often each attempt was really started.
        exits: Exit code of each attempt that ended by itself.
        overlaps: (time, core, attempts) where two processes had one core.
        violations: What the head may never do, in words.
        refusals: Why the head closed streams, or would not have them.
        ended_jobs, purged_jobs: EndJob and PurgeJob, in order.
    """

    def __init__(
        self,
        front: AgentFront,
        clock: Clock,
        name: str = "n1",
        cores: int = 2,
        **facts: Any,
    ) -> None:
        self.front = front
        self.clock = clock
        self.name = name
        self.cores = cores
        self.facts = facts
        self.boots = 1
        self.instances = 1
        self.token = "*"
        self.machine_id = f"machine-{name}"
        self.plan: Callable[[Process], tuple[float, int] | None] = lambda _: (1.0, 0)
        self.delay = 0.0
        self.twice = False
        self.mute = False
        self.retry: float | None = 1.0
        self.silent_starts = False
        self.starts: Counter[Key] = Counter()
        self.exits: dict[Key, int] = {}
        self.overlaps: list[tuple[float, int, Key, Key]] = []
        self.violations: list[str] = []
        self.refusals: list[str] = []
        self.ended_jobs: list[int] = []
        self.purged_jobs: list[int] = []
        self.orders: list[o.Order] = []
        self.reads: list[o.ReadOutput] = []
        self.output: dict[tuple[Key, bool], bytes] = {}
        self.serve_limit: int | None = None
        self.seen: dict[tuple[int, int, int], int] = {}
        self.grants: dict[int, tuple[int, ...]] = {}
        self.queue: list[Process] = []
        self.live: dict[Key, Process] = {}
        self.journal: list[tuple[Report, int]] = []
        self.link: Link | None = None
        self.links: list[Link] = []
        self.session: AgentSession | None = None
        self.welcomed = False
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
            self._welcome(frame.welcome.heartbeat_ms / 1000)
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

    # What the node does

    def carry_out(self, order: o.Order) -> None:
        self.orders.append(order)
        match order:
            case o.StartTasks():
                self._start_tasks(order)
            case o.StopTasks():
                self._stop_tasks(order)
            case o.SetGrant():
                self.grants[order.job_id] = order.cores
            case o.EndJob():
                self._end_job(order.job_id)
            case o.PurgeJob():
                self.purged_jobs.append(order.job_id)
            case o.ReadOutput():
                self.reads.append(order)
                self._serve(order)
            case _:
                pass

    def _start_tasks(self, order: o.StartTasks) -> None:
        columns = zip(order.instances, order.attempts, order.values, strict=True)
        for instance, attempt, value in columns:
            self._order(order, instance, attempt, value)

    def _stop_tasks(self, order: o.StopTasks) -> None:
        for instance, attempt in zip(order.instances, order.attempts, strict=True):
            key = (order.job_id, order.task_id, instance, attempt)
            self._stop(key, order.grace_ms / 1000)

    def _end_job(self, job_id: int) -> None:
        self.ended_jobs.append(job_id)
        self.grants.pop(job_id, None)
        for process in [*self.live.values(), *self.queue]:
            if process.key[0] == job_id:
                self._stop(process.key, 0)

    def _order(
        self, order: o.StartTasks, instance: int, attempt: int, value: int
    ) -> None:
        task = (order.job_id, order.task_id, instance)
        if attempt <= self.seen.get(task, 0):
            return  # seen, or older
        self.seen[task] = attempt
        self.queue.append(Process((*task, attempt), order.cores, value))

    def _pump(self) -> None:
        used = {core for p in self.live.values() for core in p.taken}
        waiting = []
        blocked: set[int] = set()
        for process in self.queue:
            job_id = process.key[0]
            free = [c for c in self.grants.get(job_id, ()) if c not in used]
            if job_id in blocked or len(free) < process.cores:
                blocked.add(job_id)
                waiting.append(process)
                continue
            process.taken = tuple(free[: process.cores])
            used.update(process.taken)
            self._start(process)
        self.queue = waiting

    def _start(self, process: Process) -> None:
        for other in self.live.values():
            for core in set(other.taken) & set(process.taken):
                now = self.clock.mono()
                self.overlaps.append((now, core, other.key, process.key))
        self.starts[process.key] += 1
        self.live[process.key] = process
        process.core = process.taken[0] if process.taken else -1
        process.start = self.clock.wall()
        job_id, task_id, instance, attempt = process.key
        if not self.silent_starts:
            started = Started(
                job_id=job_id,
                task_id=task_id,
                instances=[instance],
                attempts=[attempt],
                times=[process.start],
                cores=[process.core],
            )
            self.journal.append((started, 0))
        planned = self.plan(process)
        if planned is not None:
            seconds, process.code = planned
            process.timer = self.clock.call_at(
                self.clock.mono() + seconds, lambda: self.exit(process.key)
            )

    def exit(
        self,
        key: Key,
        code: int | None = None,
        reason: EndReason = EndReason.EXITED,
        output: str = "",
    ) -> None:
        """A process ends."""
        process = self.live.pop(key, None)
        if process is None:
            return
        if process.timer is not None:
            process.timer.cancel()
        exit_code = process.code if code is None else code
        self.exits[key] = exit_code
        self.journal.append((ended(process, reason, exit_code, self, output), 0))
        self._pump()
        self.flush()

    def _stop(self, key: Key, grace: float) -> None:
        for process in self.queue:
            if process.key == key:
                self.queue.remove(process)
                report = ended(process, EndReason.CANCELED, -1, self)
                self.journal.append((report, 0))
                return
        if key not in self.live:
            return
        if grace and self.live[key].value >= 0:
            self.exit(key, 143, EndReason.CANCELED)
        else:
            self.exit(key, 137, EndReason.KILLED)

    def _serve(self, order: o.ReadOutput) -> None:
        key = (order.job_id, order.task_id, order.instance_id, order.attempt)
        data = self.output.get((key, order.stderr))
        if data is None and key in self.starts:
            data = b""
        if data is None:
            gone = OutputChunk(
                read_id=order.read_id, offset=0, data=b"", eof=True, error="gone"
            )
            self.send(AgentFrame(outputs=(gone,)))
            return
        start = order.offset if order.offset >= 0 else max(0, len(data) + order.offset)
        part = data[start : start + (order.limit or len(data))]
        chunks = [
            OutputChunk(
                read_id=order.read_id, offset=start + at, data=part[at : at + 65536]
            )
            for at in range(0, len(part), 65536)
        ]
        chunks.append(
            OutputChunk(
                read_id=order.read_id, offset=start + len(part), data=b"", eof=True
            )
        )
        self.send(AgentFrame(outputs=tuple(chunks[: self.serve_limit])))


def ended(
    process: Process,
    reason: EndReason,
    code: int,
    agent: FakeAgent,
    output: str = "",
) -> Ended:
    job_id, task_id, instance, attempt = process.key
    return Ended(
        job_id=job_id,
        task_id=task_id,
        instances=[instance],
        attempts=[attempt],
        reasons=[int(reason)],
        exit_codes=[code],
        starts=[process.start],
        ends=[agent.clock.wall()],
        cores=[process.core],
        user_ms=[1],
        kernel_ms=[1],
        max_rss_kib=[100],
        details={0: EndDetail(output=output)} if output else {},
    )
