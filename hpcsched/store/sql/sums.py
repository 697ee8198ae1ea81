"""Checksums of rows of numbers, which are added to as the numbers are.

What is used and counted is added to in the database, and nobody reads the row before.
So its checksum is a sum as well: each number times a weight that its place and the key
of its row give. What was damaged stays so, whatever is added to it later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from hpcsched.store.findings import Finding
from hpcsched.store.sql import schema
from hpcsched.store.sql.seals import DamagedRowError, mixed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

MASK: Final = 2**62 - 1
"""Of a checksum. Two of them still add up below the largest integer there is."""
LARGEST: Final = 2**61
"""Numbers are below: a bit above would not change the checksum."""
SUMMED: Final = {schema.counter: 1, schema.meta: 1, schema.usage: 3}
"""The tables, and how many columns their keys have; the rest are numbers."""


def sum_seal(key: Sequence[Any], numbers: Sequence[int]) -> int:
    """Return the checksum of some numbers in the row of a key."""
    text = "\0".join(map(str, key)).encode("utf-8", "surrogatepass")
    base = crc32(text)
    total = 0
    for place, number in enumerate(numbers):
        total += (mixed(base + place) << 1 | 1) * number
    return total & MASK


def with_seal(key: Sequence[Any], numbers: Sequence[int]) -> tuple[Any, ...]:
    """Return a row as the table has it."""
    return (*key, *numbers, sum_seal(key, numbers))


def is_sound(key: Sequence[Any], numbers: Sequence[Any], crc: object) -> bool:
    """Are these the numbers that were written? None, of no version: as they are."""
    for number in numbers:
        if not isinstance(number, int) or not -LARGEST < number < LARGEST:
            return False
    return crc is None or sum_seal(key, numbers) == crc


def sum_findings(connection: sqlite3.Connection, most: int) -> Iterator[Finding]:
    """Look at every row of numbers; at most so many of a table are told."""
    for table, width in SUMMED.items():
        told = 0
        columns = ", ".join(column.name for column in table.c)
        query = f"SELECT {columns} FROM {table.name}"  # noqa: S608 - constants
        for *row, crc in connection.execute(query):
            if not is_sound(row[:width], row[width:], crc):
                at = ", ".join(map(str, row[:width]))
                yield Finding("sums", f"{table.name} {at} is not what was written")
                told += 1
                if told == most:
                    break


def require_sound(key: Sequence[Any], numbers: Sequence[Any], crc: object) -> None:
    """Look at a row that was read.

    Raises:
        DamagedRowError: it is not what was written.
    """
    if not is_sound(key, numbers, crc):
        text = f"what is counted of {key[0]!r} is damaged: its checksum is another"
        raise DamagedRowError(text)
