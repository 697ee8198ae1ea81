"""The actor of one node: its session, its outgoing orders, its reachability.

A session is accepted, told what is expected of it, and heard out before anything is
dispatched to it: first the unacknowledged reports, then (at the first heartbeat) the
inventory is compared with what each job records. Orders of a session that is not in
step yet are not kept: they follow from the jobs' states, and the comparison sends them
again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import (
    EvictNode,
    ReviewNodes,
    SyncNode,
)
from hpcsched.core.job.environment import one_by_one
from hpcsched.core.orders import (
    DefineTask,
    EndJob,
    EndJobs,
    RecallTasks,
    SetGrant,
    StartAlike,
    StartTasks,
    StopTasks,
)
from hpcsched.core.reports import Ended
from hpcsched.core.usage import Usages
from hpcsched.runtime.frames import HeadFrame, frame_parts
from hpcsched.runtime.intake import Intake
from hpcsched.runtime.losing import tell_of_loss
from hpcsched.runtime.node_record import JobTypes, NodeState
from hpcsched.runtime.node_session import Session
from hpcsched.runtime.outgoing import Outgoing
from hpcsched.runtime.reading import Readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcsched.core.orders import Order
    from hpcsched.core.reports import LiveAttempt
    from hpcsched.runtime.frames import AgentFrame, AgentLink, Hello
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
MISSED: Final = 3
"""Heartbeats whose absence makes a stream suspect."""

KILL_FAILED: Final = "KILL_FAILED"
"""What a node calls the end of an attempt of which processes live on."""

_COMPARED: Final = (DefineTask, SetGrant, StartTasks, StopTasks, RecallTasks, EndJob)
"""Orders that follow from a job's state."""


class NodeActor:
    """See the module.

    Attributes:
        jobs: Those that hold something there, and whether they have to go when the node
            is to take no work.
        reachable: It was heard of lately.
        suspect: Its stream is silent for longer than it should be; it gets nothing new.
        orphans: Attempts that live there and that a restored store does not know.
        known_lost: Its jobs have been told that it is silent for too long.
        outgoing: Orders that are to be sent.
        usages: What it told of running tasks on this stream.
    """

    def __init__(self, world: World, record: NodeRecord) -> None:
        self._world = world
        self.record = record
        self.jobs: dict[int, bool] = {}
        self.session: Session | None = None
        self.reachable = False
        self.suspect = False
        self.known_lost = False
        self.running = 0
        self.orphans = 0
        self.load = self.clock_ahead_s = 0.0
        self.heard_wall: float | None = None
        self.readings = Readings()
        self.usages = Usages()
        self._heard = world.clock.mono()
        self.outgoing = Outgoing(world, self._send)

    @property
    def ready(self) -> bool:
        """Does it take work now?"""
        session = self.session
        record = self.record
        takes = record.state is NodeState.ONLINE and JobTypes.BATCH in record.job_types
        return takes and session is not None and session.synced and not self.suspect

    @property
    def busy(self) -> bool:
        """Is there work that draining waits for? Commands run whatever the state is."""
        return any(self.jobs.values())

    @property
    def drained(self) -> bool:
        """Is it to go Offline as soon as nothing holds anything there, which is now?"""
        return self.record.state is NodeState.DRAINING and not self.busy

    def connect(
        self, link: AgentLink, hello: Hello, *, rebooted: bool, beat_s: float
    ) -> Session:
        """Begin a session; the one before is over."""
        old = self.session
        session = Session(self, link, hello, rebooted=rebooted, beat_s=beat_s)
        session.intake = Intake(
            self._world,
            self.record,
            is_current=lambda: self.session is session,
            acknowledge=session.acknowledge,
            break_off=lambda error: self.break_off(session, error),
        )
        self.session = session
        self.outgoing.clear()
        self.usages.clear()
        if old is not None:
            self.readings.close()
            old.link.close(
                "STALE_SESSION", str(HpcError("STALE_SESSION", node=self.record.name))
            )
        self._touch()
        self._tell_scheduler()
        return session

    def begin_use(self, job_id: int, *, evictable: bool) -> None:
        """A job holds something there now.

        What was decided while the node was lost or taken out has missed the word to the
        jobs of that time: it gets its own.
        """
        self.jobs[job_id] = evictable
        if self.known_lost:
            self._lose((job_id,))
        elif evictable and self.record.state is not NodeState.ONLINE:
            self.evict(job_id)

    def closed(self, session: Session) -> None:
        """A stream has ended. The node may be back before anybody needs to know."""
        if self.session is not session:
            return
        self.session = None
        self.outgoing.clear()
        self.readings.close()
        self._tell_scheduler()

    def heard(self, session: Session, frame: AgentFrame) -> None:
        """Take a frame of the current session; late ones of an older are ignored."""
        if self.session is not session:
            return
        self._touch()
        if frame.seq > session.in_seq + 1:
            # An acknowledgement speaks of every frame before: none may be missing.
            problem = f"frame {frame.seq} came after {session.in_seq}"
            lost = HpcError("INVALID_FIELD", field="seq", problem=problem)
            self.break_off(session, lost)
            return
        self.usages.take(frame.usages)
        if frame.seq == session.in_seq + 1:
            session.in_seq = frame.seq
            self._note_ends(frame)
            session.intake.take(frame)
        for chunk in frame.outputs:
            self.readings.take(chunk)
        if (beat := frame.heartbeat) is not None:
            self.running, self.load = beat.running, beat.load
            self.clock_ahead_s = beat.time and beat.time - self._world.clock.wall()
            if not session.asked:
                self._sync(session)
            position = self._world.feed.last
            session.link.send(HeadFrame(heartbeat=True, position=position))

    @property
    def heard_at(self) -> float:
        """When it was last heard of, monotonic seconds."""
        return self._heard

    def _touch(self) -> None:
        clock = self._world.clock
        self._heard = clock.mono()
        self.heard_wall = clock.wall()
        self.known_lost = False
        if self.suspect:
            self.suspect = False
            self._tell_scheduler()
        if not self.reachable:
            self.reachable = True
            self._world.nodes.reach_changed(self, "NodeReachable", "it has connected")

    def _note_ends(self, frame: AgentFrame) -> None:
        """What has ended uses nothing any more, unless nothing can kill it."""
        for report in frame.reports:
            if isinstance(report, Ended):
                if self.usages.jobs:
                    self.usages.ended(report.job_id, report.task_id, report.instances)
                if report.details:
                    self._look_for_survivors(report)

    def _look_for_survivors(self, report: Ended) -> None:
        """Drain a node on which processes survive SIGKILL (P10).

        Their cores stay taken there, so nothing that was sent to them would ever start.
        """
        for at, detail in report.details.items():
            if detail.code == KILL_FAILED and self.record.state is NodeState.ONLINE:
                instance = report.instances[at]
                task = f"{report.job_id}.{report.task_id}"
                task += f".{instance}" if instance else ""
                why = f"processes of task {task} survive a kill"
                self._world.nodes.drain(self, why)

    def break_off(self, session: Session, error: HpcError) -> None:
        """End a session; the agent comes again."""
        session.link.close(error.reason, str(error))
        self.closed(session)

    def _sync(self, session: Session) -> None:
        """Compare what the node says with what jobs record (node-agent.md 9.1)."""
        session.asked = True
        self.orphans = 0
        live: dict[int, list[LiveAttempt]] = {}
        for attempt in session.hello.live:
            live.setdefault(attempt.job_id, []).append(attempt)
        jobs = session.uncompared = {*self.jobs, *live}
        for job_id in self._world.scheduler.ahead.in_order(jobs):
            command = SyncNode(
                node_id=self.record.node_id,
                node=self.record.name,
                live=live.get(job_id, []),
                rebooted=session.rebooted,
            )
            self._world.jobs.tell(job_id, command, self._compared(session, job_id))
        if not jobs:
            self._in_step(session)

    def _compared(
        self, session: Session, job_id: int
    ) -> Callable[[Any, BaseException | None], None]:
        def reply(answer: Any, error: BaseException | None) -> None:
            if self.session is not session:
                return
            session.uncompared.discard(job_id)
            if self._world.settings.restore_mode:
                session.leave_alone(job_id, answer, error)
            elif error is None:
                strangers, known = answer
                for task_id, instance, attempt in strangers:
                    self._queue(
                        StopTasks(
                            job_id=job_id,
                            task_id=task_id,
                            instances=[instance],
                            attempts=[attempt],
                            grace_ms=0,
                            reason="NodeNotUsableByJob",
                        )
                    )
                if not known:
                    self._queue(EndJob(job_id=job_id))
            elif isinstance(error, HpcError) and error.reason == "JOB_NOT_FOUND":
                self._queue(EndJob(job_id=job_id))
            elif isinstance(error, HpcError) and error.reason != "INTERNAL":
                # It has not learned what lives there: the agent begins again.
                self.break_off(session, error)
                return
            if not session.uncompared:
                self._in_step(session)

        return reply

    def _in_step(self, session: Session) -> None:
        session.synced = True
        self._world.nodes.compared(self, session.hello.boot_id)
        self._tell_scheduler()

    def _tell_scheduler(self) -> None:
        record = self.record
        self._world.scheduler.set_node(
            record.node_id,
            record.name,
            record.cores,
            record.memory_bytes,
            ready=self.ready,
            sockets=record.sockets,
            groups=frozenset(record.groups),
        )

    def send(self, order: Order) -> None:
        """Queue an order; of a job that has not been compared it is not needed.

        The comparison sends again what the job's state asks for. Sent before, a start
        could reach a boot of which the job then learns that the attempt is not there.
        """
        session = self.session
        if session is None or not session.asked:
            return
        if isinstance(order, (StartAlike, EndJobs)):
            if (whole := session.whole(order)) is not None:
                self._queue(whole)
            else:
                for one in one_by_one(order):
                    self.send(one)
            return
        if isinstance(order, _COMPARED) and order.job_id in session.uncompared:
            return
        self._queue(order)

    def _queue(self, order: Order) -> None:
        session = self.session
        if session is None:
            return
        if isinstance(order, DefineTask):
            known = session.defined.setdefault(order.job_id, set())
            if (order.task_id, order.definition) in known:
                return
            known.add((order.task_id, order.definition))
            order = replace(order, pin=self.record.pins(order))
        elif isinstance(order, EndJob):
            session.defined.pop(order.job_id, None)
        self.outgoing.put(order)

    def _send(self, orders: list[Order]) -> None:
        if self.session is not None:
            self.session.send(frame_parts(orders), self._world.feed.last)

    def check(self, limit_s: float) -> None:
        """Is it silent for too long? Then its tasks are lost (T22, T23)."""
        silent = self._world.clock.mono() - self._heard
        if self.session is not None:
            # It beats as it was told when it connected, whatever the settings are now.
            patience = MISSED * self.session.beat_s
            limit_s = max(limit_s, patience)
            if silent >= patience and not self.suspect:
                self.suspect = True
                self._tell_scheduler()
        if silent < limit_s or self.known_lost:
            return
        self.known_lost = True
        self.reachable = False
        self._world.nodes.reach_changed(
            self, "NodeUnreachable", f"nothing was heard for {silent:.0f} s"
        )
        if self.session is not None:
            lost = HpcError("NODE_UNREACHABLE", node=self.record.name)
            self.break_off(self.session, lost)
        self._lose(self.jobs)

    def forgive(self, seconds: float) -> None:
        """Do not count a silence in which the head was not listening."""
        self._heard += seconds

    def changed(self, before: NodeRecord) -> None:
        """The record is another one now: what does not belong there goes."""
        self._tell_scheduler()
        if before.affinity is not self.record.affinity and self.session is not None:
            self.session.defined.clear()  # what starts from now on is defined anew
        if not set(before.groups) <= set(self.record.groups):
            review = ReviewNodes(node_id=self.record.node_id, node=self.record.name)
            for job_id in sorted(self.jobs):
                self._world.jobs.post(job_id, review)
        if self.record.state is not NodeState.ONLINE:
            for job_id, evictable in sorted(self.jobs.items()):
                if evictable:
                    self.evict(job_id)
        if self.record.fenced and self.known_lost:
            self._lose(self.jobs)

    def _lose(self, jobs: Iterable[int]) -> None:
        for job_id in sorted(jobs):
            tell_of_loss(self._world, self, job_id)

    def compare_again(self, job_id: int) -> None:
        """Let a job hear what it has missed: the agent connects again, and is compared.

        What runs there goes on; only the stream is another one.
        """
        if job_id in self.jobs:
            self.begin_use(job_id, evictable=self.jobs[job_id])
        if self.session is not None:
            what = f"job {job_id} goes on, and is compared with what runs there"
            self.break_off(self.session, HpcError("QUEUE_FULL", what=what))

    def evict(self, job_id: int, why: str = "") -> None:
        """Stop what runs there (T24, T25); draining, only what has not started."""
        drain = self.record.state is NodeState.DRAINING and not why
        command = EvictNode(
            node_id=self.record.node_id, node=self.record.name, drain=drain, why=why
        )
        self._world.jobs.post(job_id, command)
