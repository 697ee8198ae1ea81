"""The writer's connection: transactions, and how it is closed."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import (
    DeltaRefusedError,
    DuplicateRequestError,
    StoreTakenError,
)
from hpcsched.store.marks import mark_broken
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.sqlite import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcsched.store.sql.query import Query

_OPENED: Final = "SELECT value FROM meta WHERE name = 'opened'"


class WriterSession:
    """What the writer knows of SQLite. For one thread at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        guard: sqlite3.Connection,
        path: Path,
        opened: int,
    ) -> None:
        """Write from now on.

        Args:
            connection: Of the writer.
            guard: A reader that keeps the log while there is no other.
            path: The database.
            opened: How often the store has been opened: this is the last time.
        """
        self._connection = connection
        self._guard = guard
        self._path = path
        self._opened = opened
        self._file = os.stat(path).st_ino  # noqa: PTH116

    @property
    def cursor(self) -> sqlite3.Connection:
        return self._connection

    def changed(self) -> int:
        return self._connection.total_changes

    def ask(self, query: Query, **values: object) -> int:
        """Return a single number, 0 for none."""
        row = self._connection.execute(*query.with_values(**values)).fetchone()
        return int(row[0] or 0) if row else 0

    def begin(self) -> None:
        """Begin a transaction, unless the store is another head's by now.

        Raises:
            StoreTakenError: it is.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        row = self._connection.execute(_OPENED).fetchone()
        if row is None or row[0] != self._opened:
            raise StoreTakenError(f"another head has opened {self._path}")
        try:
            # Before every commit: os.stat takes a fifth of what Path.stat does.
            file = os.stat(self._path).st_ino  # noqa: PTH116
        except FileNotFoundError:
            file = 0
        if file != self._file:
            raise StoreTakenError(f"{self._path} is not the file that was opened")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo the transaction, unless SQLite has done so itself."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextmanager
    def part(self) -> Iterator[None]:
        """Run a part of the transaction that is undone alone when it fails."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            raise
        self._connection.execute("RELEASE part")

    def fault_of(self, error: BaseException) -> Fault:
        return sqlite.fault_of(error, self._path)

    def refusal_of(self, error: BaseException) -> Exception:
        """Return what the owner of a delta is told of the driver's error."""
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError) and "request.request_id" in text:
            return DuplicateRequestError("the request id has been answered before")
        return DeltaRefusedError(f"not written: {text}")

    def checkpoint(self) -> bool:
        """Copy the log into the database; return whether it starts again."""
        return sqlite.checkpoint(self._connection)

    def log_size(self) -> int:
        return sqlite.log_size(self._path)

    def close(self) -> None:
        """Copy the log, then close; whoever opens the file next has no log to read."""
        try:
            sqlite.checkpoint(self._connection, truncate=True)
        except sqlite3.Error:
            self.close_broken()
            raise
        self._guard.close()
        self._connection.close()

    def mark_broken(self, error: BaseException) -> None:
        """Keep the next start from going on as if nothing had been.

        It would read what the disk's cache has, which the disk may not have.
        """
        mark_broken(self._path, error)

    def close_broken(self) -> None:
        sqlite.close_broken(self._connection, self._guard)
