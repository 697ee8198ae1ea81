"""The disk of a node: the journal, real files that a power cut may take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from node_agent.supervisor.journal import END_OF_LOG, Journal

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from node_agent.supervisor.exits import Exit


class NodeDisk:
    """The directory of a node's supervisor; a power cut takes what is not synced."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.journal.mkdir(parents=True)
        (folder / "output").mkdir()
        self.exits: list[Exit] = []
        self.term = 0
        self._rng = rng
        self._safe: dict[str, bytes] = {}

    def sync(self, journal: SimJournal) -> str:
        """Bring the segment that is written to the disk; return its path."""
        path = journal.path
        size = journal.written + len(END_OF_LOG)
        with Path(path).open("rb") as file:
            self._safe = {Path(path).name: file.read(size)}
        return path

    def power_cut(self) -> None:
        """Leave what was synced, and perhaps a part of what was written since."""
        torn: dict[str, bytes] = {}
        for name, safe in self._safe.items():
            path = self.journal / name
            data = path.read_bytes() if path.exists() else safe
            # the mark of the log's end is overwritten by the next record
            known = len(safe) - len(END_OF_LOG)
            more = data[known:].rstrip(b"\0")
            keep = self._rng.randrange(len(more) + 1) if more else 0
            torn[name] = data[: known + keep] + END_OF_LOG
        shutil.rmtree(self.journal)
        self.journal.mkdir()
        for name, data in torn.items():
            (self.journal / name).write_bytes(data)
        self.exits = []


class SimJournal(Journal):
    """The journal on a disk that may be the last thing the spawner sees."""

    on_flush: Callable[[bool], None] = staticmethod(lambda _: None)

    @property
    def written(self) -> int:
        return self._offset

    def abandon(self) -> None:
        """Close the file as it is: who wrote it is dead."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def flush(self) -> bool:
        if not self._pending:
            return True
        self.on_flush(False)
        done = super().flush()
        self.on_flush(True)
        return done
