"""Which attempts of a task have been here, in little memory (P3: at most one start).

For each attempt number a set of instances as bit masks of 256: a million elements of a
sweep take under a megabyte, and a lone instance a hundred bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BITS = 8
LOW_BITS = (1 << CHUNK_BITS) - 1


class Seen:
    """The newest attempt of each instance of one task that has ended here."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        """Return how many masks it keeps: what it costs."""
        return sum(map(len, self._chunks.values()))

    def add(self, instance: int, attempt: int) -> bool:
        """Remember that the attempt has been here; return whether that costs more."""
        chunks = self._chunks.setdefault(attempt, {})
        chunk = instance >> CHUNK_BITS
        is_new = chunk not in chunks
        chunks[chunk] = chunks.get(chunk, 0) | 1 << (instance & LOW_BITS)
        return is_new

    def newest(self, instance: int) -> int | None:
        """Return the newest attempt of the instance that has been here, if any."""
        chunk, bit = instance >> CHUNK_BITS, 1 << (instance & LOW_BITS)
        found = [
            attempt
            for attempt, chunks in self._chunks.items()
            if chunks.get(chunk, 0) & bit
        ]
        return max(found) if found else None

    def masks(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Return each attempt number with its masks, as text for the journal."""
        for attempt, chunks in self._chunks.items():
            yield attempt, {str(key): f"{mask:x}" for key, mask in chunks.items()}

    def merge(self, attempt: int, masks: dict[str, str]) -> None:
        """Add what ``masks`` returned."""
        chunks = self._chunks.setdefault(attempt, {})
        for key, mask in masks.items():
            chunks[int(key)] = chunks.get(int(key), 0) | int(mask, 16)
