"""Values as bytes: msgpack, nothing executable."""

from __future__ import annotations

from typing import Any

import msgpack


def pack(value: Any) -> bytes:
    """Return a value as bytes; a member of an IntEnum is its number."""
    return bytes(msgpack.packb(value))


def unpack(body: bytes) -> Any:
    """Return the value of such bytes; maps may have number keys."""
    return msgpack.unpackb(body, strict_map_key=False, use_list=False)
