"""What must be true at every step, at every commit, and at the end."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codec
from hpcsched.core.job.codes import SYSTEM_ERRORS
from hpcsched.core.job.events import EventName
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JOB_TERMINAL, JobState, NodeLoss
from hpcsched.core.job.table import LEGAL_JOB_MOVES
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TASK_TERMINAL, EndReason, TaskState, TaskType
from hpcsched.core.task.table import LEGAL_TASK_MOVES
from hpcsched.runtime.registry import decode_stored

if TYPE_CHECKING:
    from hpcsched.store.base import StoredEvent
    from hpcsched.store.memory_state import MemoryState
    from tests.support.sim.host import Process
    from tests.support.sim.programs import NodeSite
    from tests.support.sim.simulation import Simulation

AGAIN = {
    *(EventName.JOB_REQUEUED, EventName.TASKS_REQUEUED, EventName.JOB_CONFIGURED),
    EventName.JOB_REJECTED,
}
"""After these what had ended may begin again."""

LOST = SYSTEM_ERRORS[EndReason.STATUS_LOST][1]
REBOOTED = SYSTEM_ERRORS[EndReason.NODE_REBOOTED][1]


class ViolationError(AssertionError):
    """A promise was broken; the message begins with its number."""


class Checks:
    """See the module.

    Attributes:
        durable: Number of the newest committed event.
        unreachable: Per node the moments at which it was declared unreachable.
        last: Per job the moment of its newest event.
        began: Per job the moment at which it started, as of now.
        ends: Per job how often it has ended.
    """

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.durable = 0
        self.unreachable: dict[str, list[float]] = defaultdict(list)
        self._revisions: dict[int, int] = {}
        self._states: dict[int, int] = {}
        self._created: dict[int, float] = {}
        self.last: dict[int, float] = {}
        self.began: dict[int, float] = {}
        self.ends: Counter[int] = Counter()
        self._told: dict[tuple[int, int, int], int] = {}
        self._masters: dict[tuple[int, int], bool] = {}
        self._starts: dict[Any, Process] = {}
        self._canceled: dict[int, int] = {}
        self._again: dict[int, int] = {}
        self._term = 0

    def fail(self, what: str) -> None:
        raise ViolationError(what)

    # After every step in which something has gone wrong, or one too many

    def trouble(self) -> None:
        failures = self._sim.loop.failures
        if failures:
            self.fail(f"fault: {failures[0]}")
        self.fail("I8: the run does not come to its end")

    # At every start of a process

    def started(self, process: Process) -> None:
        sim = self._sim
        key = process.key
        sim.story.tell(f"{process.node}: {key} runs on cores {list(process.cores)}")
        if key in self._starts:
            self.fail(f"I2: {key} was started twice")
        self._starts[key] = process
        for node in sim.nodes:
            if node.host.violations:
                self.fail(f"I3, I6: {node.name}: {node.host.violations[0]}")
            if node.name == process.node:
                continue
            for other in node.host.living:
                if other.main and other.key[:3] == key[:3]:
                    self._check_overlap(other, process)

    def _check_overlap(self, other: Process, process: Process) -> None:
        """Two attempts of one task live: only where a node was given up (P4).

        The older one is stopped on sight, so it may even begin after the newer one: its
        start was on its way.
        """
        older = min(other, process, key=lambda one: one.key[3])
        both = f"{process.key} starts while {other.key} lives on {other.node}"
        job = self._sim.site.state.jobs.get(older.key[0])
        if job is None:
            return
        since = self._created.get(older.key[0], 0.0)
        if not [t for t in self.unreachable[older.node] if t >= since]:
            self.fail(f"I3: {both}")
        loss = codec.decode_spec(JobSpec, job.specs[0]).node_loss
        if loss is not NodeLoss.RERUN:
            self.fail(f"I3: {both}, with node_loss {loss.name}")

    # At every report of a supervisor

    def reported(self, node: NodeSite, text: bytes) -> None:
        """Compare what a supervisor says with what really was (I5)."""
        name, _, *key, body = json.loads(text)
        if name != "ended":
            return
        process = self._starts.get(tuple(key))
        reason = body["reason"]
        if reason == "EXITED" and (
            process is None or process.status != body["exit_code"] << 8
        ):
            self.fail(f"I5: {key} ended with {process}, and {body} is reported")
        if reason in {"NOT_STARTED", "START_FAILED"} and process is not None:
            self.fail(f"I5: {key} was started, and {reason} is reported")
        if reason == "STATUS_LOST" and not node.supervisor.reaper_deaths:
            self.fail(f"I5: the exit status of {key} is lost without a reason")
        if reason == "NODE_REBOOTED" and node.machine.boots == 1:
            self.fail(f"I5: {key} is said to have met a reboot of {node.name}")

    # At every commit

    def committed(self, state: MemoryState) -> None:
        for event in state.events_after(self.durable, 1 << 30, 0):
            if event.seq != self.durable + 1:
                self.fail(f"I7: event {event.seq} follows {self.durable}")
            self.durable = event.seq
            if event.job_id:
                self._job_event(state, event)
            else:
                self._node_event(event)
        term = state.counters.get("term", 0)
        if term < self._term:
            self.fail(f"I14: the term went from {self._term} to {term}")
        self._term = term
        self._check_books()

    def _check_books(self) -> None:
        head = self._sim.site.head
        if head is None:
            return
        self._sim.vigil.queues(head)
        scheduler = head._world.scheduler
        for node in head._world.nodes:
            used = scheduler.cores_in_use(node.record.node_id)
            if used > node.record.cores:
                self.fail(f"I6: {used} cores of {node.record.name} are booked")

    def _node_event(self, event: StoredEvent) -> None:
        body = codec.unpack(event.body)
        self._sim.story.tell(f"event {event.seq}: {body['n']} {body.get('d', '')}")
        self._sim.vigil.node_event(body)
        if body["n"] == "NodeUnreachable":
            self.unreachable[body["d"]].append(self._sim.loop.time())

    def _job_event(self, state: MemoryState, event: StoredEvent) -> None:
        job_id = event.job_id
        name, actor, text, changes = codec.decode_changes(event.body)
        told = [(c.task_id, c.ranges, c.previous, c.state) for c in changes]
        self._sim.story.tell(
            f"event {event.seq}: job {job_id} r{event.revision} {name} by {actor} "
            f"{text!r} {told}"
        )
        if event.revision != self._revisions.get(job_id, 0) + 1:
            self.fail(f"I7: job {job_id}: revision {event.revision} out of turn")
        self._revisions[job_id] = event.revision
        self._created.setdefault(job_id, self._sim.loop.time())
        self.last[job_id] = self._sim.loop.time()
        if name == EventName.JOB_STARTED:
            self.began[job_id] = self._sim.loop.time()
        spec = codec.decode_spec(JobSpec, state.jobs[job_id].specs[0])
        self._sim.vigil.job_event(job_id, name, actor, changes, spec)
        for change in changes:
            self._check_cause(actor, change)
            if change.task_id:
                self._task_change(state, job_id, name, change)
            else:
                self._job_change(job_id, name, change)
                self._count_end(state, job_id, change)
        starts = name in {EventName.TASKS_DISPATCHED, EventName.JOB_STARTED}
        if starts and job_id in self._canceled:
            self._check_dispatch(state, job_id, changes)
        if name == EventName.TASKS_LOST and text.startswith("node "):
            self.unreachable[text.split()[1]].append(self._sim.loop.time())
        if name in AGAIN:
            self._again[job_id] = event.seq
            self._canceled.pop(job_id, None)

    def _check_cause(self, actor: str, change: Any) -> None:
        """Is what the nodes are blamed for what happened to them (I5)?

        A task of several nodes that one of them has lost ends when the others have
        stopped: on the word of one of those.
        """
        wide = change.previous == TaskState.CANCELING
        nodes = [
            n for n in self._sim.nodes if wide or actor in {"system", f"node:{n.name}"}
        ]
        if change.text == LOST and not any(
            n.supervisor.reaper_deaths or n.machine.boots > 1 for n in nodes
        ):
            self.fail(f"I5: {change}: nobody has lost an exit status")
        if change.text == REBOOTED and all(n.machine.boots == 1 for n in nodes):
            self.fail(f"I5: {change}: no node was started again")

    def _check_dispatch(self, state: MemoryState, job_id: int, changes: Any) -> None:
        for change in changes:
            if not change.task_id:
                self.fail(f"I9: job {job_id} starts after its cancel")
            spec = self._spec(state, job_id, change.task_id)
            if spec.type is not TaskType.NODE_RELEASE:
                self.fail(f"I9: task {job_id}.{change.task_id} starts after its cancel")

    def _job_change(self, job_id: int, name: str, change: Any) -> None:
        known = self._states.get(job_id, 1)
        step = (change.previous, change.state)
        if change.previous and change.previous != known:
            self.fail(f"I7: job {job_id}: {known} was left out before {step}")
        if change.previous and step not in LEGAL_JOB_MOVES:
            self.fail(f"I4: job {job_id} went {step} by {name}")
        if change.previous in JOB_TERMINAL and name not in AGAIN:
            self.fail(f"I4: job {job_id} had ended, and went {step} by {name}")
        self._states[job_id] = change.state

    def _count_end(self, state: MemoryState, job_id: int, change: Any) -> None:
        """Count how often a job has ended; one that was never submitted has not."""
        if change.state not in JOB_TERMINAL:
            return
        if change.previous == JobState.CONFIGURING:
            job = decode_stored(state.jobs[job_id].stored())
            if job.submit_time is None:
                return
        self.ends[job_id] += 1

    def _spec(self, state: MemoryState, job_id: int, task_id: int) -> TaskSpec:
        return codec.decode_spec(TaskSpec, state.jobs[job_id].specs[task_id])

    def _is_master(self, state: MemoryState, job_id: int, task_id: int) -> bool:
        key = (job_id, task_id)
        if key not in self._masters:
            self._masters[key] = (
                self._spec(state, job_id, task_id).type is not TaskType.BASIC
            )
        return self._masters[key]

    def _task_change(
        self, state: MemoryState, job_id: int, name: str, change: Any
    ) -> None:
        master = self._is_master(state, job_id, change.task_id) and not change.ranges
        step = (change.previous, change.state)
        if not master and change.previous and step not in LEGAL_TASK_MOVES:
            self.fail(f"I4: task {job_id}.{change.task_id} went {step} by {name}")
        if not master and change.previous in TASK_TERMINAL and name not in AGAIN:
            self.fail(f"I4: task {job_id}.{change.task_id} had ended: {step} by {name}")
        for first, last in change.ranges or ((0, 0),):
            for instance in range(first, last + 1):
                key = (job_id, change.task_id, instance)
                known = self._told.get(key)
                if known is not None and change.previous not in (0, known):
                    self.fail(f"I7: task {key}: {known} was left out before {step}")
                self._told[key] = change.state

    def has_ended(self, job_id: int) -> bool:
        """Was a terminal state the last one that was told of the job?"""
        return self._states.get(job_id) in JOB_TERMINAL

    def canceled(self, job_id: int, since: int) -> None:
        """The cancel of a job was acknowledged: from here on nothing of it starts.

        Unless somebody has had it run again since the event at which it was asked for.
        """
        if self._again.get(job_id, 0) <= since:
            self._canceled[job_id] = self.durable
