"""A Unix socket between the agent and the supervisor of one simulated node."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from tests.support.sim.loop import PROGRAM

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.sim.loop import Program, SimLoop


class SimSocket:
    """The supervisor's end: what the real link needs of a socket."""

    def __init__(
        self, loop: SimLoop, rng: random.Random, wake: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._wake = wake
        self._inbox = bytearray()
        self._over = False
        self.transport: SimTransport | None = None

    @property
    def readable(self) -> bool:
        return bool(self._inbox) or self._over

    def fileno(self) -> int:
        return -1

    def arrive(self, data: bytes) -> None:
        self._inbox += data
        self._wake()

    def hang_up(self) -> None:
        """The other end is closed."""
        self._over = True
        self._wake()

    def recv(self, size: int) -> bytes:
        data = bytes(self._inbox[:size])
        del self._inbox[: len(data)]
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        if self._over or self.transport is None:
            raise BrokenPipeError
        self.transport.arrive(bytes(data))
        return len(data)

    def close(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.hang_up()


class Peer:
    """What ``SO_PEERCRED`` says."""

    @staticmethod
    def getsockopt(*_: Any) -> bytes:
        return struct.pack("iii", 1, 0, 0)


class SimTransport:
    """The agent's end: an asyncio transport."""

    def __init__(self, socket: SimSocket, protocol: Any, agent: Program) -> None:
        self._socket: SimSocket | None = socket
        self._protocol = protocol
        self._agent = agent
        self._loop = socket._loop
        self._rng = socket._rng
        self._paused = False
        self._inbox: list[bytes] = []
        self._closing = False

    def get_extra_info(self, name: str) -> Any:
        return Peer

    def write(self, data: bytes) -> None:
        socket = self._socket
        if socket is None or self._closing:
            return
        token = PROGRAM.set(None)
        try:
            self._loop.call_soon(socket.arrive, bytes(data))
        finally:
            PROGRAM.reset(token)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._agent.soon(self._deliver)

    def arrive(self, data: bytes) -> None:
        self._inbox.append(data)
        self._agent.soon(self._deliver)

    def _deliver(self) -> None:
        while self._inbox and not self._paused and not self._closing:
            self._protocol.data_received(self._inbox.pop(0))

    def hang_up(self) -> None:
        """The supervisor has closed, or died."""
        self._socket = None
        self._agent.soon(self._lose)

    def _lose(self) -> None:
        if not self._closing:
            self._deliver()
            self._closing = True
            self._protocol.connection_lost(None)

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._closing:
            return
        self._closing = True
        self.died()
        self._agent.soon(self._protocol.connection_lost, None)

    def died(self) -> None:
        """The agent's end is closed, as the kernel does it for the dead."""
        socket, self._socket = self._socket, None
        if socket is not None:
            token = PROGRAM.set(None)
            try:
                self._loop.call_soon(socket.hang_up)
            finally:
                PROGRAM.reset(token)
