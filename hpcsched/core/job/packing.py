"""Values as bytes: msgpack, nothing executable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Mapping


def pack(value: Any) -> bytes:
    """Return a value as bytes; a member of an IntEnum is its number."""
    return bytes(msgpack.packb(value))


def pack_with(body: Mapping[str, Any], packed: Mapping[str, bytes]) -> bytes:
    """Return a map as bytes, with values in it that are bytes already."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(body) + len(packed))
    for key, value in body.items():
        packer.pack(key)
        packer.pack(value)
    parts = [packer.bytes()]
    for key, done in packed.items():
        parts += (pack(key), done)
    return b"".join(parts)


def unpack(body: bytes) -> Any:
    """Return the value of such bytes; maps may have number keys."""
    return msgpack.unpackb(body, strict_map_key=False, use_list=False)


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes in which a number is left out.

    Attributes:
        before, after: What stands around it.
        has_number: False: there is none, and ``before`` is all of it.
    """

    before: bytes
    after: bytes = b""
    has_number: bool = True

    def filled(self, number: int) -> bytes:
        """Return the bytes with a number."""
        if not self.has_number:
            return self.before
        return self.before + pack(number) + self.after
