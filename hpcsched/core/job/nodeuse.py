"""What a job holds on one node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.states import UnitType

if TYPE_CHECKING:
    from collections.abc import Sequence


class UsePhase(IntEnum):
    """How far a node is in a job."""

    NEW = 0
    PREPARING = 1
    READY = 2
    RELEASING = 3
    LEAVING = 4
    LOST = 5
    LOST_LEAVING = 6

    @property
    def lost(self) -> bool:
        """Is the node unreachable?"""
        return self >= UsePhase.LOST


@dataclass(slots=True)
class NodeUse:
    """What a job holds on one node.

    Attributes:
        cores: Core ids.
        size: Cores of the whole node when they were given; 0: not known.
        sockets: What the node's core ids are spread over, in order and evenly.
        phase: Tasks start in READY; LEAVING waits for what runs and takes nothing new;
            the LOST are unreachable, their attempts held until they are back (HOLD).
        prepared: The node preparation ran here with success (or there is none), or the
            job has stopped it: the node is released when the job leaves it.
        since: When it got these cores, seconds since 1970.
        busy: Cores of attempts that are on the node now; derived, not stored.
        live: Number of those attempts, per-node tasks included; derived, not stored.
            Both count attempts that run elsewhere and hold cores here.
        shut: Number of those that share the node with no other; derived, not stored.
        news: When it last told something of the job's tasks; 0.0: not since the job was
            loaded; derived, not stored.
        shelf, rank: Where ``Uses`` keeps it; derived, not stored.
        asked: It has been asked for what waits there, and has told nothing since;
            derived, not stored.
    """

    node_id: int
    cores: tuple[int, ...]
    phase: UsePhase = UsePhase.NEW
    prepared: bool = False
    since: float = 0.0
    busy: int = 0
    live: int = 0
    shut: int = 0
    size: int = 0
    sockets: int = 1
    news: float = field(default=0.0, compare=False)
    asked: bool = field(default=False, compare=False)
    shelf: int = field(default=-1, compare=False)
    rank: int = field(default=0, compare=False)

    def encode(self) -> tuple[Any, ...]:
        """Return what the store keeps of it; an event may leave out the last two."""
        return (self.cores, int(self.phase), self.prepared, self.size, self.sockets)

    @classmethod
    def decode(cls, node_id: int, encoded: Sequence[Any]) -> NodeUse:
        """Return what was encoded, the last two items by later versions only."""
        cores, phase, prepared, *shape = encoded
        use = cls(node_id, tuple(cores), UsePhase(phase), prepared)
        if shape:
            use.size, use.sockets = shape
        return use

    def socket_of(self, core: int) -> int:
        """Return the socket of a core of this node, from 0."""
        return core * self.sockets // max(self.size, core + 1)

    def sizes(self, unit: UnitType) -> list[int]:
        """Return the cores that it holds of each unit here."""
        match unit:
            case UnitType.SOCKET:
                return list(Counter(self.socket_of(one) for one in self.cores).values())
            case UnitType.NODE:
                return [len(self.cores)] if self.cores else []
            case _:
                return [1] * len(self.cores)

    def units(self, unit: UnitType) -> int:
        """Return how many units it holds here; a part of a socket counts as one."""
        match unit:
            case UnitType.SOCKET:
                return len({self.socket_of(core) for core in self.cores})
            case UnitType.NODE:
                return 1 if self.cores else 0
            case _:
                return len(self.cores)

    def in_cores(self, unit: UnitType, count: int) -> int:
        """Return how many of the cores here so many units are, at most all."""
        match unit:
            case UnitType.SOCKET:
                units = self.units(unit)
                return min(
                    len(self.cores), -(-len(self.cores) * count // max(1, units))
                )
            case UnitType.NODE:
                return len(self.cores) if count > 0 else 0
            case _:
                return min(len(self.cores), count)

    def up_to_units(self, unit: UnitType, cores: int) -> int:
        """Return the cores of the whole units here that so many cores are parts of."""
        match unit:
            case UnitType.SOCKET:
                per = max(1, -(-len(self.cores) // max(1, self.units(unit))))
                return min(len(self.cores), -(-cores // per) * per)
            case UnitType.NODE:
                return len(self.cores) if cores > 0 else 0
            case _:
                return min(len(self.cores), cores)

    def units_without(self, unit: UnitType, cores: int) -> int:
        """Return the units that are left here when so many cores go, as whole ones."""
        if unit is UnitType.CORE:
            return len(self.cores) - cores
        per = max(1, -(-len(self.cores) // max(1, self.units(unit))))
        return max(0, self.units(unit) - -(-cores // per))
