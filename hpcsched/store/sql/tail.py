"""What the log holds behind its last whole commit, as far as that can be known.

SQLite reads the log up to its last commit whose frames are whole, and says nothing of
what comes behind. Frames of the same round there are a transaction that a kill or a
power cut stopped, of which nobody was told; or damage. Source: sqlite.org/fileformat2,
section 4.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Final

from hpcsched.store.sql import sqlite

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

log = logging.getLogger(__name__)

_HEADER: Final = struct.Struct(">6I8x")
"""Magic, version, size of a page, number of the round, and its two salts."""
_FRAME: Final = struct.Struct(">8x8s8x")
"""Page, size after a commit, the salts, and the checksums."""
_MAGIC: Final = 0x377F0682


def frames_in(path: Path) -> int:
    """Return how many frames the log has been given since it last began anew.

    Raises:
        OSError: it cannot be read.
    """
    size = sqlite.log_size(path)
    if size < _HEADER.size:
        return 0
    newest = 0
    with path.with_name(path.name + "-wal").open("rb") as file:
        head = file.read(_HEADER.size)
        magic, _, page, *_ = _HEADER.unpack(head)
        if magic & ~1 != _MAGIC or page == 0:
            return 0
        step = _FRAME.size + page
        for number in range((size - _HEADER.size) // step):
            file.seek(_HEADER.size + number * step)
            if _FRAME.unpack(file.read(_FRAME.size))[0] == head[16:24]:
                newest = number + 1
    return newest


def warn_of_rest(connection: sqlite3.Connection, path: Path, frames: int) -> None:
    """Say so where the log had more than what was read of it.

    Args:
        connection: The writer's; it has not written yet.
        path: The database.
        frames: What ``frames_in`` told before the connection was opened.

    Raises:
        sqlite3.Error: the log cannot be copied into the database.
    """
    if not frames:
        return
    _, read, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if frames > read:
        log.warning(
            "the log of %s has %d pages behind its last whole commit, which are left "
            "out: what was being written as the head ended, of which nobody was told "
            "that it was done; or damage",
            path,
            frames - read,
        )
