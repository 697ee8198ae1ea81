"""Chance that comes out the same on each run of a test."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hpcsched.common.rng import UUID_RANDOM_BYTES, unit_interval, uuid7

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock


class SeededIds:
    """An ``Ids`` that follows from its seed and its clock alone."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._clock = clock
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uuid(self) -> str:
        return uuid7(self._clock.wall(), self._random.randbytes(UUID_RANDOM_BYTES))

    def jitter(self) -> float:
        return unit_interval(self._random.randbytes(7))
