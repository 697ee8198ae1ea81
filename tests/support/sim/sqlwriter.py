"""The SQL store's writer without its thread, in a process that may die anywhere."""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hpcsched.store.errors import StoreError
from hpcsched.store.sql.units import Unit, deliver
from tests.support.sim.stores import COMMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.store.memory_state import MemoryState
    from hpcsched.store.sql.transactions import Transactions
    from hpcsched.store.sql.units import Outcome
    from tests.support.sim.loop import Program
    from tests.support.sim.sqldisk import SqlDisk


class KilledError(BaseException):
    """The process has been killed: no handler of the product sees this."""


class InjectedError(sqlite3.OperationalError):
    """An error of the disk that was meant to happen."""


class Connection:
    """The writing connection of a process that may die at any statement.

    Attributes:
        doom: So many statements later the process dies; below 0: it does not.
        error: What the COMMIT of the next transaction fails with.
        too_late: It fails although everything was written.
        program: Whose it is.
        on_durable: Called after each COMMIT that SQLite has carried out.
    """

    def __init__(self, real: sqlite3.Connection, program: Program) -> None:
        self.doom = -1
        self.after_commit = False
        self.error: sqlite3.Error | None = None
        self.too_late = False
        self.on_durable: Callable[[], None] = lambda: None
        self._real = real
        self.program = program

    def execute(self, sql: str, *parameters: Any) -> Any:
        self._die_if_doomed(sql)
        if sql != "COMMIT":
            return self._real.execute(sql, *parameters)
        error, self.error = self.error, None
        if error is None or self.too_late:
            self._real.execute(sql)
            self.on_durable()
        if self.after_commit:
            self.after_commit = False
            self._die()
        if error is not None:
            raise error
        return None

    def _die_if_doomed(self, sql: str) -> None:
        if not self.program.alive:
            raise KilledError
        if self.doom < 0:
            return
        self.doom -= 1
        if self.doom < 0 or sql == "COMMIT":
            self.doom = -1
            self._die()

    def _die(self) -> None:
        self.program.kill()
        raise KilledError

    @property
    def in_transaction(self) -> bool:
        return self.program.alive and self._real.in_transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class InlineWriter:
    """What the writer's thread does, when the simulation's time has come."""

    def __init__(
        self, disk: SqlDisk, transactions: Transactions, connection: Connection
    ) -> None:
        self._disk = disk
        self._transactions = transactions
        self._connection = connection
        self._queue: deque[Unit | Callable[[], None]] = deque()
        self._scheduled = False
        self._verdicts: list[tuple[list[int], bool]] = []
        self._units: Sequence[Unit] = ()
        self._durable = False
        self._then: Callable[[], None] = lambda: None
        self._answer: Callable[[], None] = lambda: None
        self.on_commit: Callable[[MemoryState], None] = lambda _: None
        connection.on_durable = self._has_become_durable

    @property
    def stats(self) -> Any:
        return self._transactions.stats

    def put_all(self, units: Sequence[Unit]) -> None:
        self._queue.extend(units)
        self._wake()

    def break_down(self, error: BaseException) -> None:
        self._disk.loop.call_soon(self._transactions.break_down, error)

    def forget_slice(
        self,
        what: str,
        before: float,
        done: Callable[[bool, BaseException | None], None],
    ) -> None:
        def work() -> None:
            self._then = lambda: self._disk.forget(what, before)
            answer = self._transactions.forget_slice(what, before)
            self._then = lambda: None
            self._answer = lambda: done(*answer)

        self._queue.append(work)
        self._wake()

    def look(self) -> None:
        self._queue.append(self._transactions.look)
        self._wake()

    def close(self) -> None:
        raise AssertionError("heads of the simulation are killed")

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._disk.loop.call_later(self._disk.delay(), self._turn)

    def _turn(self) -> None:
        """Do one piece of work; the next begins when this one is answered."""
        self._durable = False
        with suppress(KilledError):
            self._work()
        if self._durable:
            self.on_commit(self._disk.state)

    def _work(self) -> None:
        if self._queue and self._queue[0] != self._transactions.look:
            self._disk.arm(self._connection)
        if self._queue and not isinstance(self._queue[0], Unit):
            work = self._queue.popleft()
            assert not isinstance(work, Unit)
            work()
        elif self._queue:
            self._commit()
        else:
            self._scheduled = False
            self._keep_house()
            return
        self._later(self._go_on)

    def _go_on(self) -> None:
        """Answer, in the order of the commits, as the writer's thread does."""
        answer, self._answer = self._answer, lambda: None
        answer()
        self._scheduled = False
        self._wake()

    def _keep_house(self) -> None:
        if self._disk.rng.random() < 0.02:
            self._transactions.checkpoint()
        elif self._transactions.keep_house():
            self._wake()

    def _commit(self) -> None:
        units: list[Unit] = []
        while self._queue and isinstance(self._queue[0], Unit):
            units.append(self._queue[0])
            self._queue.popleft()
        self._units = units
        outcomes = self._transactions.commit(units)
        if self._durable:
            self._compare(outcomes)
        self._units = ()
        self._answer = lambda: deliver(outcomes)

    def _has_become_durable(self) -> None:
        """Follow with the state in memory what SQLite has just committed."""
        self._durable = True
        if self._disk.is_old(self._connection.program):
            self._disk.loop.failures.append("I10: an older head has committed")
        self._then()
        self._verdicts = []
        for unit in self._units:
            try:
                numbers = self._disk.state.apply(unit.deltas)
            except StoreError:
                self._verdicts.append(([], False))
            else:
                self._verdicts.append((numbers, True))

    def _compare(self, outcomes: Sequence[Outcome]) -> None:
        told = [(list(one.numbers), one.error is None) for one in outcomes]
        broken = self._transactions._broken is not None
        if told != self._verdicts and not broken:
            self._disk.complain(f"SQLite says {told}, memory {self._verdicts}")

    def _later(self, call: Callable[[], None]) -> None:
        self._disk.loop.call_later(self._disk.rng.random() * COMMIT_S, call)
