"""Opening a store by its address."""

from __future__ import annotations

import errno
import logging
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpcsched.store.backups import FOLDER, SUFFIX, Backups, copy_store, make_folder
from hpcsched.store.errors import StoreBrokenError, StoreBusyError, StoreFullError
from hpcsched.store.marks import mark_broken, require_unmarked
from hpcsched.store.space import Space
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.chores import Chores
from hpcsched.store.sql.loading import JobLoader
from hpcsched.store.sql.migrate import bring_up_to_date, version_of
from hpcsched.store.sql.readers import Readers
from hpcsched.store.sql.reads import Reads
from hpcsched.store.sql.schema import HEAD
from hpcsched.store.sql.session import WriterSession
from hpcsched.store.sql.sqlite import Fault
from hpcsched.store.sql.statements import Statements
from hpcsched.store.sql.store import SqlStore
from hpcsched.store.sql.sums import require_sound, with_seal
from hpcsched.store.sql.tail import frames_in, warn_of_rest
from hpcsched.store.sql.transactions import Transactions
from hpcsched.store.sql.writer import Writer
from hpcsched.store.state_directory import prepare_state_directory, sync_directory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger(__name__)
DATABASE: Final = "hpcsched.db"

_SCHEME: Final = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFiles:
    """What a store is made of, before anything drives it.

    Attributes:
        path: The database.
    """

    path: Path
    session: WriterSession
    last_seq: int
    reads: Reads
    backups: Backups
    space: Space

    def transactions(self) -> Transactions:
        """Return what writes; for one thread at a time."""
        statements = _statements()
        return Transactions(
            self.session,
            statements,
            Chores(sqlite.dialect(), statements.put_meta),
            last_seq=self.last_seq,
            space=self.space,
        )


def open_store(
    address: str | Path,
    *,
    loop: asyncio.AbstractEventLoop,
    on_broken: Callable[[BaseException], None] | None = None,
    allow_network: bool = False,
    backups: Path | None = None,
) -> SqlStore:
    """Open a store; make it if there is none. Blocks: to be called before serving.

    One process at a time may have a store open: take ``lock_state_directory`` first.

    Args:
        address: ``sqlite:///relative/file.db``, ``sqlite:////absolute/file.db``, or the
            path of the file or of its directory.
        loop: Where commits are answered.
        on_broken: Called once, on the loop, when nothing more can be written; every
            commit fails from then on.
        allow_network: Take a directory on a network file system.
        backups: Where backups go; a directory beside the file by default.

    Raises:
        ValueError: the address is of a database that is not supported.
        StoreError: as of ``open_files``.
    """
    path = path_of(address)
    files = open_files(path, allow_network=allow_network, backups=backups)
    files.space.keep_ballast()
    writer = Writer(files.transactions(), loop=loop, on_broken=on_broken)
    return SqlStore(
        writer,
        Readers(path, loop=loop, on_damage=writer.break_down),
        dialect=sqlite.dialect(),
        loader=loader(),
        reads=files.reads,
        backups=files.backups,
        space=files.space,
        loop=loop,
    )


def open_files(
    path: Path, *, allow_network: bool = False, backups: Path | None = None
) -> OpenFiles:
    """Open the files of a store, or make them.

    Args:
        path: The database.
        allow_network: As of ``open_store``.
        backups: As of ``open_store``.

    Raises:
        MarkedError: the directory must not be served (store.marks).
        StateDirectoryError: the directory does not do.
        StoreFormatError: the file is another program's, or of a newer version.
        StoreBrokenError: the file is damaged, or the disk fails.
        StoreBusyError: another program locks the file.
        StoreFullError: there is no room to open it.
    """
    sqlite.check_version()
    prepare_state_directory(path.parent, allow_network=allow_network)
    require_unmarked(path.parent)
    copies = Backups(path, backups or path.parent / FOLDER)
    space = Space(path.parent)
    try:
        session, last_seq, reads = _open_with_room(path, copies.folder, space)
    except sqlite3.Error as error:
        if (sqlite.code_of(error) or 0) & 0xFF == sqlite3.SQLITE_IOERR:
            mark_broken(path, error)
        match sqlite.fault_of(error, path):
            case Fault.FULL:
                raise StoreFullError(f"{path}: {error}") from error
            case Fault.BUSY:
                raise StoreBusyError(f"{path}: {error}") from error
        raise StoreBrokenError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:  # in SQLite's words about a damaged file
        raise StoreBrokenError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreFullError(f"{path}: {error.strerror}") from error
        mark_broken(path, error)
        raise StoreBrokenError(f"{path}: {error}") from error
    return OpenFiles(
        path=path,
        session=session,
        last_seq=last_seq,
        reads=reads,
        backups=copies,
        space=space,
    )


# What has no state but the texts of its statements is made once in a process, whatever
# that opens, and however often.


@cache
def loader() -> JobLoader:
    """Return what reads whole jobs of any store."""
    return JobLoader(sqlite.dialect())


@cache
def _statements() -> Statements:
    return Statements(sqlite.dialect())


@cache
def _reads() -> Reads:
    return Reads(sqlite.dialect())


def path_of(address: str | Path) -> Path:
    """Return the file that an address means.

    Raises:
        ValueError: it is not a file.
    """
    text = str(address)
    if text.startswith(_SCHEME):
        text = text.removeprefix(_SCHEME)
    elif "://" in text:
        scheme = text.partition("://")[0]
        problem = f"{scheme} is not supported in this version; use {_SCHEME}FILE"
        raise ValueError(f"store: {problem}")
    if not text:
        raise ValueError(f"store: the file is missing; use {_SCHEME}FILE")
    path = Path(text).absolute()
    return path / DATABASE if path.is_dir() else path


def _open_with_room(
    path: Path, backups: Path, space: Space
) -> tuple[WriterSession, int, Reads]:
    """Open the writer; on a full disk with what was kept for that."""
    try:
        return _open_session(path, backups)
    except (sqlite3.Error, OSError) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC
        if isinstance(error, sqlite3.Error):
            full = sqlite.fault_of(error, path) is Fault.FULL
        if not (full and space.free_ballast()):
            raise
    return _open_session(path, backups)


def _open_session(path: Path, backups: Path) -> tuple[WriterSession, int, Reads]:
    """Open the writer so that what it acknowledges first is as durable as the rest."""
    frames = frames_in(path)
    connection = sqlite.connect_writer(path)
    guard: sqlite3.Connection | None = None
    try:
        version = version_of(connection)
        warn_of_rest(connection, path, frames)
        if version is not None and version < HEAD:
            _keep_before_upgrade(path, backups, version)
        bring_up_to_date(connection)
        sqlite.quick_check(connection, path)
        # What a killed head wrote last may be in the log and not on the disk, and is
        # about to be read: bring it there. The log stays from here on, so one sync of
        # the directory covers its name.
        sqlite.checkpoint(connection, truncate=True)
        opened = _make_log(connection)
        sync_directory(path.parent)
        reads = _reads()
        guard = sqlite.connect_reader(path)
        last_seq = reads.last_seq(guard)
    except BaseException:
        _close_failed(connection, guard, path)
        raise
    return WriterSession(connection, guard, path, opened), last_seq, reads


def _keep_before_upgrade(path: Path, backups: Path, version: str) -> None:
    """Make a backup of what is about to be migrated, unless an earlier start did.

    Raises:
        OSError: there is no room for it; then nothing is migrated.
    """
    target = backups / f"before-schema-{HEAD}-from-{version}{SUFFIX}"
    if target.exists():
        return
    make_folder(backups)
    copy_store(path, target)
    log.info("kept the store as it was before its upgrade in %s", target)


def _make_log(connection: sqlite3.Connection) -> int:
    """Write something, so that the log is there. SQLite makes it at the first write.

    Returns:
        How often the store has been opened, which fences whoever did so before.
    """
    connection.execute("BEGIN IMMEDIATE")
    row = connection.execute(
        "SELECT value, crc FROM meta WHERE name = 'opened'"
    ).fetchone()
    opened = 1
    if row is not None:
        require_sound(("opened",), row[:1], row[1])
        opened = row[0] + 1
    connection.execute(
        "INSERT INTO meta (name, value, crc) VALUES (?, ?, ?) ON CONFLICT (name) "
        "DO UPDATE SET value = excluded.value, crc = excluded.crc",
        with_seal(("opened",), (opened,)),
    )
    connection.execute("COMMIT")
    return opened


def _close_failed(
    connection: sqlite3.Connection, guard: sqlite3.Connection | None, path: Path
) -> None:
    """Close after a failed opening, leaving the log alone if it can be."""
    if guard is None:
        try:
            guard = sqlite.connect_reader(path)
            guard.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except (sqlite3.Error, StoreBrokenError):
            connection.close()
            return
    sqlite.close_broken(connection, guard)
