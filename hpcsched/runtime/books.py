"""The scheduler's books: who holds which cores, which are free, who could give some up.

They follow what jobs say, are never stored, and keep ready what a plan asks for, so
that a plan in a cluster of ten thousand nodes need not go through all of them.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedDict

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.known import Known
from hpcsched.core.scheduling.snapshot import NodeFree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcsched.core.scheduling.snapshot import (
        Demand,
        Holder,
        Policy,
        ProcessSize,
    )

    Cores = dict[int, tuple[int, ...]]


class Books:
    """See the module.

    Attributes:
        nodes: Every node that was ever heard of.
        ready: Those that take work.
        open: Those of them with free cores, in the order of preference.
        held: Job to node to cores.
        holders: More about the jobs that hold something.
        fragile, limited, loose: Some of those, as ``Snapshot`` has them.
        backfilled: Those that run ahead of one that waits before them.
        capped: Those with a cap.
        claims: Node to the jobs that wait there for a core each, in that order, and to
            the cores that each of them may have.
        units: What all nodes have of each unit.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, NodeFree] = {}
        self.ready: dict[int, NodeFree] = {}
        self.open: SortedDict[Any, NodeFree] = SortedDict()
        self.held: dict[int, Cores] = {}
        self.holders: dict[int, Holder] = {}
        self.fragile: SortedDict[Any, Holder] = SortedDict()
        self.limited: SortedDict[Any, Holder] = SortedDict()
        self.loose: dict[int, Holder] = {}
        self.backfilled: dict[int, Holder] = {}
        self.capped: dict[int, Holder] = {}
        self.known = Known()
        self.units = dict.fromkeys(UnitType, 0)
        self._processes: dict[int, ProcessSize] = {}
        self.ready_cores = 0
        self.claims: dict[int, Cores] = {}
        self._on_node: dict[int, Cores] = {}
        self._exclusive: set[int] = set()

    def set_node(self, node: NodeFree, *, ready: bool) -> None:
        """A node is there, has changed, or takes no work now."""
        old = self.nodes.get(node.node_id)
        was_ready = node.node_id in self.ready
        if old is not None and _same(old, node) and ready == was_ready:
            return
        if old is not None:
            self._count(old, -1)
            self.open.pop(_preference(old), None)
            if self.ready.pop(node.node_id, None) is not None:
                self.ready_cores -= old.cores
        self._count(node, 1)
        self.nodes[node.node_id] = node
        if ready:
            self.ready[node.node_id] = node
            self.ready_cores += node.cores
        self.known.forget()
        self._rebook(node.node_id)

    def forget_node(self, node_id: int) -> None:
        """There is no such node any more; nobody holds anything there."""
        node = self.nodes.get(node_id)
        if node is not None:
            self.set_node(replace(node, cores=0), ready=False)
            self._count(self.nodes.pop(node_id), -1)
            self._on_node.pop(node_id, None)

    def _count(self, node: NodeFree, sign: int) -> None:
        self.units[UnitType.CORE] += sign * node.cores
        self.units[UnitType.SOCKET] += sign * node.sockets
        self.units[UnitType.NODE] += sign

    def mark_process(self, job_id: int, process: ProcessSize | None) -> None:
        """One process of this job takes so much memory; None: nobody said."""
        if process is not None:
            self._processes[job_id] = process
        elif self._processes:
            self._processes.pop(job_id, None)

    def mark_exclusive(self, job_id: int, *, exclusive: bool) -> None:
        """Nobody else may use the nodes of this job."""
        if exclusive:
            self._exclusive.add(job_id)
        else:
            self._exclusive.discard(job_id)

    def book(self, job_id: int, now: Cores) -> None:
        """A job holds these cores now."""
        before = self.held.get(job_id, {})
        if now:
            self.held[job_id] = now
        else:
            self.held.pop(job_id, None)
        for node_id in {*before, *now}:
            if before.get(node_id) == now.get(node_id):
                continue
            jobs = self._on_node.setdefault(node_id, {})
            if node_id in now:
                jobs[job_id] = now[node_id]
            else:
                jobs.pop(job_id, None)
            self._rebook(node_id)

    def claim(self, node_id: int, ids: Iterable[int], cores: tuple[int, ...]) -> None:
        """Jobs wait on a node, behind others, each for the first of these cores."""
        own = self.claims.setdefault(node_id, {})
        own.update(dict.fromkeys(ids, cores))
        self._rebook(node_id)

    def line_up(self, node_id: int, orders: Mapping[int, Any]) -> None:
        """The last of those that wait on a node may not be the last in order."""
        own = self.claims[node_id]
        *_, before, last = (None, *own)
        if before is not None and orders[before] > orders[last]:
            self.claims[node_id] = {
                n: own[n] for n in sorted(own, key=lambda n: orders[n])
            }
            self._rebook(node_id)

    def unclaim(self, node_id: int, ids: Iterable[int]) -> None:
        """Jobs wait on a node no longer."""
        own = self.claims.setdefault(node_id, {})
        for job_id in ids:
            own.pop(job_id, None)
        if not own:
            del self.claims[node_id]
        self._rebook(node_id)

    def pin(self, node_id: int, job_id: int, core: int) -> None:
        """One that waits on a node has started there, and has not said so itself."""
        own = self.claims.get(node_id, {})
        if core in own.get(job_id, ()):
            own[job_id] = (core,)
            self._rebook(node_id)

    def note(self, job_id: int, holder: Holder | None) -> bool:
        """Note more about a job that holds something; return whether it is news."""
        old = self.holders.get(job_id)
        if old is holder or old == holder:
            return False
        news = True
        if old is not None and holder is not None:
            # What it could use changes with every task; shares ask when it is time.
            news = replace(old, most=holder.most) != holder
        if old is not None:
            del self.holders[job_id]
            self.fragile.pop(old.fragility, None)
            self.limited.pop((old.end, job_id), None)
            self.loose.pop(job_id, None)
            self.backfilled.pop(job_id, None)
            self.capped.pop(job_id, None)
        if holder is not None:
            self.holders[job_id] = holder
            if holder.can_preempt:
                self.fragile[holder.fragility] = holder
            if holder.end < inf:
                self.limited[holder.end, job_id] = holder
            if holder.loosens:
                self.loose[job_id] = holder
            if holder.backfill:
                self.backfilled[job_id] = holder
            if holder.cap:
                self.capped[job_id] = holder
        return news

    def is_worth_a_plan(self, first: Demand | None, policy: Policy) -> bool:
        """Could a plan say anything? In a full cluster it mostly cannot.

        Args:
            first: What the first of the queue wants.
            policy: The one in force.
        """
        if self.loose or self.capped:
            return True
        if first is None:
            return False
        if self.open or policy.balanced:
            return True
        if policy.preemption == "None" or not self.fragile:
            return False
        lowest = self.fragile.peekitem(0)[1]
        return policy.guarantees is not None or lowest.priority < first.priority

    def in_use(self, node_id: int) -> int:
        """Return how many cores of a node jobs hold."""
        jobs = self._on_node.get(node_id, {})
        return len({core for cores in jobs.values() for core in cores})

    def held_on(self, node_id: int) -> Cores:
        """Return job to the cores of a node that it holds."""
        return self._on_node.get(node_id, {})

    def kept(self, node_id: int) -> set[int]:
        """Return the cores of a node that are free for those alone that wait there."""
        node = self.nodes.get(node_id)
        if node is None or node_id not in self.claims:
            return set()
        cores = set(range(node.cores)).difference(node.free)
        return cores.difference(*self._on_node.get(node_id, {}).values())

    def held_by_pool(self) -> dict[str, int]:
        """Return the cores that jobs hold by pool."""
        found: dict[str, int] = {}
        for job_id, holder in self.holders.items():
            held = sum(len(ids) for ids in self.held.get(job_id, {}).values())
            found[holder.pool] = found.get(holder.pool, 0) + held
        return found

    def _rebook(self, node_id: int) -> None:
        node = self.nodes.get(node_id)
        if node is None:
            return
        jobs = self._on_node.get(node_id, {})
        taken = {core for cores in jobs.values() for core in cores}
        node.free = [core for core in range(node.cores) if core not in taken]
        if node.free and node_id in self.claims:
            node.free = _unclaimed(node.free, self.claims[node_id].values())
        node.jobs = set(jobs)
        node.exclusive = next((job for job in jobs if job in self._exclusive), 0)
        node.booked = sum(
            process.booked(node, jobs[job_id])
            for job_id, process in self._processes.items()
            if job_id in jobs
        )
        if node.free and node_id in self.ready:
            self.open[_preference(node)] = node
        else:
            self.open.pop(_preference(node), None)


def _same(old: NodeFree, new: NodeFree) -> bool:
    """Is a node, apart from what is held there, what it was?"""
    own = (old.name, old.cores, old.memory_bytes, old.sockets, old.groups)
    return own == (new.name, new.cores, new.memory_bytes, new.sockets, new.groups)


def _unclaimed(free: list[int], claims: Iterable[tuple[int, ...]]) -> list[int]:
    """Return the cores that the node does not give to those that wait there.

    It starts them in the order in which they came, each on the lowest idle core of its
    own, if there is one (node_agent/supervisor/starting.py).
    """
    left = set(free)
    without: tuple[int, ...] = ()
    for cores in claims:
        if cores == without:
            continue
        idle = left.intersection(cores)
        if idle:
            left.remove(min(idle))
            if not left:
                break
        else:
            without = cores  # neighbours mostly wait for the same
    return sorted(left)


def _preference(node: NodeFree) -> tuple[int, int, int]:
    """Return its place among nodes, as ``fitting.preferred`` orders them."""
    return (-node.cores, -node.memory_bytes, node.node_id)
