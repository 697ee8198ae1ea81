"""Elements of tasks as packed columns: a million are a few arrays, never objects.

A table holds the elements of one sweep, or the plain tasks of a job together. Rows are
numbered from 0. Columns that nothing was ever written to do not exist. Rows are kept in
the store in chunks of 256; a change marks the chunks that it touches.
"""

from __future__ import annotations

import re
from array import array
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")
CHUNK: Final = 256
"""Rows per stored chunk: 20 kB at most, so that a small batch commits little."""

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
EARLIER: Final = 32
"""Flag: the process of an earlier attempt started. Stays when results are cleared."""

RECALLED: Final = 64
"""Flag: its node was asked to give this attempt back if it has not started."""

WHOLE: Final = 128
"""Flag: the ids of all its cores are known. They follow the first one, unless ``sets``
has others."""

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
    "requeues": "I",
    "auto": "I",
    "retries": "I",
    "width": "I",
    "made": "d",
}
RESULTS: Final = (
    *("origin", "request", "pending", "reason", "flags"),
    *("node", "note", "exit", "start", "end", "core", "user_ms", "kernel_ms", "rss"),
    "width",
)
"""Columns that a requeue clears (lifecycle.md 4.1)."""

Place = tuple[tuple[int, tuple[int, ...]], ...]
"""(node, cores) of each node that an attempt holds beside the one that it runs on."""

_KEPT: Final = bytes(EARLIER if old & (STARTED | EARLIER) else 0 for old in range(256))
_WAS_SENT: Final = bytes(old & SENT for old in range(256))


def _spliced(sparse: Mapping[int, T], first: int, old: int, new: int) -> dict[int, T]:
    """Return values by row where ``new`` rows have taken the place of ``old`` ones."""
    return {
        row if row < first else row + new - old: value
        for row, value in sparse.items()
        if not first <= row < first + old
    }


@cache
def _runs_of(value: int) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Return what finds the end of a run: twenty times as fast as a backreference."""
    return re.compile(re.escape(bytes([value])) + b"*").match


@cache
def _with(flags: int) -> bytes:
    """Return the translation that sets flags."""
    return bytes(old | flags for old in range(256))


class ElementTable:
    """The columns. ``state`` is a TaskState number per row.

    Attributes:
        size: Number of rows.
        dirty: Chunks that changed since the last ``take_dirty``; the keys count.
        places: What attempts hold on other nodes, by row; only of those that do.
        sets: Ids of their own node's cores, by row; only of those with several that do
            not follow each other.
    """

    __slots__ = ("_wide", "bytes", "dirty", "places", "sets", "size")

    def __init__(self, size: int = 0, state: int = 0) -> None:
        self.size = size
        self.bytes: dict[str, bytearray] = {}
        self._wide: dict[str, array[Any]] = {}
        self.dirty: dict[int, None] = {}  # a third of an empty set
        self.places: dict[int, Place] = {}
        self.sets: dict[int, tuple[int, ...]] = {}
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

    def splice(self, first: int, old: int, new: int, state: int) -> None:
        """Put ``new`` fresh rows where ``old`` ones are; later rows move.

        Every chunk counts as changed: the table is to be stored anew.
        """
        for name, column in self.bytes.items():
            fresh = bytes([state if name == "state" else 0]) * new
            column[first : first + old] = fresh
        for wide in self._wide.values():
            wide[first : first + old] = array(wide.typecode, bytes(wide.itemsize * new))
        self.places = _spliced(self.places, first, old, new)
        self.sets = _spliced(self.sets, first, old, new)
        self.size += new - old
        self.dirty = {}
        self._touch(0, self.size - 1)

    def highest(self, name: str) -> int:
        """Return the largest value of a column."""
        column = self.bytes.get(name) or self._wide.get(name)
        return max(column, default=0) if column else 0

    def total(self, name: str, first: int, last: int) -> int:
        """Return the sum of a counting column over some rows."""
        column = self._wide.get(name)
        return 0 if column is None else int(sum(column[first : last + 1]))

    def get(self, name: str, row: int) -> Any:
        """Return one value; 0 where nothing was written. ``attempt`` starts at 1."""
        column = self.bytes.get(name) or self._wide.get(name)
        value = 0 if column is None else column[row]
        return value or 1 if name == "attempt" else value

    def common(self, name: str, spans: Sequence[tuple[int, int]]) -> int:
        """Return the value of a counting column that all rows share, else 0."""
        column = self._wide.get(name)
        if column is None:
            return 0
        value = int(column[spans[0][0]])
        for first, last in spans if value else ():
            if column[first : last + 1].count(value) != last - first + 1:
                return 0
        return value

    def column(self, name: str, first: int, last: int) -> bytes:
        """Return a byte column's values of some rows."""
        column = self.bytes.get(name)
        if column is None:
            return bytes(last - first + 1)
        return bytes(column[first : last + 1])

    def has(self, name: str) -> bool:
        """Was anything ever written to a column?"""
        return name in self.bytes or name in self._wide

    def numbers(self, name: str, first: int, last: int) -> Sequence[int]:
        """Return a counting column's values of some rows."""
        column = self._wide.get(name)
        if column is None:
            return [0] * (last - first + 1)
        return column[first : last + 1]

    def values(self, name: str) -> list[Any]:
        """Return a column's values of all rows, as ``get`` does one by one."""
        column = self.bytes.get(name) or self._wide.get(name)
        if column is None:
            return [1 if name == "attempt" else 0] * self.size
        if name == "attempt":
            return [value or 1 for value in column]
        return list(column)

    def fill(self, name: str, first: int, last: int, value: Any) -> None:
        """Write one value to the rows ``first`` to ``last``."""
        count = last - first + 1
        if name in BYTES:
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
        if name in BYTES:
            self._bytes(name)[first : last + 1] = bytes(values)
        else:
            self._column(name)[first : last + 1] = array(WIDE[name], values)
        self._touch(first, last)

    def bump(self, name: str, first: int, last: int) -> None:
        """Add one to a counter of each row."""
        column = self._column(name)
        values = (value + 1 for value in column[first : last + 1])
        column[first : last + 1] = array(WIDE[name], values)
        self._touch(first, last)

    def merge_flags(self, first: int, last: int, flags: int) -> None:
        """Set flags without losing others."""
        column = self._bytes("flags")
        if first == last:
            column[first] |= flags
        else:
            column[first : last + 1] = column[first : last + 1].translate(_with(flags))
        self._touch(first, last)

    def clear_results(self, first: int, last: int) -> None:
        """Forget what the last attempt did; one that was sent gets the next number."""
        self._next_attempt(first, last)
        kept = self.column("flags", first, last).translate(_KEPT)
        for name in RESULTS:
            self.fill(name, first, last, 0)
        if any(kept):
            self._bytes("flags")[first : last + 1] = kept
        for sparse in (self.places, self.sets):
            if sparse:
                for row in range(first, last + 1):
                    sparse.pop(row, None)

    def put(self, row: int, place: Place) -> None:
        """Write what the attempt of a row holds on other nodes; empty: nothing."""
        if place:
            self.places[row] = place
        else:
            self.places.pop(row, None)
        self._touch(row, row)

    def put_cores(self, row: int, cores: Sequence[int]) -> None:
        """Write which cores the attempt of a row has on its own node."""
        self.sets[row] = tuple(cores)
        self._touch(row, row)

    def _next_attempt(self, first: int, last: int) -> None:
        sent = self.column("flags", first, last).translate(_WAS_SENT)
        if not any(sent):
            return
        column = self._column("attempt")
        pairs = zip(column[first : last + 1], sent, strict=True)
        column[first : last + 1] = array("I", ((old or 1) + add for old, add in pairs))

    def runs(
        self, first: int, last: int, name: str = "state"
    ) -> Iterator[tuple[int, int, int]]:
        """Yield (value, first row, last row) for each run in a byte column."""
        column = self.bytes.get(name)
        if column is None:
            if last >= first:
                yield 0, first, last
            return
        rows = bytes(column[first : last + 1])  # as they are now, whatever changes
        at, end = 0, len(rows)
        while at < end:
            value, begin = rows[at], at
            at = _runs_of(value)(rows, at).end()  # type: ignore[union-attr]
            yield value, first + begin, first + at - 1

    def find(self, state: int, first: int, last: int) -> int:
        """Return the first row in a state within the range, or -1."""
        return self.bytes["state"].find(state, first, last + 1)

    def take_dirty(self) -> dict[int, bytes]:
        """Return the encoded chunks that changed, and call them clean."""
        chunks = {number: self.encode(number) for number in self.dirty}
        self.dirty = {}
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
        if self.places:
            rows = range(first, last)
            body["places"] = {
                row - first: self.places[row] for row in rows if row in self.places
            }
        if self.sets:
            rows = range(first, last)
            body["sets"] = {r - first: self.sets[r] for r in rows if r in self.sets}
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
        first = 0
        for body in bodies:
            for offset, place in body.get("places", {}).items():
                table.places[first + offset] = tuple(
                    (node_id, tuple(cores)) for node_id, cores in place
                )
            for offset, cores in body.get("sets", {}).items():
                table.sets[first + offset] = tuple(cores)
            first += body["n"]
        table.dirty = {}
        return table

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
            self.dirty[first // CHUNK] = None
        elif last >= first:
            chunks = range(first // CHUNK, last // CHUNK + 1)
            self.dirty.update(dict.fromkeys(chunks))
