"""Telling a node's supervisor to end its tasks, and then itself.

Frames on its Unix socket: a length (four bytes, big-endian) and a JSON array of
messages; a message is an array whose first item is its name.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
LONGEST_FRAME: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")

#: Beyond the tasks' grace period, for the kill and the report of it, seconds.
MARGIN_S: Final = 10.0


async def shut_down(socket: Path, *, grace_s: float) -> None:
    """Have all tasks of a node ended, and the supervisor after them.

    Args:
        socket: Where the supervisor listens.
        grace_s: Time between the tasks' signal and their kill.

    Raises:
        OSError: nobody listens there, or the connection broke.
        TimeoutError: the tasks did not end in time.
    """
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        await _send(
            writer,
            ["hello", {"version": VERSION}],
            ["stop_all", grace_s, "NODE_SHUTDOWN"],
        )
        async with asyncio.timeout(grace_s + MARGIN_S):
            while not await _has(reader, "all_stopped"):
                pass
        await _send(writer, ["shutdown"])
        # It closes the connection when it goes.
        async with asyncio.timeout(MARGIN_S):
            while await reader.read(65536):
                pass
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the supervisor closed the connection") from error
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, *messages: list[Any]) -> None:
    body = json.dumps(messages).encode()
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()


async def _has(reader: asyncio.StreamReader, name: str) -> bool:
    """Read a frame; return whether a message of this name is in it."""
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > LONGEST_FRAME:
        raise ConnectionError("the supervisor sent what is no frame")
    try:
        messages = json.loads((await reader.readexactly(size)).decode(errors="replace"))
    except ValueError:
        raise ConnectionError("the supervisor sent what is no frame") from None
    return any(message[:1] == [name] for message in messages)
