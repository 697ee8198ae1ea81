"""Elements of tasks as packed columns: a million of them are a few arrays, never objects.

A table holds the elements of one sweep, or the plain tasks of a job together. Rows are
numbered from 0. Columns that nothing was ever written to do not exist. Rows are kept in the
store in chunks of 256; a change marks the chunks that it touches.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any, Final

import msgpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK: Final = 256
"""Rows per stored chunk: 10 kB at most, so that one commit of a small batch stays small."""

SENT: Final = 1
"""Flag: this attempt was sent to a node."""
STARTED: Final = 2
"""Flag: the process of this attempt started (``ever_started`` of lifecycle.md 2)."""
HAS_EXIT: Final = 4
"""Flag: ``exit`` holds an exit code."""
HAS_OUTPUT: Final = 8
"""Flag: the store keeps the beginning of this attempt's output."""
FORCED: Final = 16
"""Flag: the stop under way has no grace period."""

BYTES: Final = ("state", "prev", "origin", "request", "pending", "reason", "flags")
WIDE: Final = {
    "attempt": "I",
    "node": "I",
    "note": "I",
    "exit": "i",
    "start": "d",
    "end": "d",
    "core": "H",
    "user_ms": "I",
    "kernel_ms": "I",
    "rss": "I",
}
SPARSE: Final = ("requeues", "auto", "retries", "width")
RESULTS: Final = (
    *("origin", "request", "pending", "reason", "flags"),
    *("node", "note", "exit", "start", "end", "core", "user_ms", "kernel_ms", "rss"),
)
"""Columns that a requeue clears (lifecycle.md 4.1)."""

_RUN = re.compile(rb"(.)\1*", re.DOTALL)


class ElementTable:
    """The columns. ``state`` is a TaskState number per row.

    Attributes:
        size: Number of rows.
        dirty: Chunks that changed since the last ``take_dirty``.
    """

    __slots__ = ("_sparse", "_wide", "bytes", "dirty", "size")

    def __init__(self, size: int = 0, state: int = 0) -> None:
        self.size = size
        self.bytes: dict[str, bytearray] = {}
        self._wide: dict[str, array[Any]] = {}
        self._sparse: dict[str, dict[int, int]] = {}
        self.dirty: set[int] = set()
        self.bytes["state"] = bytearray([state]) * size
        self._touch(0, size - 1)

    @property
    def state(self) -> bytearray:
        """The states, for searching; written only by ``fill``."""
        return self.bytes["state"]

    def append(self, count: int, state: int) -> int:
        """Add rows at the end and return the first one's number."""
        first = self.size
        self.size += count
        for name, column in self.bytes.items():
            column.extend(bytes([state if name == "state" else 0]) * count)
        for column_wide in self._wide.values():
            column_wide.frombytes(bytes(column_wide.itemsize * count))
        self._touch(first, self.size - 1)
        return first

    def get(self, name: str, row: int) -> Any:
        """Return one value; 0 where nothing was written. ``attempt`` starts at 1."""
        if name in self._sparse:
            return self._sparse[name].get(row, 0)
        column = self.bytes.get(name) or self._wide.get(name)
        value = 0 if column is None else column[row]
        return value or 1 if name == "attempt" else value

    def fill(self, name: str, first: int, last: int, value: Any) -> None:
        """Write one value to the rows ``first`` to ``last``."""
        count = last - first + 1
        if name in SPARSE:
            self._fill_sparse(name, first, last, value)
        elif name in BYTES:
            if value or name in self.bytes:
                self._bytes(name)[first : last + 1] = bytes([value]) * count
        elif value or name in self._wide:
            column = self._column(name)
            if count == 1:
                column[first] = value
            else:
                column[first : last + 1] = array(WIDE[name], [value]) * count
        self._touch(first, last)

    def write(self, name: str, first: int, values: Sequence[Any]) -> None:
        """Write one value per row from ``first`` on."""
        last = first + len(values) - 1
        if name in SPARSE:
            for row, value in enumerate(values, start=first):
                self._fill_sparse(name, row, row, value)
        elif name in BYTES:
            self._bytes(name)[first : last + 1] = bytes(values)
        else:
            self._column(name)[first : last + 1] = array(WIDE[name], values)
        self._touch(first, last)

    def bump(self, name: str, first: int, last: int) -> None:
        """Add one to a counter of each row."""
        for row in range(first, last + 1):
            self.fill(name, row, row, self.get(name, row) + 1)

    def merge_flags(self, first: int, last: int, flags: int) -> None:
        """Set flags without losing others."""
        column = self._bytes("flags")
        for row in range(first, last + 1):
            column[row] |= flags
        self._touch(first, last)

    def clear_results(self, first: int, last: int) -> None:
        """Forget what the last attempt did."""
        for name in RESULTS:
            self.fill(name, first, last, 0)
        self._fill_sparse("width", first, last, 0)

    def runs(
        self, first: int, last: int, name: str = "state"
    ) -> Iterator[tuple[int, int, int]]:
        """Yield (value, first row, last row) for each run of equal values of a byte column."""
        column = self.bytes.get(name)
        if column is None:
            if last >= first:
                yield 0, first, last
            return
        for match in _RUN.finditer(bytes(column[first : last + 1])):
            yield match[1][0], first + match.start(), first + match.end() - 1

    def find(self, state: int, first: int, last: int) -> int:
        """Return the first row in a state within the range, or -1."""
        return self.bytes["state"].find(state, first, last + 1)

    def take_dirty(self) -> dict[int, bytes]:
        """Return the encoded chunks that changed, and call them clean."""
        chunks = {number: self.encode(number) for number in self.dirty}
        self.dirty = set()
        return chunks

    def encode(self, number: int) -> bytes:
        """Return one chunk as it is stored."""
        first = number * CHUNK
        last = min(first + CHUNK, self.size)
        body: dict[str, Any] = {"n": last - first}
        for name, column in self.bytes.items():
            body[name] = bytes(column[first:last])
        for name, wide in self._wide.items():
            body[name] = wide[first:last].tobytes()
        for name, values in self._sparse.items():
            part = {row - first: v for row, v in values.items() if first <= row < last}
            if part:
                body[name] = part
        return bytes(msgpack.packb(body))

    @classmethod
    def decode(cls, chunks: Sequence[bytes]) -> ElementTable:
        """Return the table whose chunks these are, in order."""
        bodies = [msgpack.unpackb(chunk, strict_map_key=False) for chunk in chunks]
        table = cls()
        table.size = sum(body["n"] for body in bodies)
        names = {name for body in bodies for name in body} - {"n"}
        for name in names & set(BYTES):
            empty = [bytes(body["n"]) for body in bodies]
            parts = (b.get(name, e) for b, e in zip(bodies, empty, strict=True))
            table.bytes[name] = bytearray(b"".join(parts))
        for name in names & set(WIDE):
            column = array(WIDE[name])
            for body in bodies:
                column.frombytes(body.get(name, bytes(column.itemsize * body["n"])))
            table._wide[name] = column
        for number, body in enumerate(bodies):
            for name in set(body) & set(SPARSE):
                into = table._sparse.setdefault(name, {})
                into.update({row + number * CHUNK: v for row, v in body[name].items()})
        table.dirty = set()
        return table

    def _fill_sparse(self, name: str, first: int, last: int, value: int) -> None:
        values = self._sparse.get(name)
        if values is None:
            if not value:
                return
            values = self._sparse[name] = {}
        if value:
            values.update(dict.fromkeys(range(first, last + 1), value))
        elif last - first >= len(values):
            for row in [r for r in values if first <= r <= last]:
                del values[row]
        else:
            for row in range(first, last + 1):
                values.pop(row, None)

    def _bytes(self, name: str) -> bytearray:
        column = self.bytes.get(name)
        if column is None:
            column = self.bytes[name] = bytearray(self.size)
        return column

    def _column(self, name: str) -> array[Any]:
        column = self._wide.get(name)
        if column is None:
            code = WIDE[name]
            column = array(code, bytes(array(code).itemsize * self.size))
            self._wide[name] = column
        return column

    def _touch(self, first: int, last: int) -> None:
        if first // CHUNK == last // CHUNK:
            self.dirty.add(first // CHUNK)
        elif last >= first:
            self.dirty.update(range(first // CHUNK, last // CHUNK + 1))
