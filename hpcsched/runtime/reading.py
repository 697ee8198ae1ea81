"""Reads of task output that are under way on one node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.runtime.frames import OutputChunk

WINDOW: Final = 256 * 1024
"""Bytes asked for at a time: a slow reader holds no more than this in the head."""


class Readings:
    """Hands chunks to whoever asked; one queue per read, bounded by what was asked for."""

    def __init__(self) -> None:
        self._open: dict[int, asyncio.Queue[OutputChunk | None]] = {}
        self._next = 1

    def open(self) -> tuple[int, asyncio.Queue[OutputChunk | None]]:
        """Return the number and the queue of a new read; None in it means: broken off."""
        number, self._next = self._next, self._next + 1
        queue: asyncio.Queue[OutputChunk | None] = asyncio.Queue()
        self._open[number] = queue
        return number, queue

    def take(self, chunk: OutputChunk) -> None:
        """Take a chunk; one that nobody waits for is dropped."""
        queue = self._open.get(chunk.read_id)
        if queue is not None:
            queue.put_nowait(chunk)

    def end(self, number: int) -> None:
        """Forget a read."""
        self._open.pop(number, None)

    def close(self) -> None:
        """The stream is gone: every read is broken off."""
        for queue in self._open.values():
            queue.put_nowait(None)
        self._open.clear()
