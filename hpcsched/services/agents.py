"""AgentService: the stream of one node, with one reader and one writer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from grpc import aio

from hpcsched.agent.v1 import agent_service_pb2_grpc
from hpcsched.common.errors import REASONS, HpcError
from hpcsched.runtime.eager import Begun
from hpcsched.runtime.frames import HeadFrame
from hpcsched.services.convert_order import head_message
from hpcsched.services.convert_report import agent_value, hello_value
from hpcsched.services.gate import node_of_token
from hpcsched.services.interrupting import WriteDeadline, after, interruptible
from hpcsched.services.limits import (
    ABORT_DEADLINE_S,
    HELLO_DEADLINE_S,
    MAX_HELLO_BYTES,
    MAX_LIVE_ATTEMPTS,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from hpcsched.common.clock import Clock
    from hpcsched.runtime.frames import AgentFront, AgentSession, Hello

    Read = Callable[[], Awaitable[Any]]

_log = logging.getLogger(__name__)


class Link:
    """The way to one agent (frames.AgentLink): frames queue, one writer takes them.

    Where the writer has nothing to do, a frame is begun to be written at once, in the
    turn of who sends it, and the writer awaits the rest.

    Attributes:
        write: Writes a frame; None: nobody does yet.
    """

    def __init__(self) -> None:
        self._frames: deque[HeadFrame] = deque()
        self._wake = asyncio.Event()
        self._begun: Begun | None = None
        self._idle = False
        self.write: Callable[[HeadFrame], Coroutine[Any, Any, None]] | None = None
        self.refusal: HpcError | None = None
        self.closed = False

    def send(self, frame: HeadFrame) -> None:
        """Send a frame; acknowledgements and heartbeats join one that still waits."""
        if self._idle and self.write is not None:
            self._idle = False
            self._begun = Begun(self.write(frame))
            self._wake.set()
            return
        last = self._frames[-1] if self._frames else None
        if last is not None and not frame.seq and frame.welcome is None:
            self._frames[-1] = HeadFrame(
                seq=last.seq,
                ack=max(last.ack, frame.ack),
                welcome=last.welcome,
                orders=last.orders,
                heartbeat=last.heartbeat or frame.heartbeat,
                goodbye_retry_ms=max(last.goodbye_retry_ms, frame.goodbye_retry_ms),
            )
        else:
            self._frames.append(frame)
        self._wake.set()

    def close(self, reason: str, message: str) -> None:
        """End the stream with a refusal, after what is queued."""
        self.closed = True
        if reason in REASONS:
            self.refusal = HpcError.from_wire(reason, message, {})
        self._wake.set()

    def hang_up(self) -> None:
        """Nobody listens any more: nothing that is queued is sent."""
        self._frames.clear()
        self.closed = True
        self._wake.set()

    async def written(self) -> bool:
        """Write the next frame; return False when the stream is to end instead."""
        assert self.write is not None  # noqa: S101  it is the writer's
        while not (self._frames or self._begun):
            if self.closed:
                return False
            self._wake.clear()
            self._idle = True
            try:
                await self._wake.wait()
            finally:
                self._idle = False
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun
        else:
            await self.write(self._frames.popleft())
        return True

    def end(self) -> None:
        """The writer is gone: what it has not awaited is not written on."""
        self.write = None
        if self._begun is not None:
            self._begun.close()
            self._begun = None


class AgentService(agent_service_pb2_grpc.AgentServiceServicer):
    """See the proto."""

    def __init__(self, front: AgentFront, clock: Clock) -> None:
        self._front = front
        self._clock = clock

    async def Connect(  # type: ignore[override]
        self, request_iterator: Read, context: Any
    ) -> None:
        """Serve one stream until either side ends it.

        Args:
            request_iterator: Returns the next message, None at the end (services.gate).
            context: Of the call.
        """
        link = Link()
        read = request_iterator
        hello = await self._hello_in_time(read)
        if hello is None:
            return
        session = await self._front.connect(hello, link, token_node=node_of_token())
        try:
            await self._serve(read, context, link, session)
        finally:
            session.closed()
        if link.refusal is not None:
            raise link.refusal

    async def _hello_in_time(self, read: Read) -> Hello | None:
        """Return the Hello; an agent that does not say it is let go."""
        problem = f"none came within {HELLO_DEADLINE_S:g} s"
        late = HpcError("INVALID_FIELD", field="hello", problem=problem)
        with (
            interruptible() as interrupt,
            after(self._clock, HELLO_DEADLINE_S, interrupt, late),
        ):
            return await self._hello(read)

    async def _hello(self, read: Read) -> Hello | None:
        parts = []
        live = size = 0
        while True:
            message = await read()
            if message is None:
                return None
            size += message.ByteSize()
            if size > MAX_HELLO_BYTES:
                limit = f"at most {MAX_HELLO_BYTES} bytes"
                raise HpcError("OUT_OF_RANGE", field="hello", value=size, limit=limit)
            if not message.HasField("hello"):
                raise HpcError(
                    "INVALID_FIELD", field="hello", problem="the first frame has none"
                )
            parts.append(message.hello)
            live += len(message.hello.live)
            if live > MAX_LIVE_ATTEMPTS:
                limit = f"at most {MAX_LIVE_ATTEMPTS}"
                raise HpcError(
                    "OUT_OF_RANGE", field="hello.live", value=live, limit=limit
                )
            if not message.hello.more:
                return hello_value(parts)

    async def _serve(
        self, read: Read, context: Any, link: Link, session: AgentSession
    ) -> None:
        """Read and write until one of both is over; that ends the other."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(context, link))
                reader = tasks.create_task(self._read(read, link, session))
                writer.add_done_callback(lambda _: reader.cancel())
                await asyncio.wait([reader])
                # A write that is broken off takes the call's status with it.
                link.hang_up()
                end = self._clock.mono() + ABORT_DEADLINE_S
                timer = self._clock.call_at(end, writer.cancel)
                try:
                    await asyncio.wait([writer])
                finally:
                    timer.cancel()
        except* (aio.UsageError, aio.AbortError, aio.BaseError) as errors:
            _log.info("agent stream ended: %s", errors.exceptions[0])

    async def _read(self, read: Read, link: Link, session: AgentSession) -> None:
        """Hand over what comes; one message that cannot be read is the last.

        Nobody knows what was in it, and an acknowledgement of a later one would speak
        of it as well: the agent begins again.
        """
        try:
            while (message := await read()) is not None:
                session.receive(agent_value(message))
        except HpcError as refusal:
            link.refusal = refusal

    async def _write(self, context: Any, link: Link) -> None:
        """Write what is sent; who takes nothing is refused."""
        try:
            with (
                interruptible() as interrupt,
                WriteDeadline(self._clock, interrupt) as deadline,
            ):

                async def write(frame: HeadFrame) -> None:
                    deadline.begin()
                    await context.write(head_message(frame))
                    deadline.end()

                link.write = write
                while await link.written():
                    pass
        except HpcError as refusal:
            link.refusal = refusal
        finally:
            link.end()
