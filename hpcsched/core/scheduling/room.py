"""The free cores while a plan uses them up.

Nodes are copied when they are used, and looked at in growing parts: most jobs fit on
the first few, and going through ten thousand for each would cost more than it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.fitting import fit, missing, use_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.snapshot import Cores, Demand, NodeFree

_FIRST: Final = 32
_GROWTH: Final = 8


def gained(grant: Cores, have: Cores) -> int:
    """Return how many cores of a grant are new."""
    return sum(len(cores) - len(have.get(n, ())) for n, cores in grant.items())


class Room:
    """See the module.

    Attributes:
        free: Cores that are left.
        spare: On nodes that somebody has reserved: what those may use who would still
            run when it is needed.
    """

    def __init__(self, nodes: Sequence[NodeFree]) -> None:
        self._open = list(nodes)
        self._at = {node.node_id: at for at, node in enumerate(self._open)}
        self._mine: dict[int, NodeFree] = {}
        self._first = 0  # those before it are full
        self._full = 0  # of the others
        self.free = sum(len(node.free) for node in self._open)
        self.spare: dict[int, int] = {}

    def __getitem__(self, node_id: int) -> NodeFree | None:
        """Return a node that has free cores, or had some before this plan; or None."""
        at = self._at.get(node_id)
        return self._mine.get(node_id) if at is None else self._open[at]

    def nodes(self) -> list[NodeFree]:
        """Return the nodes that have free cores, in the order of preference."""
        return [node for node in self._open if node.free]

    def fit(self, demand: Demand, have: Cores, *, late: bool = False) -> Grant:
        """Return what the job would hold, as ``fitting.fit`` does.

        Args:
            demand: What it wants.
            have: What it holds.
            late: It would still run when what is reserved is needed.
        """
        wanted = missing(demand, have)
        if wanted <= 0 or self.free <= 0:
            return {}
        own = [self._open[self._at[n]] for n in have if n in self._at]
        first, there = self._first, len(self._open) - self._first
        size = there if demand.order_by else _FIRST
        while True:
            part = self._open[first : first + size]
            if own:
                part = own + [node for node in part if node.node_id not in have]
            if late and self.spare:
                part = [self._spared(node, demand) for node in part]
            grant = fit(demand, part, have)
            if size >= there:
                return grant
            if grant and self._units(demand, grant, have) >= wanted:
                return grant
            size *= _GROWTH

    def _units(self, demand: Demand, grant: Grant, have: Cores) -> int:
        """Return how many units of a grant are new."""
        if demand.unit is UnitType.CORE:
            return gained(grant, have)
        total = 0
        for node_id, cores in grant.items():
            node = self[node_id]
            if node is not None:
                new = [core for core in cores if core not in have.get(node_id, ())]
                total += node.units_of(new, demand.unit)
        return total

    def _spared(self, node: NodeFree, demand: Demand) -> NodeFree:
        """Return a node as one sees it who would still run when it is needed."""
        spare = self.spare.get(node.node_id)
        if spare is None:
            return node
        seen = node.copy()
        del seen.free[0 if demand.exclusive else max(0, spare) :]
        return seen

    def take(self, demand: Demand, grant: Grant, *, late: bool = False) -> None:
        """Use up what a job gets; cores that are not free here do not count."""
        touched: dict[int, NodeFree] = {}
        for node_id in grant:
            at = self._at.get(node_id)
            if at is None:
                continue
            if node_id not in self._mine:
                self._mine[node_id] = self._open[at] = self._open[at].copy()
            touched[node_id] = self._open[at]
        before = {n: len(node.free) for n, node in touched.items()}
        part = {n: grant[n] for n in touched}
        self.free -= use_up(demand, part, touched)
        for node_id, node in touched.items():
            if late and node_id in self.spare:
                self.spare[node_id] -= before[node_id] - len(node.free)
            self._full += not node.free
        self._make_way()

    def _make_way(self) -> None:
        """Let nobody look at full nodes again: a plan mostly fills them in order."""
        nodes, first = self._open, self._first
        while first < len(nodes) and not nodes[first].free:
            first += 1
        self._full -= first - self._first
        self._first = first
        if self._full > _FIRST and 2 * self._full > len(nodes) - first:
            self._open = self.nodes()
            self._at = {node.node_id: at for at, node in enumerate(self._open)}
            self._first = self._full = 0

    def reserve(self, spare: Mapping[int, int]) -> None:
        """From now on, late ones may use only so much of these nodes."""
        self.spare = dict(spare)
