"""Room on the disk of the store: seen before it is gone, and some kept for the end.

A head that runs out of room could write nothing more, not even what gives room back.
So new work is refused while there is still some (``LOW_BYTES``), and a file that holds
nothing is kept beside the store, the *ballast*. When a commit finds the disk full
nevertheless, the ballast is deleted: ends, cancels and purges go in. It is made again
once there is room.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

BALLAST: Final = "ballast"
BALLAST_BYTES: Final = 64 << 20
LOW_BYTES: Final = 256 << 20
"""Room below which new work is refused, or LOW_SHARE of the disk where that is less."""
LOW_SHARE: Final = 20
BALLAST_SHARE: Final = 64
"""The ballast is at most this part of the disk."""


class Space:
    """What is known of the room in one directory. Any thread may ask."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / BALLAST
        self._freed = False

    def keep_ballast(self) -> None:
        """Make the ballast, if there is room for it and for more."""
        try:
            disk = os.statvfs(self._folder)
            size = min(BALLAST_BYTES, disk.f_blocks * disk.f_frsize // BALLAST_SHARE)
            if self._ballast.exists() and self._ballast.stat().st_size >= size:
                self._freed = False
                return
            if disk.f_bavail * disk.f_frsize < size + self._low(disk):
                return
            self._allocate(size)
            self._freed = False
        except OSError as error:
            log.debug("no ballast is kept: %s", error)

    def _allocate(self, size: int) -> None:
        descriptor = os.open(
            self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            os.posix_fallocate(descriptor, 0, max(1, size))
        except OSError:
            self._ballast.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def free_ballast(self) -> bool:
        """Give up the ballast; return whether there was any."""
        self._freed = True
        try:
            self._ballast.unlink()
        except OSError:
            return False
        log.error(
            "the disk of %s is full: what was kept for the end is given up, for tasks "
            "that end, cancels and purges; make room",
            self._folder,
        )
        return True

    def problem(self) -> str:
        """Return why no new work may be taken; empty: it may."""
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        free, low = disk.f_bavail * disk.f_frsize, self._low(disk)
        if free >= low and not self._freed:
            return ""
        if free >= low:
            self.keep_ballast()
            if not self._freed:
                return ""
        return f"{self._folder} has {free >> 20} MiB left, {max(1, low >> 20)} are kept"

    @staticmethod
    def _low(disk: os.statvfs_result) -> int:
        return min(LOW_BYTES, disk.f_blocks * disk.f_frsize // LOW_SHARE)
