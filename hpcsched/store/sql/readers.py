"""A few threads that read, each over a connection of its own that cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from hpcsched.store.errors import (
    StoreBrokenError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.sqlite import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")

THREADS: Final = 3


class Readers:
    """Runs reads away from the event loop.

    Each read sees one state of the database and takes well below a second: a longer one
    would keep the log from starting again.
    """

    def __init__(
        self,
        path: Path,
        *,
        loop: asyncio.AbstractEventLoop,
        on_damage: Callable[[BaseException], None],
        threads: int = THREADS,
    ) -> None:
        self._path = path
        self._loop = loop
        self._on_damage = on_damage
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, "hpcsched-store-reader")

    async def read(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a read.

        Raises:
            StoreBrokenError: the files are damaged.
            StoreBusyError: another program locks them.
            StoreClosedError: the store has been closed.
        """
        future = self.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future, loop=self._loop)

    def submit(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]:
        """Start a read."""
        if self._closed:
            raise StoreClosedError("the store has been closed")

        def work() -> R:
            with self._snapshot() as connection:
                return function(connection, *args, **kwargs)

        return self._pool.submit(work)

    def close(self) -> None:
        """Wait for the reads under way, then close. Blocks."""
        self._closed = True
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite.connect_reader(self._path)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def _told(self, error: sqlite3.Error) -> StoreError:
        if sqlite.is_damage(error):
            self._on_damage(error)
            return StoreBrokenError(f"the store is broken: {error}")
        if sqlite.fault_of(error, self._path) is Fault.BUSY:
            return StoreBusyError(f"another program uses the database: {error}")
        return StoreError(f"could not read: {error}")
