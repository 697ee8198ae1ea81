"""Bytes with holes: what is written of many jobs that differ in a few measured values.

A stencil is made from the bytes of one job whose values are strange ones, which stand
nowhere else. Each hole is filled with the way in which a value of another job would be
written there.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.packing import pack_number

if TYPE_CHECKING:
    from collections.abc import Sequence

_packed: Final = struct.Struct(">Bd").pack
_wide: Final = struct.Struct("<d").pack
_number: Final = struct.Struct("<I").pack
_short: Final = struct.Struct("<H").pack
_FLOAT: Final = 0xCB


class Stencil:
    """See the module.

    Args:
        body: Of a job whose values are strange.
        words: How these are written; several ways of one value are several words.
    """

    __slots__ = ("_holes", "_parts")

    def __init__(self, body: bytes, words: Sequence[bytes]) -> None:
        # What is nothing is so in every job of the pattern, and written like much else.
        number = {word: at for at, word in enumerate(words) if any(word)}
        longest = sorted(number, key=len, reverse=True)
        found = re.split(b"(" + b"|".join(map(re.escape, longest)) + b")", body)
        self._parts = found
        self._holes = [(at, number[found[at]]) for at in range(1, len(found), 2)]

    def filled(self, words: Sequence[bytes]) -> bytes:
        """Return the bytes of a job whose values are written so."""
        if not self._holes:
            return self._parts[0]
        parts = self._parts.copy()
        for at, number in self._holes:
            parts[at] = words[number]
        return b"".join(parts)


def times(*values: float) -> list[bytes]:
    """Return the ways in which times are written: as values, and in packed columns."""
    words: list[bytes] = []
    for value in values:
        words += (_packed(_FLOAT, value), _wide(value))
    return words


def numbers(*values: int) -> list[bytes]:
    """Return the ways in which counts of at most 32 bits are written."""
    words: list[bytes] = []
    for value in values:
        words += (pack_number(value), _number(value))
    return words


def short_numbers(*values: int) -> list[bytes]:
    """Return the ways in which numbers of at most 16 bits are written."""
    words: list[bytes] = []
    for value in values:
        words += (pack_number(value), _short(value))
    return words
