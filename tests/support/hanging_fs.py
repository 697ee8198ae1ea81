"""A file system that never answers: FUSE without anybody behind it."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MNT_DETACH = 2
DEVICE = Path("/dev/fuse")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def hanging_fs(place: Path) -> Iterator[int]:
    """Mount one at a directory; yield the descriptor whose end lets all calls fail.

    Where that cannot be the test is skipped; it needs root and FUSE.
    """
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"{DEVICE} cannot be used: {error}")
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    where = os.fsencode(place)
    if _libc.mount(b"hpc-test", where, b"fuse", 0, options) != 0:
        number = ctypes.get_errno()
        os.close(descriptor)
        pytest.skip(f"no FUSE here: {os.strerror(number)}")
    try:
        yield descriptor
    finally:
        _libc.umount2(where, MNT_DETACH)
        try:
            os.close(descriptor)
        except OSError:  # the test has closed it
            return
