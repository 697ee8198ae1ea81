"""Reads of task output that are under way on one node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.runtime.frames import OutputChunk

WINDOW: Final = 256 * 1024
"""Bytes asked for at a time: a slow reader holds no more than this in the head."""
SMALLEST: Final = 64
"""What a chunk counts for at least, so that empty ones are bounded as well."""


class Reading:
    """One read: the chunks that have come and that nobody took yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._left = WINDOW
        self._chunks: asyncio.Queue[OutputChunk | None] = asyncio.Queue()

    def take(self, chunk: OutputChunk) -> bool:
        """Take a chunk; False if it is more than was asked for: the node is mad."""
        if len(chunk.data) > self._left or self._left <= 0:
            return False
        self._left -= max(SMALLEST, len(chunk.data))
        self._chunks.put_nowait(chunk)
        return True

    def break_off(self) -> None:
        """No more will come."""
        self._chunks.put_nowait(None)

    async def next(self) -> OutputChunk | None:
        """Return the next chunk; None: broken off."""
        return await self._chunks.get()


class Readings:
    """Hands chunks to whoever asked, and bounds them by what was asked for."""

    def __init__(self) -> None:
        self._open: dict[int, Reading] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> Reading:
        """Return a new read."""
        reading = self._open[self._next] = Reading(self._next)
        self._next += 1
        return reading

    def take(self, chunk: OutputChunk) -> None:
        """Take a chunk; one that nobody waits for is dropped."""
        reading = self._open.get(chunk.read_id)
        if reading is not None and not reading.take(chunk):
            reading.break_off()
            del self._open[chunk.read_id]

    def end(self, reading: Reading) -> None:
        """Forget a read."""
        self._open.pop(reading.number, None)

    def close(self) -> None:
        """The stream is gone: every read is broken off."""
        for reading in self._open.values():
            reading.break_off()
        self._open.clear()
