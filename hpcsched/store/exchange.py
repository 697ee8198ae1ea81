"""Putting another store in the place of one that nobody serves.

The new one is made beside the old one, looked through, and synced; then the names are
exchanged. The directory is marked meanwhile (store.marks): a start between the two
renames would find no store, and make an empty one. Nothing is deleted: the old files go
to a directory of their own.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hpcsched.store.backups import sync_file
from hpcsched.store.errors import StoreBrokenError, StoreError, StoreFormatError
from hpcsched.store.marks import EXCHANGE, Mark, clear_mark, mark_of, put_mark
from hpcsched.store.opener import DATABASE
from hpcsched.store.progress import Progress, begin_generation, progress_of
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.inspection import connect_to_look
from hpcsched.store.sql.migrate import bring_up_to_date, version_of
from hpcsched.store.state_directory import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcsched.store.findings import Finding

    Look = Callable[[Path], Sequence[Finding]]

_PART: Final = "exchange.part"
_FILES: Final = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
_MOST_TOLD: Final = 5


class UnsoundStoreError(StoreError):
    """The store that was to be put in place is not sound; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """Another store is in place.

    Attributes:
        kept: Where the files of the one before are; None: there was none.
        progress: Where the cluster goes on.
        warning: What the operator should know; mostly empty.
    """

    kept: Path | None
    progress: Progress
    warning: str = ""


def restore(folder: Path, source: Path, look: Look, now: float) -> Exchanged:
    """Put a backup in place, in restore mode and a new generation.

    Args:
        folder: The state directory, locked by the caller.
        source: The backup; it is not changed.
        look: Looks through a store.
        now: Seconds since 1970, UTC.

    Raises:
        UnsoundStoreError: the backup is not sound.
        StoreError: it is no store, or one of a newer version.
        OSError: the disk does not take it.
    """
    _undo_half(folder)
    known = _known(folder / DATABASE)
    warning = ""
    if source.parent != folder and _is_live_copy(source):
        warning = (
            f"{source} is a copy of a store's file, not a backup: commits that were "
            "only in its log are missing"
        )
    part = _fresh_part(folder)
    try:
        try:
            with closing(connect_to_look(source)) as reader:
                _require_store(reader)
                _copy(reader, part)
        except (sqlite3.Error, StoreFormatError) as error:
            raise UnsoundStoreError(f"{source}: {error}") from error
        progress = _prepare(part, look, known)
        kept = _exchange(folder, part, "a backup", now)
    finally:
        part.unlink(missing_ok=True)
    return Exchanged(kept=kept, progress=progress, warning=warning)


def accept(folder: Path, look: Look, now: float) -> Exchanged:
    """Let a store go on that is older than what nodes have seen.

    Raises:
        UnsoundStoreError, StoreError, OSError: as of ``restore``.
    """
    return restore(folder, folder / DATABASE, look, now)


def rewrite(folder: Path, look: Look, now: float) -> Exchanged:
    """Write a store to new files, after an error of the disk.

    What the disk's cache holds and the disk does not is on the disk afterwards, or the
    store is not sound.

    Raises:
        UnsoundStoreError: the store is not sound: a backup is needed.
        OSError: the disk does not take it.
    """
    _undo_half(folder)
    source = folder / DATABASE
    part = _fresh_part(folder)
    try:
        try:
            with closing(sqlite.connect_plain(source)) as reader:
                progress = progress_of(reader)
                reader.execute("VACUUM INTO ?", (str(part),))
        except sqlite3.Error as error:
            raise UnsoundStoreError(f"{source}: {error}") from error
        part.chmod(0o600)
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            sqlite.set_pragma(copy, "journal_mode", "delete")
        _require_sound(part, look)
        kept = _exchange(folder, part, "the store, written anew", now)
    finally:
        part.unlink(missing_ok=True)
    return Exchanged(kept=kept, progress=progress)


def _fresh_part(folder: Path) -> Path:
    part = folder / _PART
    for name in (_PART, f"{_PART}-journal", f"{_PART}-wal", f"{_PART}-shm"):
        (folder / name).unlink(missing_ok=True)
    return part


def _undo_half(folder: Path) -> None:
    """Take back what an exchange did that was killed between its renames."""
    mark = mark_of(folder)
    if mark is None or mark.kind != EXCHANGE or (folder / DATABASE).exists():
        return
    for kept in sorted(folder.glob("replaced-*"), reverse=True):
        if (kept / DATABASE).exists():
            for name in _FILES:
                if (kept / name).exists():
                    (kept / name).rename(folder / name)
            sync_directory(folder)
            return


def _require_store(reader: sqlite3.Connection) -> None:
    if version_of(reader) is None:
        raise StoreFormatError("the file is empty")


def _copy(reader: sqlite3.Connection, part: Path) -> None:
    part.touch(mode=0o600)
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        reader.backup(copy)
        sqlite.set_pragma(copy, "journal_mode", "delete")


def _prepare(part: Path, look: Look, known: Progress | None) -> Progress:
    """Bring the copy up to date, look through it, and let it go on as another."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        sqlite.set_pragma(copy, "synchronous", 2)
        try:
            bring_up_to_date(copy)
        except sqlite3.DatabaseError as error:
            raise UnsoundStoreError(f"it cannot be brought up to date: {error}") from (
                error
            )
        _require_sound(part, look)
        copy.execute("BEGIN IMMEDIATE")
        after = begin_generation(copy, known or Progress(), sure=known is not None)
        copy.execute("COMMIT")
    return after


def _require_sound(part: Path, look: Look) -> None:
    findings = look(part)
    if findings:
        told = "; ".join(one.text for one in findings[:_MOST_TOLD])
        more = "" if len(findings) <= _MOST_TOLD else f"; and {len(findings)} in all"
        raise UnsoundStoreError(f"it is not sound: {told}{more}")


def _known(path: Path) -> Progress | None:
    """Return how far the store that is replaced had come; None: nobody knows."""
    if not path.exists():
        return None
    try:
        with closing(connect_to_look(path)) as reader:
            return progress_of(reader)
    except (sqlite3.Error, StoreBrokenError, ValueError, TypeError):
        return None


def _is_live_copy(source: Path) -> bool:
    """Was the file taken from under a head, without its log?

    The header of a live file says that it has one (byte 18: 2); that of a backup not.
    """
    try:
        with source.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise StoreError(f"{source}: {error.strerror}") from error
    return len(head) > 18 and head[18] == 2 and not sqlite.log_size(source)  # noqa: PLR2004


def _exchange(folder: Path, part: Path, what: str, now: float) -> Path | None:
    sync_file(part)
    moment = datetime.fromtimestamp(now, UTC)
    problem = f"{what} was being put in place and that did not end"
    put_mark(folder, Mark(EXCHANGE, problem, now))
    kept: Path | None = None
    if any((folder / name).exists() for name in _FILES):
        kept = folder / f"replaced-{moment:%Y%m%dT%H%M%SZ}"
        number = 1
        while kept.exists():
            number += 1
            kept = folder / f"replaced-{moment:%Y%m%dT%H%M%SZ}-{number}"
        kept.mkdir(mode=0o700)
        for name in _FILES:
            if (folder / name).exists():
                (folder / name).rename(kept / name)
        sync_directory(kept)
    part.rename(folder / DATABASE)
    sync_directory(folder)
    clear_mark(folder)
    return kept
