"""What a job holds on one node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hpcsched.core.job.states import UnitType


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
        return self in {UsePhase.LOST, UsePhase.LOST_LEAVING}


@dataclass(slots=True)
class NodeUse:
    """What a job holds on one node.

    Attributes:
        cores: Core ids.
        phase: Tasks start in READY; LEAVING waits for what runs and takes nothing new;
            the LOST are unreachable, their attempts held until they are back (HOLD).
        prepared: The node preparation ran here with success (or there is none).
        since: When it got these cores, seconds since 1970.
        busy: Cores of attempts that are on the node now; derived, not stored.
        live: Number of those attempts, per-node tasks included; derived, not stored.
            Both count attempts that run elsewhere and hold cores here.
        shut: Number of those that share the node with no other; derived, not stored.
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

    def socket_of(self, core: int) -> int:
        """Return the socket of a core of this node, from 0."""
        return core * self.sockets // max(self.size, core + 1)

    def units(self, unit: UnitType) -> int:
        """Return how many units it holds here; a part of a socket counts as one."""
        match unit:
            case UnitType.SOCKET:
                return len({self.socket_of(core) for core in self.cores})
            case UnitType.NODE:
                return 1 if self.cores else 0
            case _:
                return len(self.cores)

    def encode(self) -> tuple[Any, ...]:
        """Return what an event and the store keep of it."""
        return (self.cores, int(self.phase), self.prepared)
