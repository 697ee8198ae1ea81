"""The scheduler: owns the books of who holds which cores, and makes one plan at a time.

The books follow what jobs say they hold; a grant that is under way counts as held until the job
has answered. They are never stored: after a restart the jobs tell them again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedDict

from hpcsched.core.job.commands import GrantCores
from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.plan import plan
from hpcsched.core.scheduling.snapshot import Demand, NodeFree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.runtime.world import World

_log = logging.getLogger(__name__)


class SchedulerActor:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._nodes: dict[int, NodeFree] = {}
        self._ready: set[int] = set()
        self._held: dict[int, dict[int, tuple[int, ...]]] = {}
        self._on_node: dict[int, dict[int, tuple[int, ...]]] = {}
        self._pending: dict[int, dict[int, tuple[int, ...]]] = {}
        self._exclusive: set[int] = set()
        self._demands: SortedDict[Any, Demand] = SortedDict()
        self._keys: dict[int, tuple[Any, ...]] = {}
        self._why: dict[int, int] = {}
        self._scheduled = False

    def set_node(
        self, node_id: int, name: str, cores: int, memory_bytes: int, *, ready: bool
    ) -> None:
        """A node is there, has changed, or takes no work now."""
        node = NodeFree(node_id, name, cores, memory_bytes)
        self._nodes[node_id] = node
        if ready:
            self._ready.add(node_id)
        else:
            self._ready.discard(node_id)
        self._rebook(node_id)
        self._wake()

    def update(
        self, job_id: int, demand: Demand | None, held: Mapping[int, tuple[int, ...]]
    ) -> None:
        """A job says what it holds and what it wants."""
        before = self._held.get(job_id, {})
        now = dict(held)
        for node_id, cores in self._pending.get(job_id, {}).items():
            now[node_id] = tuple(sorted({*now.get(node_id, ()), *cores}))
        if demand is not None and demand.exclusive:
            self._exclusive.add(job_id)
        elif not now:
            self._exclusive.discard(job_id)
        if now != before:
            self._book(job_id, before, now)
        key = self._keys.pop(job_id, None)
        if key is not None:
            del self._demands[key]
        if demand is not None:
            key = (*demand.order, job_id)
            self._keys[job_id] = key
            self._demands[key] = demand
        else:
            self._why.pop(job_id, None)
        if demand is not None or now != before:
            self._wake()

    def _book(
        self,
        job_id: int,
        before: Mapping[int, tuple[int, ...]],
        now: dict[int, tuple[int, ...]],
    ) -> None:
        if now:
            self._held[job_id] = now
        else:
            self._held.pop(job_id, None)
        for node_id in {*before, *now}:
            if before.get(node_id) == now.get(node_id):
                continue
            jobs = self._on_node.setdefault(node_id, {})
            if node_id in now:
                jobs[job_id] = now[node_id]
            else:
                jobs.pop(job_id, None)
            self._rebook(node_id)

    def _rebook(self, node_id: int) -> None:
        node = self._nodes.get(node_id)
        if node is None:
            return
        jobs = self._on_node.get(node_id, {})
        taken = {core for cores in jobs.values() for core in cores}
        node.free = [core for core in range(node.cores) if core not in taken]
        node.jobs = set(jobs)
        node.exclusive = next((job for job in jobs if job in self._exclusive), 0)

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._world.loop.call_soon(self._pass)

    def _pass(self) -> None:
        self._scheduled = False
        if self._world.stopping or not self._demands:
            return
        nodes = [self._nodes[n] for n in self._ready if self._nodes[n].free]
        if not nodes:
            return
        everywhere = [self._nodes[n] for n in self._ready]
        demands = (d for d in self._demands.values() if d.job_id not in self._pending)
        result = plan(demands, everywhere, self._held)
        self._why.update(result.waiting)
        for job_id, grants in result.grants.items():
            self._why.pop(job_id, None)
            self._grant(job_id, grants)

    def _grant(self, job_id: int, grants: dict[int, tuple[int, ...]]) -> None:
        self._pending[job_id] = grants
        before = self._held.get(job_id, {})
        self._book(job_id, before, {**before, **grants})

        def answered(_: Any, error: BaseException | None) -> None:
            self._pending.pop(job_id, None)
            actor = self._world.jobs.get(job_id)
            if actor is not None and actor.job is not None:
                actor.resume()  # the job's own word on what it holds
            elif actor is None:
                self.update(job_id, None, {})
            else:
                _log.warning("job %d is being loaded again: %s", job_id, error)

        self._world.jobs.tell(job_id, GrantCores(cores=grants), answered)

    def why(self, job_id: int) -> PendingReason:
        """Return why a queued job has not started."""
        reason = self._why.get(job_id)
        if reason is not None:
            return PendingReason(reason)
        key = self._keys.get(job_id)
        if key is None:
            return PendingReason.NONE
        for other, demand in self._demands.items():
            if other >= key:
                break
            if not demand.running:
                if other[0] < key[0]:
                    return PendingReason.HIGHER_PRIORITY_JOB
                return PendingReason.JOB_SUBMITTED_EARLIER
        return PendingReason.NOT_ENOUGH_RESOURCE

    def cores_in_use(self, node_id: int) -> int:
        """Return how many cores of a node jobs hold."""
        jobs = self._on_node.get(node_id, {})
        return len({core for cores in jobs.values() for core in cores})

    def jobs_on(self, node_id: int) -> tuple[int, ...]:
        """Return the jobs that hold cores of a node."""
        return tuple(sorted(self._on_node.get(node_id, {})))

    def usable_cores(self, names: frozenset[str]) -> int:
        """Return the cores of all nodes that take work, or of those named."""
        return sum(
            self._nodes[n].cores
            for n in self._ready
            if not names or self._nodes[n].name in names
        )
