"""Answering the head's requests to read tasks' output.

Each request is a task of its own. All of them together hold a bounded number of chunks
that wait for the stream: a slow stream slows the readers down, and reports go before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from node_agent.core.frames import Chunk
from node_agent.reading import NotReadableError, open_kept, open_users
from node_agent.shelf import Kept, Slot, UserFile, Waiting
from node_agent.supervised import SupervisorLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.common.clock import Clock
    from node_agent.core.orders import ReadOutput
    from node_agent.reading import Threads
    from node_agent.shelf import Place, Shelf

log = logging.getLogger(__name__)

#: Bytes in one chunk.
CHUNK_BYTES: Final = 64 * 1024
#: Chunks in one frame.
CHUNKS_A_FRAME: Final = 3
#: Chunks of all requests that wait for the stream.
MOST_CHUNKS: Final = 16
#: Requests at a time.
MOST_READS: Final = 1024

#: How often a file that is followed is looked at, seconds: often while it grows.
SHORTEST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.25

GONE: Final = "gone"
UNKNOWN: Final = "unknown"
USER_FILE: Final = "user_file"
BUSY: Final = "busy"


class Outputs:
    """The requests of one stream to the head; they end with it."""

    def __init__(self, shelf: Shelf, clock: Clock, wake: Callable[[], None]) -> None:
        self._shelf = shelf
        self._clock = clock
        self._wake = wake
        self._chunks: deque[Chunk] = deque()
        self._room = asyncio.Semaphore(MOST_CHUNKS)
        self._reads: dict[int, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._early: list[ReadOutput] = []

    async def run(self) -> None:
        """Own the requests until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for order in self._early:
                self.read(order)
            await asyncio.Event().wait()

    def read(self, order: ReadOutput) -> None:
        """Begin to answer a request; one whose number is in use came twice."""
        if self._tasks is None:
            self._early.append(order)
        elif order.read_id in self._reads:
            return
        elif len(self._reads) >= MOST_READS:
            refusal = Chunk(read_id=order.read_id, offset=0, eof=True, error=BUSY)
            self._tasks.create_task(self._emit(refusal))
        else:
            reader = _Reader(order, self._shelf, self._clock, self._emit)
            task = self._tasks.create_task(reader.run())
            self._reads[order.read_id] = task
            task.add_done_callback(lambda _: self._reads.pop(order.read_id, None))

    def stop(self, read_id: int) -> None:
        """Stop answering a request, if it is still being answered."""
        task = self._reads.get(read_id)
        if task is not None:
            task.cancel()

    def take(self) -> list[Chunk]:
        """Return the chunks for the next frame."""
        count = min(CHUNKS_A_FRAME, len(self._chunks))
        for _ in range(count):
            self._room.release()
        chunks = [self._chunks.popleft() for _ in range(count)]
        if self._chunks:
            self._wake()
        return chunks

    async def _emit(self, chunk: Chunk) -> None:
        await self._room.acquire()
        self._chunks.append(chunk)
        self._wake()


class _Reader:
    """Answers one request."""

    def __init__(
        self,
        order: ReadOutput,
        shelf: Shelf,
        clock: Clock,
        emit: Callable[[Chunk], Awaitable[None]],
    ) -> None:
        self._order = order
        self._shelf = shelf
        self._clock = clock
        self._emit = emit
        self._position = order.offset
        self._left = order.limit if order.limit > 0 else None
        self._pause = SHORTEST_PAUSE_S

    async def run(self) -> None:
        with self._shelf.watch(self._order.key) as changed:
            try:
                while not await self._look(changed):
                    changed.clear()
            except SupervisorLostError:
                return  # the stream is about to end as well
            except (NotReadableError, OSError) as error:
                log.warning("output cannot be read", extra={"problem": str(error)})
                await self._close(GONE)

    def _find(self) -> Place:
        return self._shelf.find(self._order.key, stderr=self._order.stderr)

    async def _look(self, changed: asyncio.Event) -> bool:
        """Serve what there is; return whether that was all."""
        place = self._find()
        match place:
            case Waiting():
                if not self._order.follow:
                    return await self._close()
                await changed.wait()
                return False
            case Slot():
                return await self._slot(place, changed)
            case UserFile():
                return await self._user_file(place, changed)
            case Kept():
                return await self._kept(place)

    async def _kept(self, place: Kept) -> bool:
        threads = self._shelf.kept_files
        try:
            descriptor = await threads.open(partial(open_kept, place.path))
        except FileNotFoundError:
            if place.left == 0:
                return await self._close()
            return await self._close(GONE if place.job_known else UNKNOWN)
        try:
            await self._pump(threads, descriptor)
            return await self._close()
        finally:
            os.close(descriptor)

    async def _user_file(self, place: UserFile, changed: asyncio.Event) -> bool:
        if place.path is None:
            return await self._close(USER_FILE)
        threads = self._shelf.user_files
        opener = partial(open_users, place.path, task_uid=self._shelf.task_uid)
        try:
            descriptor = await threads.open(opener)
        except NotReadableError as error:
            log.info("a user's file is not served", extra={"problem": str(error)})
            return await self._close(USER_FILE)
        try:
            while True:
                changed.clear()
                running = self._running()
                more = await self._pump(threads, descriptor)
                if not (more and running and self._order.follow):
                    return await self._close()
                await self._rest(changed)
        finally:
            os.close(descriptor)

    async def _slot(self, place: Slot, changed: asyncio.Event) -> bool:
        """Serve a slot file, which belongs to the attempt only for a while.

        The supervisor uses a slot again for another task as long as it is empty. So the
        first bytes are served only after it has confirmed that the attempt still runs;
        from then on the file is the attempt's, whatever its name becomes.
        """
        threads = self._shelf.kept_files
        try:
            descriptor = await threads.open(partial(open_kept, place.path))
        except FileNotFoundError:
            await self._shelf.confirm()
            if self._find() == place:
                return await self._close(GONE)
            return False
        try:
            proven = False
            while True:
                changed.clear()
                running = self._find() == place
                if not proven:
                    if not running:
                        return False
                    if await threads.size(descriptor) > 0:
                        await self._shelf.confirm()
                        if self._find() != place:
                            return False
                        proven = True
                more = not proven or await self._pump(threads, descriptor)
                if not (more and running and self._order.follow):
                    return await self._close()
                await self._rest(changed)
        finally:
            os.close(descriptor)

    def _running(self) -> bool:
        place = self._find()
        return isinstance(place, UserFile) and place.running

    async def _pump(self, threads: Threads, descriptor: int) -> bool:
        """Send what the file has beyond our position; return whether more is wanted."""
        if self._position < 0:
            size = await threads.size(descriptor)
            self._position = max(0, size + self._position)
        while self._left is None or self._left > 0:
            count = CHUNK_BYTES if self._left is None else min(CHUNK_BYTES, self._left)
            data = await threads.read(descriptor, count, self._position)
            if not data:
                return True
            read_id = self._order.read_id
            await self._emit(Chunk(read_id=read_id, offset=self._position, data=data))
            self._position += len(data)
            self._pause = SHORTEST_PAUSE_S
            if self._left is not None:
                self._left -= len(data)
        return False

    async def _rest(self, changed: asyncio.Event) -> None:
        """Wait until the attempt changes or it is time to look at the file again."""
        timer = self._clock.call_at(self._clock.mono() + self._pause, changed.set)
        try:
            await changed.wait()
        finally:
            timer.cancel()
        self._pause = min(LONGEST_PAUSE_S, self._pause * 1.5)

    async def _close(self, error: str = "") -> bool:
        offset = max(0, self._position)
        read_id = self._order.read_id
        await self._emit(Chunk(read_id=read_id, offset=offset, eof=True, error=error))
        return True
