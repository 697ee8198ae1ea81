"""Values as bytes: msgpack, nothing executable."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgpack

if TYPE_CHECKING:
    from collections.abc import Mapping


_LOW: Final = [bytes((number,)) for number in range(128)]
_WIDTHS: Final = tuple(
    (1 << bits, tag, struct.Struct(f">B{code}").pack)
    for bits, tag, code in ((8, 0xCC, "B"), (16, 0xCD, "H"), (32, 0xCE, "I"))
)


def pack_number(value: int) -> bytes:
    """Return what ``pack`` does of a whole number: it is made for each job of many."""
    if 0 <= value < 128:  # noqa: PLR2004  it is its own byte
        return _LOW[value]
    for limit, tag, write in _WIDTHS:
        if 0 < value < limit:
            return write(tag, value)
    return pack(value)


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
    """Bytes in which a number is left out, or other bytes.

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
        return self.before + pack_number(number) + self.after

    def filled_with(self, body: bytes) -> bytes:
        """Return the bytes with other bytes in the place of a number."""
        return self.before + pack(body) + self.after
