"""Nodes as they would be if some jobs gave their cores back.

Reservations ask it about those whose time is up by then, preemption about those that
could be made to go. Nothing of it is booked anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.scheduling.fitting import fit
from hpcsched.core.scheduling.preference import preferred

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.room import Room
    from hpcsched.core.scheduling.snapshot import Cores, Demand, NodeFree, Snapshot

    Promised = Mapping[int, set[int]]

_FEW: Final = 256
"""Free nodes that are looked at first, beside those that are lent."""


class Loan:
    """See the module.

    Args:
        promised: Node to cores that somebody else is to get already.

    Attributes:
        total: Free cores, those that are lent included.
        owner: Node to core to the job that holds it now, for those that are lent.
        lifted: Node to the job that had it alone and would leave it.
    """

    def __init__(self, shot: Snapshot, room: Room, promised: Promised) -> None:
        self._shot = shot
        self._room = room
        self._promised = promised
        self._nodes: dict[int, NodeFree] = {}
        self.total = room.free
        self.owner: dict[int, dict[int, int]] = {}
        self.lifted: dict[int, int] = {}

    def add(self, job_id: int, cores: Cores) -> int:
        """Lend cores that a job holds; return how many are new."""
        before = self.total
        held = self._shot.held.get(job_id, {})
        for node_id, ids in cores.items():
            node = self._node(node_id)
            if node is None:
                continue
            owner = self.owner.setdefault(node_id, {})
            promised = self._promised.get(node_id, ())
            new = ids
            if owner or promised:
                new = tuple([c for c in ids if c not in owner and c not in promised])
            owner.update(dict.fromkeys(new, job_id))
            node.free.extend(new)
            self.total += len(new)
            own = held.get(node_id, ())
            if len(new) == len(own) or all(owner.get(c) == job_id for c in own):
                if job_id in node.jobs:
                    self._unbook(node, job_id, own)
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
        """Return what a job would get here; nothing if there are too few cores."""
        if self.total < demand.least:
            return {}
        lent = [node for node in self._nodes.values() if node.free]
        others = [n for n in self._room.nodes() if n.node_id not in self._nodes]
        grant: Grant = {}
        if len(others) > _FEW:
            grant = fit(demand, preferred([*others[:_FEW], *lent]), {})
        return grant or fit(demand, preferred([*others, *lent]), {})

    def free(self, node_id: int) -> int:
        """Return how many cores of a node would be free."""
        node = self._nodes.get(node_id) or self._room[node_id]
        return 0 if node is None else len(node.free)

    def _node(self, node_id: int) -> NodeFree | None:
        node = self._nodes.get(node_id)
        if node is None:
            here = self._room[node_id]
            known = here or self._shot.nodes.get(node_id)
            if known is None:
                return None
            node = self._nodes[node_id] = known.copy()
            if here is None:
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
