"""Outputs of ended tasks that the node keeps, within a quota."""

from __future__ import annotations

import contextlib
import os
import shutil
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_QUOTA_BYTES = 1 << 30
BLOCK_BYTES = 4096
STREAMS = ("out", "err")
NAME_PARTS = 4
FIELDS = 6  # job, task, instance, attempt, stream, bytes on disk


class Outputs:
    """The files ``<job>/<task>.<instance>.<attempt>.{out,err}``, oldest end first.

    An entry is six integers in one array: a quarter of a million of files, what a
    gibibyte of small ones amounts to, take 12 MB.

    Attributes:
        quota: Bytes that may be kept; each file counts in whole blocks.
        total: Bytes that are kept.
    """

    __slots__ = ("_directory", "_entries", "_file_mode", "_first", "quota", "total")

    def __init__(self, directory: str, quota: int, *, for_group: bool) -> None:
        self._directory = directory
        self._file_mode = 0o750 if for_group else 0o700
        self._entries = array("q")
        self._first = 0
        self.quota = quota
        self.total = 0
        self._find()
        self.enforce()

    def path(self, job: int, task: int, instance: int, attempt: int, kind: int) -> str:
        """Return where a stream (0 stdout, 1 stderr) of an ended attempt is kept."""
        name = f"{task}.{instance}.{attempt}.{STREAMS[kind]}"
        return os.path.join(self._directory, str(job), name)

    def keep(self, key: tuple[int, int, int, int], kind: int, source: str) -> None:
        """Move a file that an attempt has written to its place, and make room for it.

        Raises:
            OSError: it cannot be moved.
        """
        target = self.path(*key, kind)
        try:
            os.rename(source, target)
        except FileNotFoundError:
            folder = os.path.dirname(target)
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, self._file_mode)
            os.rename(source, target)
        self._count(key, kind, os.stat(target).st_size)
        self.enforce()

    def enforce(self) -> None:
        """Delete the oldest until the quota holds."""
        entries = self._entries
        while self.total > self.quota and self._first < len(entries):
            job, task, instance, attempt, kind, size = entries[
                self._first : self._first + FIELDS
            ]
            self._first += FIELDS
            self.total -= size
            path = self.path(job, task, instance, attempt, kind)
            with contextlib.suppress(OSError):
                os.unlink(path)
            with contextlib.suppress(OSError):  # only if it was the job's last
                os.rmdir(os.path.dirname(path))
        if self._first > len(entries) // 2:
            del entries[: self._first]
            self._first = 0

    def purge(self, job: int) -> None:
        """Delete everything that a job has left."""
        shutil.rmtree(os.path.join(self._directory, str(job)), ignore_errors=True)
        entries, kept = self._entries, array("q")
        for start in range(self._first, len(entries), FIELDS):
            entry = entries[start : start + FIELDS]
            if entry[0] == job:
                self.total -= entry[5]
            else:
                kept.extend(entry)
        self._entries, self._first = kept, 0

    def _count(self, key: tuple[int, int, int, int], kind: int, size: int) -> None:
        on_disk = max(BLOCK_BYTES, -(-size // BLOCK_BYTES) * BLOCK_BYTES)
        self._entries.extend((*key, kind, on_disk))
        self.total += on_disk

    def _find(self) -> None:
        """Count what earlier runs have kept, in order of its last change."""
        found = sorted(self._scan())
        for _, size, key, kind in found:
            self._count(key, kind, size)

    def _scan(self) -> Iterator[tuple[int, int, tuple[int, int, int, int], int]]:
        for job in self._folders():
            with os.scandir(os.path.join(self._directory, job)) as files:
                for file in files:
                    parts = file.name.split(".")
                    if len(parts) != NAME_PARTS or parts[3] not in STREAMS:
                        continue
                    with contextlib.suppress(ValueError, OSError):
                        key = (int(job), int(parts[0]), int(parts[1]), int(parts[2]))
                        info = file.stat(follow_symlinks=False)
                        yield (
                            info.st_mtime_ns,
                            info.st_size,
                            key,
                            STREAMS.index(parts[3]),
                        )

    def _folders(self) -> list[str]:
        return [name for name in os.listdir(self._directory) if name.isdigit()]
