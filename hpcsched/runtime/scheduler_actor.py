"""The scheduler: owns the books of who holds which cores, and makes one plan at a time.

The books follow what jobs say they hold; a grant that is under way counts as held until
the job has answered. They are never stored: after a restart the jobs tell them again.
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
    from collections.abc import Iterator, Mapping, Sequence

    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)


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
        self._never: dict[int, PendingReason] = {}
        self._declined: set[int] = set()
        self._offers: dict[int, tuple[Demand, dict[int, tuple[int, ...]]]] = {}
        self._cores = 0
        self._scheduled = False

    def set_node(
        self,
        node_id: int,
        name: str,
        cores: int,
        memory_bytes: int,
        *,
        ready: bool,
        sockets: int = 1,
        groups: frozenset[str] = frozenset(),
    ) -> None:
        """A node is there, has changed, or takes no work now."""
        known = self._nodes.get(node_id)
        self._cores += cores - (0 if known is None else known.cores)
        self._nodes[node_id] = NodeFree(
            node_id,
            name,
            cores,
            memory_bytes,
            sockets=max(1, min(sockets, cores)),
            groups=groups,
        )
        if ready:
            self._ready.add(node_id)
        else:
            self._ready.discard(node_id)
        self._rebook(node_id)
        self._wake()

    def update(
        self,
        job_id: int,
        demand: Demand | None,
        held: Mapping[int, tuple[int, ...]],
        *,
        exclusive: bool = False,
    ) -> None:
        """A job says what it holds and what it wants.

        Args:
            job_id: The job.
            demand: What it wants; None: nothing.
            held: Node to cores that it holds; empty ones do not count.
            exclusive: Nobody else may use its nodes.
        """
        before = self._held.get(job_id, {})
        now = {node_id: cores for node_id, cores in held.items() if cores}
        for node_id, cores in self._pending.get(job_id, {}).items():
            now[node_id] = tuple(sorted({*now.get(node_id, ()), *cores}))
        if exclusive and (now or demand is not None):
            self._exclusive.add(job_id)
        else:
            self._exclusive.discard(job_id)
        if now != before:
            self._book(job_id, before, now)
        news = self._demand(job_id, demand)
        offer = self._offers.pop(job_id, None)
        if offer is not None and offer == (demand, now):
            # It took nothing of what it was given: it is not offered the same again.
            self._declined.add(job_id)
        elif news or now != before:
            self._declined.discard(job_id)
            self._wake()

    def _demand(self, job_id: int, demand: Demand | None) -> bool:
        """Note what a job wants; return whether that is news."""
        key = self._keys.pop(job_id, None)
        before = None if key is None else self._demands.pop(key)
        if demand is None:
            self._never.pop(job_id, None)
            self._declined.discard(job_id)
        else:
            key = (*demand.order, job_id)
            self._keys[job_id] = key
            self._demands[key] = demand
        return demand != before

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
        ready = [self._nodes[n] for n in self._ready]
        if not any(node.free for node in ready):
            return
        # The plan uses its nodes up; the books change with the grants.
        nodes = [node.copy() for node in ready]
        result = plan(self._waiting(), nodes, self._held)
        self._never = dict(result.never)
        for job_id, grants in result.grants.items():
            self._grant(job_id, grants)

    def _waiting(self) -> Iterator[Demand]:
        """Yield, in queue order, what may be granted now."""
        for demand in self._demands.values():
            job_id = demand.job_id
            if job_id not in self._pending and job_id not in self._declined:
                yield demand

    def _grant(self, job_id: int, grants: dict[int, tuple[int, ...]]) -> None:
        self._pending[job_id] = grants
        before = self._held.get(job_id, {})
        demand = self._demands[self._keys[job_id]]
        self._book(job_id, before, {**before, **grants})

        def answered(_: Any, error: BaseException | None) -> None:
            del self._pending[job_id]
            if error is None:
                # The job's own word on what it holds follows in the same turn.
                self._offers[job_id] = (demand, before)
                return
            log.warning("job %d: a grant was not taken: %s", job_id, error)
            self._demand(job_id, None)  # until it has been loaded again
            self._book(job_id, self._held.get(job_id, {}), dict(before))
            self._wake()

        self._world.jobs.tell(job_id, GrantCores(cores=grants), answered)

    def give(self, demand: Demand) -> dict[int, tuple[int, ...]]:
        """Book cores for a job that is about to be made, if nobody waits before it.

        A job that starts at once then needs one commit, not two. Whoever asked tells
        the outcome with ``given``.
        """
        if self._world.stopping or self._demands:
            return {}
        nodes = [self._nodes[n].copy() for n in self._ready]
        grants = plan([demand], nodes, self._held).grants.get(demand.job_id, {})
        if grants:
            self._pending[demand.job_id] = grants
            self._book(demand.job_id, {}, grants)
        return grants

    def given(self, job_id: int, *, kept: bool) -> None:
        """A job that was given cores exists now, or could not be made."""
        if self._pending.pop(job_id, None) is not None and not kept:
            self._book(job_id, self._held.get(job_id, {}), {})
            self._wake()

    def why(self, job_id: int) -> PendingReason:
        """Return why a queued job has not started."""
        if job_id in self._never:
            return self._never[job_id]
        key = self._keys.get(job_id)
        if key is None:
            return PendingReason.NONE
        for other, demand in self._demands.items():
            if other >= key:
                break
            if demand.running or demand.job_id in self._never:
                continue
            if other[0] < key[0]:
                return PendingReason.HIGHER_PRIORITY_JOB
            return PendingReason.JOB_SUBMITTED_EARLIER
        return PendingReason.NOT_ENOUGH_RESOURCE

    @property
    def cores(self) -> int:
        """Cores of all nodes that were ever heard of."""
        return self._cores

    def holders(self) -> list[int]:
        """Return the jobs that hold cores now."""
        return sorted(self._held)

    def cores_in_use(self, node_id: int) -> int:
        """Return how many cores of a node jobs hold."""
        jobs = self._on_node.get(node_id, {})
        return len({core for cores in jobs.values() for core in cores})

    def jobs_on(self, node_id: int) -> tuple[int, ...]:
        """Return the jobs that hold cores of a node."""
        return tuple(sorted(self._on_node.get(node_id, {})))

    def usable_cores(self, demand: Demand) -> Sequence[int]:
        """Return the cores of each node that takes work and that a job may use."""
        return [
            node.cores
            for node in (self._nodes[n] for n in self._ready)
            if node.name not in demand.excluded
            if not demand.requested or node.name in demand.requested
        ]
