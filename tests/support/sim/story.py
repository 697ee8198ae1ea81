"""What happened in a run, in order: for people, and as a hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sim.loop import SimLoop

#: Lines kept for people; the hash is made of all.
KEPT = 400


class Story:
    """See the module.

    Attributes:
        faults: How many there were of each kind.
        on_line: Hears each line at once (``--trace``).
    """

    def __init__(self, loop: SimLoop, *, trace: bool = False) -> None:
        self._loop = loop
        self._trace = trace
        self._hash = hashlib.blake2b(digest_size=8)
        self.lines: list[str] = []
        self.faults: Counter[str] = Counter()

    def tell(self, what: str) -> None:
        line = f"{self._loop.time():10.4f} {what}"
        self._hash.update(f"{self._loop.steps} {line}\n".encode())
        self.lines.append(line)
        if self._trace:
            print(line)
        elif len(self.lines) > 4 * KEPT:
            del self.lines[: -2 * KEPT]

    def fault(self, kind: str, what: str) -> None:
        self.faults[kind] += 1
        self.tell(f"FAULT {kind}: {what}")

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()
