"""A value of every column of every table, each changed by one bit.

Where ``tests.support.flips`` throws at a whole file and hits what is large, this hits
each column of a store that has rows of every kind, and the rare ones as often as the
others.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codec
from hpcsched.runtime.checking import check_store
from hpcsched.store.base import Delta, RequestRow, TaskOutput, TokenRow
from hpcsched.store.history import UsageRow
from hpcsched.store.sql.seals import sealed
from tests.support.job_bench import Bench, plain
from tests.support.sim.simulation import simulate
from tests.support.sim.stores import SQLITE
from tests.support.store_kit import SqliteKit
from tests.support.stored_lives import delta_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PURGED = 1_000
"""A job that is being deleted: it has no row in ``job``."""


HARMLESS = {("allocation", "history_id"), ("job_history", "history_id")}
"""Numbers that the database gave to rows: they order those of one instant."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a row that has a key."""

    table: str
    column: str
    key: tuple[tuple[str, Any], ...]
    old: Any
    new: Any

    def __str__(self) -> str:
        at = ", ".join(f"{name} {value!r}" for name, value in self.key)
        return f"{self.table}.{self.column} of {at}: {self.old!r} as {self.new!r}"


def a_full_store(folder: Path, seed: int) -> Path:
    """Return a store, at rest, that has rows in every table."""
    outcome = simulate(seed, only=(), store=SQLITE, keep=folder)
    assert not outcome.problem
    path = folder / "hpcsched.db"
    asyncio.run(_fill(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO purge VALUES (?, ?)", sealed((PURGED,)))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("PRAGMA journal_mode=delete").fetchall()
    return path


async def _fill(path: Path) -> None:
    kit = SqliteKit(path)
    newest = (await kit.store.load_cluster()).counters["next_job"]
    with_labels = Bench(plain(), custom_properties={"run": "7"}, parent_job_ids=(1,))
    await kit.commit(delta_of(with_labels, newest))
    output = TaskOutput(task_id=1, instance_id=0, attempt=1, text="hello")
    answer = codec.pack((1, None))
    request = RequestRow(
        principal="ann", request_id="r", digest=b"d" * 32, answer=answer, time=1.0
    )
    token = TokenRow(
        token_id="t",  # noqa: S106
        digest=b"d" * 32,
        user="ann",
        role="user",
        create_time=1.0,
        expire_time=2.0,
    )
    use = UsageRow(
        day=1,
        owner="ann",
        project="p",
        core_ms=5,
        user_ms=6,
        kernel_ms=7,
        finished=8,
        failed=9,
        canceled=10,
    )
    with_output = Delta(
        requests=[request],
        tokens=[token],
        parameters={"TTLCompletedJobs": "9"},
        usage=[use, use],
    )
    await kit.commit(with_output)
    await kit.store.close()
    with closing(sqlite3.connect(path)) as connection:
        row = sealed((newest, 1, 0, output.attempt, output.text))
        connection.execute("INSERT INTO output VALUES (?, ?, ?, ?, ?, ?)", row)
        connection.commit()


def cells(path: Path, rng: random.Random, each: int) -> Iterator[Cell]:
    """Yield, for every column, so many values with a bit that has changed."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
            if not name.startswith("sqlite_")
        ]
        for table in tables:
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            names = [column[1] for column in columns]
            keys = [column[1] for column in columns if column[5]]
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            assert rows, f"{table} is empty: nothing is tried of it"
            for column in names:
                for _ in range(each):
                    row = dict(zip(names, rng.choice(rows), strict=True))
                    key = tuple((name, row[name]) for name in keys)
                    old = row[column]
                    yield Cell(table, column, key, old, changed(old, rng))


def changed(value: Any, rng: random.Random) -> Any:
    """Return a value with another bit; of nothing, something."""
    if value is None:
        return rng.choice((0, 1, "x"))
    if isinstance(value, int):
        return value ^ 1 << rng.choice((0, 1, 2, 5, 20, 40, 61, 62))
    if isinstance(value, float):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        other = bits ^ 1 << rng.randrange(52)
        return struct.unpack("<d", struct.pack("<q", other))[0]
    if isinstance(value, str):
        return _other(value.encode(), rng, 8) or b"x"
    return _other(value, rng, 8) or b"x"


def _other(value: bytes, rng: random.Random, bits: int) -> bytes:
    if not value:
        return b""
    at = rng.randrange(len(value))
    new = value[at] ^ 1 << rng.randrange(bits)
    return value[:at] + bytes([new]) + value[at + 1 :]


def write(path: Path, cell: Cell) -> bool:
    """Put the changed value there; False where the database itself refuses it."""
    where = " AND ".join(f"{name} IS ?" for name, _ in cell.key)
    new = "CAST(? AS TEXT)" if isinstance(cell.old, str) else "?"
    text = f"UPDATE {cell.table} SET {cell.column} = {new} WHERE {where}"  # noqa: S608
    values = (cell.new, *(value for _, value in cell.key))
    with closing(sqlite3.connect(path)) as connection:
        try:
            changed = connection.execute(text, values).rowcount
        except sqlite3.IntegrityError:  # there is a row of that key
            return False
        connection.commit()
    assert changed == 1, cell
    return True


def try_cells(whole: Path, *, seed: int, each: int) -> tuple[int, list[Cell]]:
    """Change values of a store, one at a time.

    Returns:
        How many ``hpcschedd --check`` finds, and those that it does not and should.
    """
    found, silent = 0, []
    damaged = whole.with_name("damaged.db")
    for cell in cells(whole, random.Random(seed), each):
        if (cell.table, cell.column) in HARMLESS:
            continue
        shutil.copyfile(whole, damaged)
        if not write(damaged, cell):
            continue
        if check_store(damaged).findings:
            found += 1
        else:
            silent.append(cell)
    return found, silent
