"""Checksums of rows: a bit that flips on the disk is found, not believed.

SQLite's pages have none. Rows have one of their own, ``crc``; what was written by a
version without it has none, and is taken as it is. Sums have another kind (sql.sums),
and of what lists choose jobs by (labels, terms, parents) the job itself tells.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import sqlalchemy as sa

from hpcsched.store.findings import Finding
from hpcsched.store.sql import schema, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What the checksum of a row is of; of the rest, other rows tell.
COVERED: Final[Mapping[sa.Table, Sequence[str]]] = {
    schema.event: ("time", "owner", "body"),
    schema.job: ("blob",),
    schema.job_spec: ("body",),
    schema.chunk: ("body",),
    schema.note: ("body",),
    schema.output: ("job_id", "task_id", "instance_id", "attempt", "text"),
    schema.request: ("principal", "request_id", "digest", "answer", "time"),
    schema.node: ("node_id", "name", "blob"),
    schema.entry: ("kind", "name", "body"),
    schema.token: (
        *("token_id", "digest", "user", "role"),
        *("create_time", "expire_time"),
    ),
    schema.job_history: (
        *("requeue_id", "owner", "project", "state", "event_time", "body"),
    ),
    schema.allocation: (
        *("job_id", "requeue_id", "node_id", "cores", "start_time", "end_time"),
    ),
    schema.parameter: ("name", "value"),
    schema.purge: ("job_id",),
}
_NOTHING: Final = "\1"
_DIALECT: Final = sqlite.dialect()


class DamagedRowError(sqlite3.DatabaseError):
    """A row is not what was written: as bad as a page that is not."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def seal(row: Sequence[Any]) -> int:
    """Return the checksum of a row's values, as they come back from the database."""
    crc = 0
    texts = []
    for value in row:
        if isinstance(value, bytes):
            crc = crc32(value, crc)
        elif isinstance(value, str):
            texts.append(str(value))
        else:
            texts.append(_NOTHING if value is None else repr(value + 0.0))
    return crc32("\0".join(texts).encode("utf-8", "surrogatepass"), crc)


def sealed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with its checksum, as the table has it."""
    return (*row, seal(row))


def mixed(number: int) -> int:
    """Return a number spread over the bits of a checksum, to be put upon one."""
    return (number * 0x9E3779B1 ^ number >> 32) & 0xFFFFFFFF


def seals(rest: Sequence[float | str], bodies: Sequence[bytes]) -> list[int]:
    """Return the checksums of rows that are the same but for a body."""
    text = "\0".join(one if isinstance(one, str) else repr(one + 0.0) for one in rest)
    end = text.encode("utf-8", "surrogatepass")
    return [crc32(end, crc32(body)) for body in bodies]


def require_whole(row: Sequence[Any], crc: int | None, what: str) -> None:
    """Look at a row that was read.

    Args:
        row: What the checksum is of.
        crc: The checksum; None: a version without them wrote it.
        what: For the error.

    Raises:
        DamagedRowError: it is not what was written.
    """
    if crc is not None and seal(row) != crc:
        raise DamagedRowError(f"{what} is damaged: its checksum is another")


def seal_findings(connection: sqlite3.Connection, most: int) -> Iterator[Finding]:
    """Look at every row that has a checksum.

    Args:
        connection: Of a store of the newest schema.
        most: Rows of a table that are told one by one.
    """
    for table, names in COVERED.items():
        key = [column.name for column in table.primary_key]
        of_job = table is schema.job_history  # its job is put upon the checksum
        key += ["job_id"] if of_job else []
        told = 0
        has_begun = False  # events are written in the order of their numbers
        for row in connection.execute(_all_of(table, (*key, *names, "crc"))):
            *parts, crc = row
            if of_job and crc is not None:
                crc ^= mixed(parts[1])
            gone = crc is None and has_begun and table is schema.event
            has_begun = has_begun or crc is not None
            if gone or (crc is not None and seal(parts[len(key) :]) != crc):
                at = ", ".join(map(str, parts[: len(key)]))
                yield Finding("sums", f"{table.name} {at} is not what was written")
                told += 1
                if told == most:
                    break


@cache
def _all_of(table: sa.Table, names: tuple[str, ...]) -> str:
    query = sa.select(*(table.c[name] for name in names))
    return str(query.order_by(*table.primary_key).compile(dialect=_DIALECT))
