"""Packets between front, reaper and spawner: one JSON array each, never torn."""

from __future__ import annotations

import contextlib
import json
import os
import socket

from node_agent.supervisor.protocol import socket_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKET_BYTES = 256 * 1024


class Channel:
    """One end of a SOCK_SEQPACKET connection. Nothing here blocks."""

    __slots__ = ("socket",)

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PACKET_BYTES)
        self.socket = connection

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self.socket.fileno()

    def send(self, *packet: Any) -> bool:
        """Send a packet; False if the peer is gone or does not read."""
        try:
            self.socket.send(json.dumps(packet).encode(), socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def receive(self) -> list[list[Any]] | None:
        """Return the packets that have arrived, None when the peer is gone."""
        packets: list[list[Any]] = []
        while True:
            try:
                data = self.socket.recv(PACKET_BYTES)
            except BlockingIOError:
                return packets
            except OSError:
                return None
            if not data:
                return packets or None
            packets.append(json.loads(data))

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def listen(path: str, kind: socket.SocketKind, mode: int) -> socket.socket:
    """Return a listening socket at the path, in place of what a dead process left.

    Raises:
        OSError: the directory is missing or not writable.
    """
    server = socket.socket(socket.AF_UNIX, kind)
    server.setblocking(False)  # noqa: FBT003
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    try:
        with socket_address(path) as address:
            server.bind(address)
        os.chmod(path, mode)
        server.listen(16)
    except OSError:
        server.close()
        raise
    return server


def connect(path: str) -> Channel | None:
    """Return a channel to the process that listens at the path, None if none does."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with socket_address(path) as address:
            client.connect(address)
    except OSError:
        client.close()
        return None
    return Channel(client)
