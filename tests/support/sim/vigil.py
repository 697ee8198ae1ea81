"""Who changed what (I13), how often tasks run again (I15), and what piles up (I12)."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.events import EventName
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from hpcsched.runtime import feed, job_actor, ledger, registry
from tests.support.head_bench import ANN, ROOT

if TYPE_CHECKING:
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.runtime.head import Head
    from tests.support.sim.loop import Program
    from tests.support.sim.simulation import Simulation

SYSTEM = "system"
SPARE = 32
"""Ended jobs that may be kept above the limit: they were busy when others ended."""
ASKED = {
    *(EventName.TASKS_RECALLED, EventName.TASKS_PREEMPTED, EventName.JOB_PREEMPTED),
    *(EventName.JOB_PREEMPTION_REQUESTED, EventName.JOB_RESIZED),
    EventName.NODE_DROPPED,
}
"""After these attempts come back that were given back, not lost."""
AFRESH = {
    *(EventName.JOB_REQUEUED, EventName.TASKS_REQUEUED, EventName.JOB_CONFIGURED),
    *(EventName.JOB_REQUEUE_REQUESTED, EventName.JOB_REJECTED),
}
"""After these the counting of reruns begins anew."""
RUNS = {TaskState.DISPATCHING, TaskState.RUNNING, TaskState.FINISHING}


class Vigil:
    """See the module."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._fail = sim.checks.fail
        self._reruns: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
        self._returns: Counter[int] = Counter()
        self._nodes = {f"node:{node.name}" for node in sim.nodes}

    # At every commit

    def node_event(self, body: Any) -> None:
        """Nodes are changed by administrators, by themselves, or by the head."""
        actor = body["a"]
        if actor not in {ROOT.user, SYSTEM, ""} | self._nodes:
            self._fail(f"I13: {body['n']} of {body.get('d')} by {actor}")

    def job_event(
        self, job_id: int, name: str, actor: str, changes: Any, spec: JobSpec
    ) -> None:
        """Jobs are changed by their owner, by administrators, nodes, or the head."""
        if actor not in {ANN.user, ROOT.user, SYSTEM} | self._nodes:
            self._fail(f"I13: {name} of job {job_id} by {actor!r}")
        if name in AFRESH:
            self._reruns[job_id].clear()
        if name in ASKED:
            self._returns[job_id] += 1
        for change in changes:
            again = change.state == TaskState.QUEUED and change.previous in RUNS
            if change.task_id and again and name not in AFRESH | ASKED:
                self._runs_again(job_id, change, spec)

    def _runs_again(self, job_id: int, change: Any, spec: JobSpec) -> None:
        """I15: by itself a task runs again as often as the cluster and its job say."""
        most = Settings().task_retries + spec.retry_limit + self._returns[job_id]
        for first, last in change.ranges or ((0, 0),):
            for instance in range(first, last + 1):
                key = (change.task_id, instance)
                self._reruns[job_id][key] += 1
                count = self._reruns[job_id][key]
                if count > most:
                    self._fail(f"I15: {job_id}.{key} runs for the {count + 1}th time")

    # At every commit as well: what is kept in memory has a limit

    def queues(self, head: Head) -> None:
        """I12: nothing that piles up is longer than its limit."""
        world = head._world
        for actor in world.jobs._actors.values():
            asked = sum(mail.reply is not None for mail in actor._mail)
            if asked > job_actor.MAIL_LIMIT:
                self._fail(f"I12: {asked} calls wait for job {actor.job_id}")
        if len(world.jobs._ended) > registry.ENDED_KEPT + SPARE:
            self._fail(f"I12: {len(world.jobs._ended)} ended jobs are kept")
        ledgers = head._ledgers
        if any(n > ledger.RUNNING_LIMIT for n in ledgers._by_user.values()):
            self._fail(f"I12: {ledgers._by_user} calls are being carried out")
        if len(world.feed._tail) - world.feed._start > feed.TAIL:
            self._fail(f"I12: {len(world.feed._tail)} events are kept for watchers")

    # When everything has ended

    def at_rest(self, head: Head) -> None:
        """I12: nothing waits any more."""
        world = head._world
        for actor in world.jobs._actors.values():
            if not actor.idle:
                self._fail(f"I12: job {actor.job_id} has something to do at rest")
        if head._ledgers._running:
            self._fail(f"I12: calls are being carried out: {head._ledgers._running}")

    def pending(self, program: Program) -> Counter[str]:
        """Return what waits in a program by name: at rest that does not grow.

        Watchers come and go; they are left out.
        """
        tasks = asyncio.all_tasks(self._sim.loop)
        mine = [task for task in tasks if getattr(task, "program", None) is program]
        names = [getattr(task.get_coro(), "__qualname__", "") for task in mine]
        return Counter(name for name in names if not name.startswith("Watcher"))
