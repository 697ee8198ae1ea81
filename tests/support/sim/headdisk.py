"""The disk of the head's machine: what a head leaves there, and what the next finds.

Two of them: one that is a ``MemoryState``, and one with the real files of SQLite
(sqldisk.py). Both know of a ``MemoryState`` what must be there: checks look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hpcsched.store.memory_state import MemoryState
from tests.support.sim.stores import MEMORY, SQLITE, SimStore, StoreFaults

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from hpcsched.store.base import Store
    from tests.support.sim.loop import Program, SimLoop

BACKENDS = (MEMORY, SQLITE)


class HeadDisk(Protocol):
    """What the head's machine has for a disk.

    Attributes:
        state: What is durable.
        faults: What is wrong with it.
        kind: MEMORY or SQLITE.
    """

    state: MemoryState
    faults: StoreFaults
    kind: str

    def open(
        self,
        program: Program,
        on_broken: Callable[[BaseException], None],
        on_commit: Callable[[MemoryState], None],
    ) -> Store:
        """Open the store for a head that starts."""

    def left(self, program: Program) -> None:
        """A head that had it open has died."""

    def look_at_backup(self, name: str) -> None:
        """Look whether a backup that was just made holds what is durable."""

    def look(self) -> str:
        """Return what is wrong with the store, while no head has it open."""

    def close(self, keep: Path | None = None) -> None:
        """The run is over; its files may be kept somewhere."""


class MemoryDisk:
    """A disk in memory (a ``HeadDisk``)."""

    def __init__(self, loop: SimLoop, rng: random.Random) -> None:
        self.state = MemoryState()
        self.faults = StoreFaults()
        self.kind = MEMORY
        self._loop = loop
        self._rng = rng
        self._opened = 0

    def open(
        self,
        program: Program,
        on_broken: Callable[[BaseException], None],
        on_commit: Callable[[MemoryState], None],
    ) -> Store:
        self._opened += 1
        mine = self._opened
        return SimStore(
            self._loop,
            self._rng,
            self.state,
            self.faults,
            program=program,
            on_broken=on_broken,
            on_commit=on_commit,
            is_taken=lambda: self._opened != mine,
        )

    def left(self, program: Program) -> None:
        pass

    def look_at_backup(self, name: str) -> None:
        raise AssertionError("a store in memory has no backups")

    def look(self) -> str:
        return ""

    def close(self, keep: Path | None = None) -> None:
        pass
