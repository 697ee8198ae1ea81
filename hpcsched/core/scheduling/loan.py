"""Nodes as they would be if some jobs gave their cores back.

Reservations ask it about those whose time is up by then, preemption about those that
could be made to go. Nothing of it is booked anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.scheduling.fitting import fit
from hpcsched.core.scheduling.preference import preferred

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.room import Room
    from hpcsched.core.scheduling.snapshot import Cores, Demand, NodeFree, Snapshot

    Promised = Collection[tuple[int, int]]


class Loan:
    """See the module.

    Attributes:
        total: Free cores, those that are lent included.
        lifted: Node to the job that had it alone and would leave it.
        owner: (node, core) to the job that holds it now, for those that are lent.
    """

    def __init__(self, shot: Snapshot, room: Room, promised: Promised) -> None:
        self._shot = shot
        self._room = room
        self._promised = promised
        self._nodes: dict[int, NodeFree] = {}
        self.total = room.free
        self.owner: dict[tuple[int, int], int] = {}
        self.lifted: dict[int, int] = {}

    def add(self, job_id: int, cores: Cores) -> int:
        """Lend cores that a job holds; return how many are new."""
        before = self.total
        held = self._shot.held.get(job_id, {})
        for node_id, ids in cores.items():
            node = self._node(node_id)
            if node is None:
                continue
            for core in ids:
                place = (node_id, core)
                if place not in self._promised and place not in self.owner:
                    self.owner[place] = job_id
                    node.free.append(core)
                    self.total += 1
            own = held.get(node_id, ())
            left = job_id not in node.jobs
            if all(self.owner.get((node_id, core)) == job_id for core in own):
                self._unbook(node, job_id, () if left else own)
                node.jobs.discard(job_id)
                if node.exclusive == job_id:
                    node.exclusive = 0
                    self.lifted[node_id] = job_id
        return self.total - before

    def _unbook(self, node: NodeFree, job_id: int, cores: tuple[int, ...]) -> None:
        """The job leaves the node: its processes need no memory there any more."""
        holder = self._shot.holders.get(job_id)
        if holder is not None and holder.process is not None:
            node.booked -= holder.process.booked(node, cores)

    def add_count(self, job_id: int, counts: Mapping[int, int]) -> int:
        """Lend so many of a job's cores by node, whichever; return how many are new."""
        held = self._shot.held.get(job_id, {})
        cores = {n: held.get(n, ())[-count:] for n, count in counts.items() if count}
        return self.add(job_id, cores)

    def fit(self, demand: Demand) -> Grant:
        """Return what a job would get here."""
        others = [n for n in self._room.nodes() if n.node_id not in self._nodes]
        lent = [node for node in self._nodes.values() if node.free]
        return fit(demand, preferred([*others, *lent]), {})

    def free(self, node_id: int) -> int:
        """Return how many cores of a node would be free."""
        node = self._nodes.get(node_id) or self._room[node_id]
        return 0 if node is None else len(node.free)

    def _node(self, node_id: int) -> NodeFree | None:
        node = self._nodes.get(node_id)
        if node is None:
            known = self._room[node_id] or self._shot.nodes.get(node_id)
            if known is None:
                return None
            node = self._nodes[node_id] = known.copy()
            if self._room[node_id] is None:
                node.free = []
        return node


def loosened(shot: Snapshot, loan: Loan) -> None:
    """Lend what is on its way out: it will be free without anybody asking again."""
    for holder in shot.loose:
        held = shot.held.get(holder.job_id, {})
        if holder.ending or holder.yields:
            loan.add(holder.job_id, held)
            continue
        loan.add(holder.job_id, {n: held[n] for n in holder.leaving if n in held})
        rest = {n: k for n, k in holder.owing.items() if n not in holder.leaving}
        loan.add_count(holder.job_id, rest)
