"""Copies of a store, made while it is served, in a directory of their own.

A backup is one moment of the store: a file that needs no log beside it, synced, and
looked through before it gets its name. Everything that a head needs to go on is in it,
and so are users' specifications and environments; secrets of tokens are not, nor is the
key of users' blobs (``blob.key``).
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hpcsched.store.errors import (
    NoSuchBackupError,
    StoreBrokenError,
    StoreError,
    StoreFullError,
)
from hpcsched.store.sql import sqlite
from hpcsched.store.state_directory import sync_directory

FOLDER: Final = "backups"
"""Where backups are kept, in the state directory, unless the configuration says."""
SUFFIX: Final = ".hpcbackup"
RESERVE_BYTES: Final = 64 << 20
"""What a backup leaves free of its disk."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}" + re.escape(SUFFIX))


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup.

    Attributes:
        name: Of the file, without its directory.
        folder: Its directory, on the head.
        size: Bytes.
        time: When it was made, seconds since 1970, UTC.
        digest: SHA-256 of the file; empty in lists.
        last_seq: Number of the newest event in it; 0 in lists.
    """

    name: str
    folder: str
    size: int
    time: float
    digest: bytes = b""
    last_seq: int = 0


class Backups:
    """The directory with backups of one store. Every method blocks."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self._source = source

    def create(self, now: float) -> Backup:
        """Make a backup.

        Args:
            now: Seconds since 1970, UTC; in its name.

        Raises:
            StoreFullError: there is no room for it.
            StoreBrokenError: the store is damaged.
            StoreError: it could not be made.
        """
        moment = datetime.fromtimestamp(now, UTC)
        stem = f"hpcsched-{moment:%Y%m%dT%H%M%SZ}"
        try:
            make_folder(self.folder)
            self._require_room()
            path = self._free_name(stem)
            last_seq = copy_store(self._source, path)
            return Backup(
                name=path.name,
                folder=str(self.folder),
                size=path.stat().st_size,
                time=now,
                digest=_digest(path),
                last_seq=last_seq,
            )
        except sqlite3.Error as error:
            raise _told(error, self.folder) from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self.folder}: {error.strerror or error}") from error

    def list(self) -> list[Backup]:
        """Return the backups that there are, oldest first."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            status = path.stat()
            found.append(
                Backup(
                    name=path.name,
                    folder=str(self.folder),
                    size=status.st_size,
                    time=status.st_mtime,
                )
            )
        return sorted(found, key=lambda one: (one.time, one.name))

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a backup; empty behind its end.

        Raises:
            NoSuchBackupError: there is none of this name.
        """
        try:
            with self._path(name).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            raise NoSuchBackupError(name) from None

    def delete(self, name: str) -> None:
        """Delete a backup.

        Raises:
            NoSuchBackupError: there is none of this name.
        """
        try:
            self._path(name).unlink()
        except OSError:
            raise NoSuchBackupError(name) from None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NoSuchBackupError(name)
        return self.folder / name

    def _free_name(self, stem: str) -> Path:
        number = 1
        while True:
            ending = SUFFIX if number == 1 else f"-{number}{SUFFIX}"
            path = self.folder / f"{stem}{ending}"
            if not path.exists():
                return path
            number += 1

    def _require_room(self) -> None:
        needed = self._source.stat().st_size + sqlite.log_size(self._source)
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        if free < needed + RESERVE_BYTES:
            problem = (
                f"{self.folder} has {free >> 20} MiB free; the backup may take "
                f"{needed >> 20}, and {RESERVE_BYTES >> 20} are to stay free"
            )
            raise StoreFullError(problem)


def make_folder(folder: Path) -> None:
    """Make the directory of backups, durably: its name is there after a power cut.

    Raises:
        OSError: the disk does not take it.
    """
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_directory(folder.parent)


def copy_store(source: Path, target: Path) -> int:
    """Copy a store that may be in use; return the number of its newest event.

    The copy is whole and on the disk, or not there. Serving goes on meanwhile: only the
    log cannot start again from its beginning.

    Raises:
        sqlite3.Error: it cannot be read or written.
        StoreBrokenError: the copy is damaged, and so is the store.
        OSError: the disk does not take it.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite.connect_reader(source)) as reader:
            last_seq = _copy(reader, part)
        sync_file(part)
        part.rename(target)
        sync_directory(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return last_seq


def _copy(reader: sqlite3.Connection, part: Path) -> int:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        sqlite.set_pragma(copy, "synchronous", 0)  # synced as a whole at the end
        reader.backup(copy)
        sqlite.set_pragma(copy, "journal_mode", "delete")
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreBrokenError(f"the store is damaged: {found}")
        row = copy.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM event), 0), "
            "coalesce((SELECT value FROM meta WHERE name = 'floor_seq'), 0))"
        ).fetchone()
    return int(row[0])


def sync_file(path: Path) -> None:
    """Bring a file to the disk.

    Raises:
        OSError: the disk did not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _told(error: sqlite3.Error, folder: Path) -> StoreError:
    if (sqlite.code_of(error) or 0) & 0xFF == sqlite3.SQLITE_FULL:
        return StoreFullError(f"{folder} is full: {error}")
    if sqlite.is_damage(error):
        return StoreBrokenError(f"the backup could not be made: {error}")
    return StoreError(f"the backup could not be made: {error}")
