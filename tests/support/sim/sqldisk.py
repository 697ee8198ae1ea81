"""A real SQLite store in the simulation, driven without its thread.

The statements, the transactions, the files and their recovery are the product's. A head
dies between two statements, at a COMMIT or behind it; what the files hold at that
moment is copied, as a kill leaves it, and the next head opens the copy. Beside it a
``MemoryState`` is kept of what was committed: the two must tell the same at each start.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsched.runtime.checking import check_store
from hpcsched.store.backups import FOLDER
from hpcsched.store.exchange import rewrite
from hpcsched.store.history import DAY_S
from hpcsched.store.marks import FILE as MARK
from hpcsched.store.memory_state import MemoryState
from hpcsched.store.opener import DATABASE, loader, open_files
from hpcsched.store.sql import chores, sqlite
from hpcsched.store.sql.readers import Readers
from hpcsched.store.sql.store import SqlStore
from tests.support.sim.sqlcompare import differences
from tests.support.sim.sqlwriter import Connection, InjectedError, InlineWriter
from tests.support.sim.stores import (
    AFTER,
    AT,
    BEFORE,
    COMMIT_S,
    MIDST,
    SQLITE,
    StoreFaults,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from concurrent.futures import Future as ThreadFuture

    from hpcsched.store.base import Store
    from hpcsched.store.opener import OpenFiles
    from tests.support.sim.loop import Program, SimLoop

#: Statements of a transaction behind the first of which a head may die.
MOST_STATEMENTS = 10

#: More statements than a transaction has: it dies at its COMMIT.
NEVER = 1 << 30


class InlineReaders(Readers):
    """Reads at once what a thread would read, told a moment later."""

    def __init__(
        self, disk: SqlDisk, path: Path, on_damage: Callable[[BaseException], None]
    ) -> None:
        super().__init__(path, loop=disk.loop, on_damage=on_damage)
        self._rng = disk.rng

    async def read(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._rng.random() < 0.5
        if before:
            await asyncio.sleep(self._rng.random() * 0.002)
        found = self.submit(function, *args, **kwargs).result()
        if not before:
            await asyncio.sleep(self._rng.random() * 0.002)
        return found

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> ThreadFuture[Any]:
        return _Done(lambda: self._run(function, *args, **kwargs))  # type: ignore[return-value]

    def _run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self._snapshot() as connection:
            return function(connection, *args, **kwargs)


class _Done:
    def __init__(self, work: Callable[[], Any]) -> None:
        self._found = work()

    def result(self) -> Any:
        return self._found


class Opened:
    """What a head has open."""

    def __init__(
        self,
        files: OpenFiles,
        real: sqlite3.Connection,
        readers: InlineReaders,
        place: Path,
    ) -> None:
        self.place = place
        self.opened = files.session._opened
        self._files = files
        self._real = real
        self._readers = readers

    def close(self) -> None:
        self._readers.close()
        self._files.session._guard.close()
        self._real.close()


class SqlDisk:
    """A disk with SQLite's files (a ``HeadDisk``)."""

    def __init__(self, loop: SimLoop, rng: random.Random, folder: Path) -> None:
        self.state = MemoryState()
        self.faults = StoreFaults()
        self.kind = SQLITE
        self.loop = loop
        self.rng = rng
        self._folder = folder
        self._lives = 0
        self._place = folder / "0"
        self._open: dict[Program, Opened] = {}

    def complain(self, what: str) -> None:
        self.loop.failures.append(f"I1: {what}")

    def open(
        self,
        program: Program,
        on_broken: Callable[[BaseException], None],
        on_commit: Callable[[MemoryState], None],
    ) -> Store:
        if (self._place / MARK).exists():
            rewrite(self._place, _look, 0.0)  # as an administrator does
        files = open_files(self._place / DATABASE)
        files.space.problem = lambda: ""  # type: ignore[method-assign]
        files.space.free_ballast = lambda: False  # type: ignore[method-assign]
        real = files.session._connection
        connection = Connection(real, program)
        files.session._connection = connection  # type: ignore[assignment]
        transactions = files.transactions()
        transactions.on_broken = on_broken
        writer: Any = InlineWriter(self, transactions, connection)
        writer.on_commit = on_commit
        readers = InlineReaders(self, files.path, writer.break_down)
        self._open[program] = Opened(files, real, readers, self._place)
        self._check(files)
        return SqlStore(
            writer,
            readers,
            dialect=sqlite.dialect(),
            loader=loader(),
            reads=files.reads,
            backups=files.backups,
            space=files.space,
            loop=self.loop,
        )

    def delay(self) -> float:
        """Return how long the disk takes for what was asked of it now, seconds."""
        seconds = self.rng.random() * COMMIT_S
        chance, most = self.faults.slow
        if chance and self.rng.random() < chance:
            seconds += self.rng.random() * most
        return seconds

    def arm(self, connection: Connection) -> None:
        """Let what is wrong with the disk befall the next transaction."""
        faults = self.faults
        place = faults.next_commit()
        if place == BEFORE:
            connection.doom = 0
        elif place == MIDST:
            connection.doom = self.rng.randint(1, MOST_STATEMENTS)
        elif place == AT:
            connection.doom = NEVER
        elif place == AFTER:
            connection.after_commit = True
        if faults.breaks:
            faults.breaks = False
            connection.error = _error("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)
            connection.too_late = self.rng.random() < 0.5
        elif faults.full:
            connection.error = _error("database or disk is full", sqlite3.SQLITE_FULL)
            connection.too_late = False

    def forget(self, what: str, before: float) -> None:
        """Follow with the state in memory what was forgotten by its age."""
        state = self.state
        if what == chores.REQUESTS:
            rows = state.requests.items()
            state.requests = {key: row for key, row in rows if row.time >= before}
        elif what == chores.ALLOCATIONS:
            state.books.forget_allocations(before)
        elif what == chores.NODE_EVENTS:
            state.forget_node_events(before)
        elif what == chores.HISTORY:
            used = state.books.used
            state.books.forget_history(before)
            state.books.used = used
        else:
            day = before // DAY_S
            books = state.books
            books.used = {k: row for k, row in books.used.items() if row.day >= day}

    def left(self, program: Program) -> None:
        """Keep of the files what a kill leaves of them, when nobody has them open.

        An older head that has not noticed yet goes on with the files of before.
        """
        opened = self._open.pop(program, None)
        if opened is None:
            return
        if opened.place == self._place and opened is not self._newest(opened):
            opened.close()
            return
        if opened.place == self._place:
            self._lives += 1
            self._place = self._folder / str(self._lives)
            self._place.mkdir()
            _copy(opened.place, self._place)
        opened.close()
        if not any(one.place == opened.place for one in self._open.values()):
            shutil.rmtree(opened.place)

    def is_old(self, program: Program) -> bool:
        """Has another head opened the store since?"""
        return self._open[program] is not self._newest(self._open[program])

    def _newest(self, opened: Opened) -> Opened:
        """Return who of those on the same files has opened them last."""
        return max([opened, *self._open.values()], key=lambda one: one.opened)

    def close(self, keep: Path | None = None) -> None:
        if keep is not None:
            _copy(self._place, keep)
        for opened in self._open.values():
            opened.close()

    def _check(self, files: OpenFiles) -> None:
        """Compare what the files hold with what was committed."""
        with closing(sqlite.connect_reader(files.path)) as reader:
            found = differences(reader, files.reads, self.state)
        if found:
            self.complain(found)

    def look_at_backup(self, name: str) -> None:
        path = self._place / FOLDER / name
        findings = _look(path) if path.exists() else ()  # else its head has died
        if findings:
            self.complain(f"backup {name}: {findings[0].text}")

    def look(self) -> str:
        """Return what ``hpcschedd --check`` finds."""
        findings = _look(self._place / DATABASE)
        return "; ".join(one.text for one in findings)


def _copy(source: Path, target: Path) -> None:
    for name in (DATABASE, f"{DATABASE}-wal", MARK):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _look(path: Path) -> Any:
    return check_store(path).findings


def _error(text: str, code: int) -> sqlite3.Error:
    error = InjectedError(text)
    error.sqlite_errorcode = code
    return error
