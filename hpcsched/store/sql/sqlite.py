"""SQLite connections that keep what they acknowledge, and what their errors mean.

Exactly one connection writes and checkpoints, for the life of the head: SQLite 3.7.0 to
3.51.2 can corrupt a database when two connections do so at the same moment
(sqlite.org/wal.html#walresetbug). Readers cannot write and never checkpoint. So the
bug cannot hit us; administrators are still warned, for they may use other tools on the
file.

Three things that SQLite does not do by itself are done here and in the writer:

- A pragma that fails may only say so when its row is fetched: each is read back.
- The log's directory entry is synced by us before the first acknowledgement.
- Automatic checkpoints swallow their errors: they are off, the writer asks for them.
  After an error the log must not be folded into the database and deleted by closing it,
  since the second fsync after a failed one reports success. ``close_broken`` closes the
  writer while a read-only *guard* is open, so that it is not the last connection; the
  guard itself cannot write.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy.dialects import sqlite as sqlite_dialect

from hpcsched.store.errors import StoreBrokenError, StoreFormatError

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logging.getLogger(__name__)

#: UPDATE … FROM.
OLDEST_VERSION: Final = (3, 33, 0)

#: The first version without the WAL-reset bug.
SOUND_VERSION: Final = (3, 51, 3)

BUSY_TIMEOUT_MS: Final = 10_000

#: The log is cut back to this size when it starts again from its beginning.
LOG_LIMIT_BYTES: Final = 4 << 20

#: A database smaller than this is checked at each start.
QUICK_CHECK_BYTES: Final = 64 << 20

_FULL_DISK_BYTES: Final = 1 << 20


class Fault(Enum):
    """What an error says about the next transaction."""

    DELTA = auto()
    """Something was wrong with what was written; others may be fine."""
    FULL = auto()
    BUSY = auto()
    BROKEN = auto()
    """Nothing more may be acknowledged."""


_FAULTS: Final = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_ERROR: Fault.DELTA,
    sqlite3.SQLITE_CONSTRAINT: Fault.DELTA,
    sqlite3.SQLITE_MISMATCH: Fault.DELTA,
    sqlite3.SQLITE_TOOBIG: Fault.DELTA,
    sqlite3.SQLITE_RANGE: Fault.DELTA,
}


@cache
def dialect() -> sa.Dialect:
    """Return the dialect whose statements the driver runs as they are.

    There is one in a process: it remembers what it has learned of each type.
    """
    return sqlite_dialect.dialect(paramstyle="qmark")


_NO_TEXT: Final = "Could not decode to UTF-8"


def fault_of(error: BaseException, path: Path) -> Fault:
    """Return what an error of the driver, or of ours, means for the store."""
    if isinstance(error, StoreBrokenError | MemoryError):
        return Fault.BROKEN
    code = code_of(error)
    if code is None:
        return Fault.DELTA
    if code == sqlite3.SQLITE_IOERR_SHMSIZE and _disk_is_full(path):
        return Fault.FULL  # the log's index, which holds nothing of its own
    return _FAULTS.get(code & 0xFF, Fault.BROKEN)


def code_of(error: BaseException) -> int | None:
    """Return SQLite's number of an error; None: it is no error of SQLite.

    The driver raises one of its own, without a number, for text that is not text.
    """
    if str(error).startswith(_NO_TEXT):
        return sqlite3.SQLITE_CORRUPT
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code


def is_damage(error: BaseException) -> bool:
    """Return whether an error met by a reader says that the files are not sound."""
    return (code_of(error) or sqlite3.SQLITE_OK) & 0xFF in {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


def check_version() -> None:
    """Refuse a library that is too old, warn of one that is unsound.

    Raises:
        StoreFormatError: the library is older than OLDEST_VERSION.
    """
    if sqlite3.sqlite_version_info < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        problem = f"SQLite {sqlite3.sqlite_version} is too old: {oldest} is needed"
        raise StoreFormatError(problem)
    if sqlite3.sqlite_version_info < SOUND_VERSION:
        log.warning(
            "SQLite %s has the WAL-reset bug (fixed in 3.51.3): this daemon avoids it "
            "by writing over one connection only; open the database with no other "
            "program while it runs",
            sqlite3.sqlite_version,
        )


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes and checkpoints; make the file if need be.

    Raises:
        StoreBrokenError: a setting did not take.
        sqlite3.Error: the file cannot be opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        set_pragma(connection, "busy_timeout", BUSY_TIMEOUT_MS)
        set_pragma(connection, "journal_mode", "wal")
        set_pragma(connection, "synchronous", 2)  # FULL
        set_pragma(connection, "wal_autocheckpoint", 0)
        set_pragma(connection, "journal_size_limit", LOG_LIMIT_BYTES)
        set_pragma(connection, "cell_size_check", 1)
        set_pragma(connection, "trusted_schema", 0)
        set_pragma(connection, "cache_size", -64_000)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a connection that cannot write; for one thread at a time.

    Args:
        path: The file.
        immutable: Nobody changes it, and it has no log.
    """
    extra = "&immutable=1" if immutable else ""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{extra}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
    )
    try:
        set_pragma(connection, "busy_timeout", BUSY_TIMEOUT_MS)
        set_pragma(connection, "query_only", 1)
        set_pragma(connection, "wal_autocheckpoint", 0)
        set_pragma(connection, "cell_size_check", 1)
        set_pragma(connection, "trusted_schema", 0)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_plain(path: Path) -> sqlite3.Connection:
    """Open a file that is only read, for what writes another one (VACUUM INTO)."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None
    )
    connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
    return connection


def set_pragma(connection: sqlite3.Connection, name: str, value: int | str) -> None:
    """Set and read back.

    Raises:
        StoreBrokenError: it has another value afterwards.
    """
    connection.execute(f"PRAGMA {name}={value}").fetchall()
    row: tuple[Any, ...] | None = connection.execute(f"PRAGMA {name}").fetchone()
    if row is None or row[0] != value:
        got = None if row is None else row[0]
        raise StoreBrokenError(f"PRAGMA {name} is {got!r}, not {value!r}")


def checkpoint(connection: sqlite3.Connection, *, truncate: bool = False) -> bool:
    """Copy the log into the database, as far as readers let us.

    Returns:
        Whether all of it was copied, so that the log starts again.

    Raises:
        sqlite3.Error: also where an automatic checkpoint would say nothing.
    """
    mode = "TRUNCATE" if truncate else "PASSIVE"
    row = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    busy, pages, copied = row
    return not busy and pages == copied


def quick_check(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage, where the file is small enough not to hold up the start.

    Raises:
        StoreBrokenError: damage was found.
    """
    if path.stat().st_size > QUICK_CHECK_BYTES:
        return
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreBrokenError(f"{path} is damaged: {found}")


def close_broken(writer: sqlite3.Connection, guard: sqlite3.Connection) -> None:
    """Close without a checkpoint: the log stays as it is on the disk."""
    writer.close()
    guard.close()


def log_size(path: Path) -> int:
    """Return the bytes of the write-ahead log."""
    try:
        # After every commit: os.stat takes a fifth of what Path.stat does.
        return os.stat(f"{path}-wal").st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0


def _disk_is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _FULL_DISK_BYTES
