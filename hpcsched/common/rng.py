"""Chance as an argument: the only module that asks the machine for random bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock

#: Random bytes in one UUID of version 7.
UUID_RANDOM_BYTES = 10


class Ids(Protocol):
    """What programs ask for names that nobody else has, and for spreading in time."""

    def token_bytes(self, count: int) -> bytes:
        """Return so many bytes that nobody can guess."""

    def uuid(self) -> str:
        """Return a UUID of version 7: unique, and in the order of its making."""

    def jitter(self) -> float:
        """Return a number, evenly spread over ``0 <= x < 1``."""


@final
class SystemIds:
    """The machine's own random numbers."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def token_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def uuid(self) -> str:
        return uuid7(self._clock.wall(), os.urandom(UUID_RANDOM_BYTES))

    def jitter(self) -> float:
        return unit_interval(os.urandom(7))


def uuid7(wall: float, chance: bytes) -> str:
    """Return a UUID of version 7 in its canonical text form.

    Args:
        wall: Unix time in seconds; the UUID keeps its milliseconds.
        chance: Ten random bytes, of which 74 bits are kept.

    Source: RFC 9562, section 5.7.
    """
    from uuid import UUID  # noqa: PLC0415 - it looks at the whole platform

    milliseconds = int(wall * 1000) & (1 << 48) - 1
    bits = int.from_bytes(chance)
    high = bits >> 62 & 0xFFF
    low = bits & (1 << 62) - 1
    return str(UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def unit_interval(chance: bytes) -> float:
    """Return seven random bytes as a number in ``0 <= x < 1``, of 53 even bits."""
    return (int.from_bytes(chance) >> 3) / (1 << 53)
