"""What must be true every few seconds: of books, limits, and of going on at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.ahead import may_go_ahead
from hpcsched.core.job.states import JobState, NodeLoss
from hpcsched.core.job.waiting import held_back
from hpcsched.runtime.registry import decode_stored

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.store.memory_state import MemoryState
    from tests.support.sim.simulation import Simulation

EVERY_S = 7.0
#: How long jobs may take to hear that a node is lost, seconds.
HEAR_S = 30.0
#: A job that makes no progress for so long is stuck: longer than any lease.
STUCK_S = 900.0
#: A core may be idle for so long while the first in the queue waits, seconds.
IDLE_S = 60.0
#: What a limit may be overdrawn by: grace, kill, release, and starts of programs.
SLACK_S = 200.0


def _one_by_one(world: Any, other_id: int, job: Any) -> bool:
    """Does the node run them one after the other?

    One that waited there for a free core has got that of a job whose attempt failed for
    no fault of its own, and which tries again there.
    """
    other = world.jobs.get(other_id).job
    return may_go_ahead(other) and may_go_ahead(job)


def _is_exclusive(world: Any, job_id: int) -> bool:
    """Does the job have its nodes for itself, the cores that it does not use too?"""
    actor = world.jobs.get(job_id)
    job = None if actor is None else actor.job
    return job is not None and job.spec.is_exclusive


def _first_in_line(state: MemoryState) -> Job | None:
    """Return the job that is next to start.

    None: there is none, or it is not one that any free core would do for.
    """
    queued = (job for job in state.jobs.values() if job.row.state == JobState.QUEUED)
    ready = [job for one in queued if not held_back(job := decode_stored(one.stored()))]
    first = min(ready, key=lambda job: job.order, default=None)
    return first if first is not None and may_go_ahead(first) else None


class Audit:
    """See the module."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._fail = sim.checks.fail
        self._healed: float | None = None
        self._full_at = 0.0
        self._idle: tuple[int, int, float] = (0, 0, 0.0)

    def healed(self) -> None:
        """From now on nothing goes wrong."""
        self._healed = self._sim.loop.time()

    async def run(self) -> None:
        """Look now and then."""
        while True:
            await asyncio.sleep(EVERY_S)
            self._look()

    def _look(self) -> None:
        head, program = self._sim.site.head, self._sim.site.program
        if head is not None and program is not None and not program.frozen:
            self._cores(head)
            self._lost_nodes(head)
            self._sleepers(head)
            if self._healed is not None:
                self._idle_cores(head)
        if self._healed is not None:
            self._limits()

    def _cores(self, head: Any) -> None:
        """No core is held twice, and the scheduler knows who holds what (I6)."""
        world = head._world
        held: dict[int, dict[int, int]] = {}
        quiet = True
        for actor in world.jobs._actors.values():
            quiet = quiet and actor.idle
            if actor.job is None or not actor.idle:
                continue
            for use in actor.job.uses.values():
                for core in use.cores:
                    other = held.setdefault(use.node_id, {}).get(core)
                    if other is not None and not _one_by_one(world, other, actor.job):
                        who = f"jobs {other} and {actor.job_id}"
                        self._fail(f"I6: core {core} of {use.node_id} is held by {who}")
                    held[use.node_id][core] = actor.job_id
        if not quiet or world.scheduler.granting.pending:
            return
        for node in world.nodes:
            used = world.scheduler.cores_in_use(node.record.node_id)
            mine = len(held.get(node.record.node_id, ()))
            if used != mine:
                name = node.record.name
                self._fail(f"I6: {name}: {used} cores are booked, {mine} are held")

    def _sleepers(self, head: Any) -> None:
        """What waits on a node asleep is known to wait there (S3)."""
        scheduler, jobs = head._world.scheduler, head._world.jobs
        for lot in scheduler.waiting.lots():
            for job_id in lot.ids if lot.kind.ahead else ():
                there = scheduler.ahead.sent.get(job_id)
                if there != lot.kind.ahead and not jobs.is_changing(job_id):
                    self._fail(f"job {job_id} sleeps on {lot.kind.ahead}, not {there}")

    def _idle_cores(self, head: Any) -> None:
        """No core stays idle for which the first in the queue waits (I8)."""
        world, now = head._world, self._sim.loop.time()
        job = _first_in_line(self._sim.site.state)
        if job is None or world.settings.restore_mode:
            self._idle = (0, 0, 0.0)
            return
        idle = [
            node.record.node_id
            for node in world.nodes
            if node.ready
            and world.scheduler.cores_in_use(node.record.node_id) < node.record.cores
            and not any(_is_exclusive(world, one) for one in node.jobs)
        ]
        who, where, since = self._idle
        if who != job.job_id or where not in idle:
            self._idle = (job.job_id, idle[0], now) if idle else (0, 0, 0.0)
        elif now - since > IDLE_S:
            self._fail(
                f"I8: job {who} has waited for {now - since:.0f} s, a core of {where} "
                f"is idle; it waits on {job.ahead}"
            )

    def _lost_nodes(self, head: Any) -> None:
        """A job learns that its node is lost, and goes on elsewhere (T22)."""
        sim, world = self._sim, head._world
        if sim.site.faults.full:
            self._full_at = sim.loop.time()  # nothing can be told now, nor written
        for node in world.nodes:
            since = sim.checks.unreachable[node.record.name]
            if node.reachable or not since or not node.known_lost:
                continue
            told = max(since[-1], self._full_at)
            if since[-1] < self._born(head) or sim.loop.time() - told < HEAR_S:
                continue
            for job_id in node.jobs:
                actor = world.jobs.get(job_id)
                job = None if actor is None or not actor.idle else actor.job
                if job is not None and job.spec.node_loss is NodeLoss.RERUN:
                    self._fail(f"P4: job {job_id} waits for {node.record.name}")

    def _born(self, head: Any) -> float:
        return float(self._sim.site.served_since)

    def _limits(self) -> None:
        sim = self._sim
        now = sim.loop.time()
        assert self._healed is not None
        if now - self._healed < SLACK_S:
            return
        for node in sim.nodes:
            for process in node.host.living:
                if process.limit and now - process.born > process.limit + SLACK_S:
                    self._fail(f"P13: {process.key} lives on beyond its limit")

    # After everything is healed

    async def until_rest(self) -> None:
        """Wait until every job has ended.

        Raises:
            ViolationError: I8: one is stuck.
        """
        sim = self._sim
        while active := self._active():
            stuck = [one for one in active if self._is_stuck(one)]
            for job_id in [n for n in stuck if self._state(n) is JobState.CONFIGURING]:
                # A call that arrived once more, long after it, has made a draft of it.
                stuck.remove(job_id)
                await sim.workload.cancel(job_id)
            waiting = [one for one in stuck if self._state(one) is JobState.QUEUED]
            if stuck and len(waiting) < len(stuck):
                self._tell([one for one in stuck if one not in waiting])
            if waiting and len(waiting) == len(active):
                for job_id in waiting:
                    await sim.workload.give_up(job_id)
            await asyncio.sleep(3.0)

    def _active(self) -> list[int]:
        """Return the jobs that have not ended, as the head's disk has them."""
        jobs = self._sim.site.state.jobs
        return [job_id for job_id, job in jobs.items() if job.row.active]

    def _state(self, job_id: int) -> JobState:
        return JobState(self._sim.site.state.jobs[job_id].row.state)

    def _is_stuck(self, job_id: int) -> bool:
        sim = self._sim
        assert self._healed is not None
        row = sim.site.state.jobs[job_id].row
        now = sim.loop.time()
        limit = sim.workload.kinds.limits.get(row.name)
        began = sim.checks.began.get(job_id)
        if limit and began is not None and row.state != JobState.QUEUED:
            due = max(began, self._healed) + limit + SLACK_S
            if now > due:
                return True
        if any(p.key[0] == job_id for n in sim.nodes for p in n.host.living):
            return False
        last = max(sim.checks.last.get(job_id, 0.0), self._healed)
        queued = row.state == JobState.QUEUED
        return now - last > (sim.size.patience_s if queued else STUCK_S)

    def _tell(self, jobs: list[int]) -> None:
        """Say what is known of jobs that do not end although nothing is wrong."""
        sim = self._sim
        head = sim.site.head
        words = []
        for job_id in jobs:
            actor = None if head is None else head._world.jobs.get(job_id)
            job = None if actor is None else actor.job
            if job is None:
                words.append(f"job {job_id} is not there")
                continue
            uses = {n: (u.cores, u.phase.name) for n, u in job.uses.items()}
            tasks = [(r.task_id, list(r.counts)) for r in job.tasks]
            words.append(f"job {job_id} is {job.state.label}: {uses} {tasks}")
        living = [str(p.key) for n in sim.nodes for p in n.host.living]
        self._fail(f"I8: {words}; living: {living}")
