"""Everything that a job holds, node by node, with what is asked of it often.

A job may have thousands of nodes, and each of their reports is a turn. So nothing of a
turn goes through all of them: sums are kept, and each node stands on the shelf of those
of which the same is to be done.
"""

from __future__ import annotations

from enum import IntEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from hpcsched.core.job.nodeuse import NodeUse, UsePhase
from hpcsched.core.job.packing import pack
from hpcsched.core.job.states import UnitType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Shelf(IntEnum):
    """What is to be done of a node."""

    NEW = 0
    PREPARING = 1
    IDLE = 2
    """Ready, and nothing of the job is there."""
    FREE = 3
    """Ready, with a core that nothing of the job uses."""
    FULL = 4
    LEAVING = 5
    """Something of the job is still there."""
    LEFT = 6
    RELEASING = 7
    OVER = 8
    """It was being prepared or released, and that is no more."""
    LOST = 9


READY: Final = (Shelf.IDLE, Shelf.FREE, Shelf.FULL)
OPEN: Final = (UsePhase.NEW, UsePhase.PREPARING, UsePhase.READY)
"""Phases in which a node has not to be left."""
_BUSY: Final = {
    UsePhase.NEW: Shelf.NEW,
    UsePhase.PREPARING: Shelf.PREPARING,
    UsePhase.READY: Shelf.FULL,
    UsePhase.RELEASING: Shelf.RELEASING,
    UsePhase.LEAVING: Shelf.LEAVING,
    UsePhase.LOST: Shelf.LOST,
    UsePhase.LOST_LEAVING: Shelf.LOST,
}
_QUIET: Final = {
    **_BUSY,
    UsePhase.PREPARING: Shelf.OVER,
    UsePhase.READY: Shelf.IDLE,
    UsePhase.RELEASING: Shelf.OVER,
    UsePhase.LEAVING: Shelf.LEFT,
}
_NOTHING_PACKED: Final = {"uses": pack({})}
_RANK: Final = attrgetter("rank")
_SHELVES: Final = range(len(Shelf))
_PHASES: Final = len(UsePhase)


class Uses(dict[int, NodeUse]):
    """See the module. Only ``apply``, ``book`` and loading write to it.

    Attributes:
        cores, sockets, nodes: What there is of each; a part of a socket counts as one.
        busy, busy_nodes: Cores of attempts that are on the nodes now; and how many
            nodes that are.
        phases: Nodes by phase.
        crowded: Those with more attempts than cores, which wait there.
        widest: As many cores as one node ever had.
    """

    __slots__ = (
        "_held",
        "_ids",
        "_packed",
        "_ranks",
        "_shelves",
        "_sizes",
        "busy",
        "busy_nodes",
        "cores",
        "crowded",
        "nodes",
        "phases",
        "sockets",
        "widest",
    )

    def __init__(self) -> None:
        super().__init__()
        self._shelves: list[dict[int, NodeUse]] = [{} for _ in _SHELVES]
        self._ranks = 0
        self._held: dict[int, tuple[int, ...]] | None = None
        self._ids: frozenset[int] | None = None
        self._sizes: tuple[UnitType, list[int]] | None = None
        self._packed: Mapping[str, bytes] | None = None
        self.cores = self.sockets = self.nodes = self.busy = self.busy_nodes = 0
        self.widest = 0
        self.phases = [0] * _PHASES
        self.crowded: dict[int, NodeUse] = {}

    def put(self, use: NodeUse) -> None:
        """Add a node."""
        self._ranks += 1
        use.rank = self._ranks
        self[use.node_id] = use
        self._count(use, 1)
        use.shelf = -1
        self.file(use)

    def drop(self, node_id: int) -> None:
        """Take a node away, if it is there."""
        use = self.pop(node_id, None)
        if use is not None:
            self._count(use, -1)
            self.busy -= use.busy
            self.busy_nodes -= use.busy > 0
            del self._shelves[use.shelf][node_id]
            self.crowded.pop(node_id, None)

    def change(self, use: NodeUse, encoded: Sequence[Any]) -> None:
        """Give a node other cores, or another phase."""
        self._count(use, -1)
        cores, phase, prepared, *_ = encoded
        use.cores, use.phase, use.prepared = tuple(cores), UsePhase(phase), prepared
        self._count(use, 1)
        self.file(use)

    def _count(self, use: NodeUse, sign: int) -> None:
        self.cores += sign * len(use.cores)
        self.sockets += sign * use.units(UnitType.SOCKET)
        self.nodes += sign * bool(use.cores)
        self.phases[use.phase] += sign
        self.widest = max(self.widest, len(use.cores))
        self._held = self._ids = self._packed = self._sizes = None

    def load(self, use: NodeUse, *, live: int, busy: int, shut: int) -> None:
        """Count attempts on a node; of those that are there no more, negative."""
        self.busy_nodes -= use.busy > 0
        use.live += live
        use.busy += busy
        self.busy_nodes += use.busy > 0
        use.shut += shut
        self.busy += busy
        self.file(use)

    def unload(self) -> None:
        """Count no attempts on any node."""
        for use in self.values():
            use.live = use.busy = use.shut = 0
            self.file(use)
        self.busy = self.busy_nodes = 0

    def file(self, use: NodeUse) -> None:
        """Put a node on its shelf."""
        free = len(use.cores) - use.busy
        shelf = _BUSY[use.phase] if use.live else _QUIET[use.phase]
        if shelf is Shelf.FULL and free > 0:
            shelf = Shelf.FREE
        node_id = use.node_id
        if use.shelf != shelf:
            if use.shelf >= 0:
                del self._shelves[use.shelf][node_id]
            self._shelves[shelf][node_id] = use
            use.shelf = shelf
        if free < 0:
            self.crowded[node_id] = use
        elif self.crowded:
            self.crowded.pop(node_id, None)

    def on(self, *shelves: Shelf) -> list[NodeUse]:
        """Return the nodes on some shelves, in the order in which the job got them."""
        if len(shelves) == 1:
            found = list(self._shelves[shelves[0]].values())
        else:
            found = [use for one in shelves for use in self._shelves[one].values()]
        if len(found) > 1:
            found.sort(key=_RANK)
        return found

    def any_in(self, phases: Iterable[UsePhase]) -> bool:
        """Is a node in one of these phases?"""
        counts = self.phases
        for phase in phases:  # noqa: SIM110  a generator takes three times as long
            if counts[phase]:
                return True
        return False

    def not_open(self) -> list[int]:
        """Return the nodes that the job has to leave, or that are lost."""
        if sum([self.phases[phase] for phase in OPEN]) == len(self):
            return []
        return [use.node_id for use in self.values() if use.phase not in OPEN]

    def units(self, unit: UnitType) -> int:
        """Return what there is of a unit."""
        if unit is UnitType.CORE:
            return self.cores
        return self.nodes if unit is UnitType.NODE else self.sockets

    def sizes(self, unit: UnitType) -> Sequence[int]:
        """Return the cores of each unit, the largest first."""
        if self._sizes is None or self._sizes[0] is not unit:
            sizes = [size for use in self.values() for size in use.sizes(unit)]
            self._sizes = (unit, sorted(sizes, reverse=True))
        return self._sizes[1]

    @property
    def held(self) -> dict[int, tuple[int, ...]]:
        """Node to cores, as long as they stay the same one value; not to be changed."""
        if self._held is None:
            self._held = {use.node_id: use.cores for use in self.values()}
        return self._held

    @property
    def ids(self) -> frozenset[int]:
        """The nodes, as long as they stay the same one value."""
        if self._ids is None:
            self._ids = frozenset(self)
        return self._ids

    @property
    def packed(self) -> Mapping[str, bytes]:
        """What is stored of them, and since when each has been held."""
        if not self:
            return _NOTHING_PACKED
        if self._packed is None:
            self._packed = {
                "uses": pack({n: use.encode() for n, use in self.items()}),
                "since": pack({n: use.since for n, use in self.items()}),
            }
        return self._packed


class _None(Uses):
    """Of a job that holds nothing: one for all those that wait."""

    __slots__ = ()

    def put(self, use: NodeUse) -> NoReturn:
        raise TypeError(f"node {use.node_id} given to nobody")


NO_USES: Final = _None()


def unpacked(
    body: Mapping[int, Sequence[Any]], since: Mapping[int, float], begin: float
) -> Uses:
    """Return what was stored; what is held for no known time since ``begin``."""
    if not body:
        return NO_USES
    uses = Uses()
    for node_id, encoded in body.items():
        use = NodeUse.decode(node_id, encoded)
        use.since = since.get(node_id, begin)
        uses.put(use)
    return uses
