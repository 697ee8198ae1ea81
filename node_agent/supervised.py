"""The connection to the supervisor: a Unix socket, whatever happens at its other end.

The supervisor may be stopped, upgraded or killed at any time, and keeps its tasks. The
connection comes back by itself; who uses it is told that it was lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, cast

from node_agent.supervisor import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock
    from node_agent.core.definitions import Message

log = logging.getLogger(__name__)

#: How long to wait before the next attempt to connect, seconds; doubled each time.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

#: How long what the supervisor says may gather while there is no hurry, seconds: to be
#: woken costs more than to hear of a task.
GATHER_S: Final = 0.003

#: A frame is closed when it has grown to so many bytes (the protocol allows 16 MiB).
FRAME_BYTES: Final = 1024 * 1024


#: So many messages become text at once, which is faster than one by one.
ENCODED_AT_ONCE: Final = 16


_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

#: struct ucred of unix(7): pid, uid, gid.
_PEER: Final = struct.Struct("iii")


class SupervisorLostError(Exception):
    """The connection to the supervisor is gone; what was asked may not be answered."""


class Listener(Protocol):
    """Who hears the supervisor. None of these may raise or block."""

    @property
    def has_deep_queue(self) -> bool:
        """Is there no hurry to hear what has started and ended?"""

    def supervisor_connected(self) -> None:
        """Hear that a connection is there: the hello comes next, then the journal."""

    def supervisor_said(self, messages: list[Message]) -> None:
        """Hear messages, in order; pongs of barriers are not among them."""

    def supervisor_lost(self) -> None:
        """Hear that the connection is gone."""


class Supervisor:
    """The agent's end of the socket."""

    def __init__(self, path: str, clock: Clock, listener: Listener) -> None:
        self._path = path
        self._clock = clock
        self._listener = listener
        self._wire: _Wire | None = None
        self._pings = 0
        self._barriers: dict[int, asyncio.Future[None]] = {}

    @property
    def connected(self) -> bool:
        """Is there a connection now?"""
        return self._wire is not None

    @property
    def account(self) -> int:
        """User id of the supervisor, and so of its tasks; -1 without a connection."""
        return -1 if self._wire is None else self._wire.account

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        pause = FIRST_PAUSE_S
        told = ""
        while True:
            try:
                wire = await self._connect()
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning(
                        "the supervisor cannot be reached",
                        extra={"socket": self._path, "problem": told},
                    )
                await self._clock.sleep(pause)
                pause = min(LONGEST_PAUSE_S, 2 * pause)
                continue
            pause, told = FIRST_PAUSE_S, ""
            try:
                await wire.lost.wait()
            finally:
                wire.close()
                self._lose()
            log.warning("the supervisor has closed the connection")
            await self._clock.sleep(FIRST_PAUSE_S)

    def send(self, message: Message) -> None:
        """Send a message with whatever else is sent in this turn of the loop.

        Without a connection it is dropped: after the next hello everything is told
        again.
        """
        if self._wire is not None:
            self._wire.send(message)

    def flush(self) -> None:
        """Send now what this turn of the loop has said so far."""
        if self._wire is not None:
            self._wire.flush()

    def ping(self) -> int:
        """Ask for a sign that everything sent so far was heard; return its number.

        The answer comes among the messages, as ``["pong", number]``.
        """
        self._pings += 1
        self.send([protocol.PING, self._pings])
        return self._pings

    async def barrier(self) -> None:
        """Wait until everything the supervisor had to say up to now has been heard.

        Raises:
            SupervisorLostError: the connection is gone, or goes meanwhile.
        """
        if self._wire is None:
            raise SupervisorLostError
        number = self.ping()
        future = asyncio.get_running_loop().create_future()
        self._barriers[number] = future
        try:
            await future
        finally:
            self._barriers.pop(number, None)

    async def writable(self) -> None:
        """Wait while the supervisor has more to read than it should have."""
        if self._wire is not None:
            await self._wire.writable.wait()

    async def _connect(self) -> _Wire:
        loop = asyncio.get_running_loop()
        with protocol.socket_address(self._path) as address:
            _, wire = await loop.create_unix_connection(
                lambda: _Wire(self._hear, self._clock), address
            )
        self._wire = wire
        log.info("connected to the supervisor", extra={"socket": self._path})
        self._listener.supervisor_connected()
        self.send([protocol.HELLO, {"version": protocol.VERSION, "job_ends": False}])
        return wire

    def _hear(self, messages: list[Message]) -> None:
        if self._barriers:
            # Each barrier falls after what came before it, hence one by one.
            for message in messages:
                self._listener.supervisor_said([message])
                if message[0] == protocol.PONG:
                    self._fall(message)
        else:
            self._listener.supervisor_said(messages)
            if self._wire is not None and self._listener.has_deep_queue:
                self._wire.gather()

    def _fall(self, message: Message) -> None:
        future = self._barriers.get(message[1]) if len(message) > 1 else None
        if future is not None and not future.done():
            future.set_result(None)

    def _lose(self) -> None:
        self._wire = None
        for future in self._barriers.values():
            if not future.done():
                future.set_exception(SupervisorLostError())
        self._listener.supervisor_lost()


class _Wire(asyncio.Protocol):
    """Frames in, frames out."""

    def __init__(self, hear: Callable[[list[Message]], None], clock: Clock) -> None:
        self._hear = hear
        self._clock = clock
        self._gathering = False
        self._reader = protocol.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._messages: list[Message] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.account = -1
        self.lost = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def send(self, message: Message) -> None:
        if not (self._messages or self._pending):
            asyncio.get_running_loop().call_soon(self.flush)
        self._messages.append(message)
        if len(self._messages) == ENCODED_AT_ONCE:
            self._encode()

    def _encode(self) -> None:
        """Make text of the messages: together, unless they are too long for that."""
        messages, self._messages = self._messages, []
        if not messages:
            return
        texts = [_encode(messages)[1:-1]]
        if len(texts[0]) > FRAME_BYTES:
            texts = [_encode(message) for message in messages]
        for text in map(str.encode, texts):
            if self._pending_bytes + len(text) > FRAME_BYTES:
                self._send_frame()
            self._pending.append(text)
            self._pending_bytes += len(text) + 1

    def gather(self) -> None:
        """Read nothing for a moment."""
        if self._transport is not None and not self._gathering:
            self._gathering = True
            self._transport.pause_reading()
            self._clock.call_at(self._clock.mono() + GATHER_S, self._read_on)

    def _read_on(self) -> None:
        self._gathering = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop derives its transports from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        end = transport.get_extra_info("socket")
        peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, self.account, _ = _PEER.unpack(peer)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.feed(data)
        except protocol.ProtocolError as error:
            self._give_up("the supervisor is not understood", error)
            return
        if messages:
            self._hear(messages)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost.set()
        self.writable.set()

    def _give_up(self, what: str, error: protocol.ProtocolError) -> None:
        log.error(what, extra={"problem": str(error)})
        self.close()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def flush(self) -> None:
        self._encode()
        self._send_frame()

    def _send_frame(self) -> None:
        if not self._pending or self._transport is None:
            return
        try:
            frame = protocol.frame_of(self._pending)
        except protocol.ProtocolError as error:
            self._give_up("an order is too long", error)
            return
        finally:
            self._pending = []
            self._pending_bytes = 0
        self._transport.write(frame)
