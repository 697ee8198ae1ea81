"""A peer that speaks HTTP/2 by hand, for what no gRPC library would do."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcsched.rpc.addresses import Address

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4


async def call_with_closed_window(address: Address, path: str) -> asyncio.StreamWriter:
    """Begin a call with an empty request, of which nothing may be answered, ever.

    The peer's window stays at 0, so the server cannot send the message that it writes.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port)
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "head",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(
        b"\0" + _text(name) + _text(value) for name, value in headers.items()
    )
    writer.write(PREFACE)
    writer.write(_frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)))
    writer.write(_frame(SETTINGS, ACK, 0, b""))
    writer.write(_frame(HEADERS, END_HEADERS, 1, block))
    writer.write(_frame(DATA, END_STREAM, 1, bytes(5)))
    await writer.drain()
    while await _next_kind(reader) != HEADERS:  # those of the answer: it has begun
        pass
    return writer


async def _next_kind(reader: asyncio.StreamReader) -> int:
    head = await asyncio.wait_for(reader.readexactly(9), 60)
    await reader.readexactly(int.from_bytes(head[:3]))
    return head[3]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
