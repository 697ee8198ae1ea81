"""Opening and reading files away from the event loop.

A disk may be slow and a network file system may hang. Files of the node and files of
users are read by different threads, so that the one never waits for the other.
"""

from __future__ import annotations

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS: Final = 4

#: A FIFO must not hold up a thread, and a link must not lead elsewhere.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class NotReadableError(Exception):
    """A file is there, and this program must not or cannot serve it."""


def open_kept(path: str) -> int:
    """Return a descriptor of a file that the node keeps.

    Raises:
        FileNotFoundError: it is not there.
        NotReadableError: it is there and cannot be read.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotReadableError(f"{path}: {error.strerror}") from error
    return _regular(descriptor, path)


def open_users(path: str, *, task_uid: int) -> int:
    """Return a descriptor of a file of the user's, if tasks could read it as well.

    This program may have rights that tasks have not: a path that leads to one of its
    own files must not be served. So the file has to be readable by all, or be the
    tasks' own where they and this program have the same account.

    Args:
        path: As the task's definition gives it.
        task_uid: Account that tasks run as.

    Raises:
        NotReadableError: it is not there, no regular file, or not readable by tasks.
    """
    try:
        descriptor = os.open(path, _FLAGS & ~os.O_NOFOLLOW)
    except OSError as error:
        raise NotReadableError(f"{path}: {error.strerror}") from error
    found = os.fstat(_regular(descriptor, path))
    own = found.st_uid == task_uid == os.geteuid()
    if not (own or found.st_mode & stat.S_IROTH):
        os.close(descriptor)
        raise NotReadableError(f"{path}: not readable by tasks")
    return descriptor


class Threads:
    """A few threads that open and read files."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    async def open(self, opener: Callable[[], int]) -> int:
        """Return the descriptor that ``opener`` makes, and raise what it raises."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, opener)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close_unwanted)
            raise

    async def size(self, descriptor: int) -> int:
        """Return the length of the file, bytes."""
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._pool, os.fstat, descriptor)).st_size

    async def read(self, descriptor: int, count: int, offset: int) -> bytes:
        """Return at most so many bytes from a position; none at the file's end."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, os.pread, descriptor, count, offset
        )

    def close(self) -> None:
        """Let the threads go; one that hangs in a file system is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _regular(descriptor: int, path: str) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotReadableError(f"{path}: no regular file")


def _close_unwanted(future: asyncio.Future[int]) -> None:
    with suppress(asyncio.CancelledError, OSError, NotReadableError):
        os.close(future.result())
