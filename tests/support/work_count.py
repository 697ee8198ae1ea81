"""Counts the work of a head: what noise of the machine cannot hide.

Commits, SQL statements and their bytes, frames and orders to nodes, messages of
watches, and calls of our own functions, which stand for CPU time.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcsched.services.convert_order import head_message
from hpcsched.store.sql.batch import Batch
from hpcsched.store.sql.statements import Statements
from tests.support.head_bench import CrashingStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from sqlalchemy import Dialect

    from hpcsched.store.base import Delta
    from tests.support.head_bench import Bench


class RecordingStore(CrashingStore):
    """A store in memory that remembers what each transaction was made of."""

    def __init__(self) -> None:
        super().__init__()
        self.written_deltas: list[list[Delta]] = []

    def _flush(self) -> None:
        deltas = [delta for unit in self._queue for delta in unit.deltas]
        if deltas:
            self.written_deltas.append(deltas)
        super()._flush()


class _Session:
    """The writer's connection as a batch needs it; it counts."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.statements = 0
        self.bytes = 0

    @property
    def cursor(self) -> _Session:
        return self

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        self.statements += 1
        self.bytes += sum(len(p) for p in parameters if isinstance(p, str | bytes))
        return self._connection.execute(sql, parameters)

    def changed(self) -> int:
        return self._connection.total_changes

    def ask(self, query: Any, **values: object) -> int:
        row = self.execute(*query.with_values(**values)).fetchone()
        return int(row[0] or 0) if row else 0


def statements_of(
    transactions: Sequence[Sequence[Delta]], path: Path, dialect: Dialect
) -> tuple[int, int]:
    """Write transactions to a database as the writer does.

    Returns:
        Statements, begin and commit included, and bytes of texts and blobs.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    session, statements, last_seq = _Session(connection), Statements(dialect), 0
    for deltas in transactions:
        batch = Batch(last_seq)
        for delta in deltas:
            batch.add(delta)
        session.execute("BEGIN IMMEDIATE")
        batch.write(session, statements)
        session.execute("COMMIT")
        last_seq = batch.last_seq
    connection.close()
    return session.statements, session.bytes


class Calls:
    """How often functions of the product were called.

    Args:
        place: What the paths of their files have in them.
    """

    def __init__(self, place: str = "/hpcsched/") -> None:
        self.count = 0
        self._place = place

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and self._place in frame.f_code.co_filename:
            self.count += 1


def sent_to(bench: Bench, name: str = "n1") -> tuple[int, int]:
    """Return frames and bytes that a node was sent."""
    frames = [frame for link in bench.agents[name].links for frame in link.frames]
    return len(frames), sum(head_message(frame).ByteSize() for frame in frames)


class Steps:
    """How many lines of the product were run, each round of a loop for itself.

    Other than calls they tell of loops that call nothing.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)

    def _enter(self, frame: FrameType, _: str, __: object) -> Any:
        return self._see if "/hpcsched/" in frame.f_code.co_filename else None

    def _see(self, _: FrameType, event: str, __: object) -> Any:
        if event == "line":
            self.count += 1
        return self._see
