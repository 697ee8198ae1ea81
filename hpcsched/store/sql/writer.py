"""The one thread that writes: whatever has queued becomes one transaction.

The thread never waits to fill a transaction. When nothing is queued, it deletes what
was purged (sql.chores) and copies the log into the database.

Order of each turn: write, COMMIT returned, then one call into the event loop with all
answers, in the order of the calls of ``commit``. After an error that leaves the disk's
content unknown it touches the files no more and fails everything: SQLite itself would
go on after a failed fsync, and acknowledge what is not on the disk.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import (
    StoreBrokenError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from hpcsched.store.sql.batch import Batch
from hpcsched.store.sql.chores import SLICE_ROWS
from hpcsched.store.sql.sqlite import Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from hpcsched.store.base import Delta
    from hpcsched.store.space import Space
    from hpcsched.store.sql.chores import Chores
    from hpcsched.store.sql.session import WriterSession
    from hpcsched.store.sql.statements import Statements

log = logging.getLogger(__name__)

#: Deltas in one transaction.
LARGEST_TRANSACTION: Final = 4096

#: Rows written, about one page of the log each, after which the log is copied: when the
#: queue is empty, and in any case.
IDLE_CHECKPOINT_ROWS: Final = 1_000
CHECKPOINT_ROWS: Final = 8_000

#: Growth of the log after which it is copied, whatever the number of rows.
CHECKPOINT_BYTES: Final = 32 << 20


@dataclass(slots=True)
class Unit:
    """Deltas that are written together or not at all, and whom to tell."""

    deltas: Sequence[Delta]
    done: Callable[[Sequence[int], BaseException | None], None]


@dataclass(slots=True)
class Outcome:
    """What became of a unit."""

    unit: Unit
    numbers: Sequence[int] = ()
    error: BaseException | None = None


@dataclass(slots=True)
class WriterStats:
    """Counts since the store was opened; read by tests and metrics."""

    transactions: int = 0
    deltas: int = 0
    retries: int = 0
    checkpoints: int = 0


class Writer:
    """Owns the writing connection and the number of the last event."""

    def __init__(
        self,
        session: WriterSession,
        statements: Statements,
        chores: Chores,
        *,
        last_seq: int,
        loop: asyncio.AbstractEventLoop,
        on_broken: Callable[[BaseException], None] | None,
        space: Space,
    ) -> None:
        self.stats = WriterStats()
        self._session = session
        self._statements = statements
        self._chores = chores
        self._last_seq = last_seq
        self._loop = loop
        self._on_broken = on_broken
        self._space = space
        self._queue: SimpleQueue[Unit | Callable[[], None] | None] = SimpleQueue()
        self._broken: BaseException | None = None
        self._closing = False
        self._chores_failed = False
        self._rows = 0
        self._log_base = 0
        self._thread = threading.Thread(
            target=self._run, name="hpcsched-store-writer", daemon=True
        )
        self._thread.start()

    def put(self, unit: Unit) -> None:
        """Queue a unit; any thread may."""
        self._queue.put(unit)

    def break_down(self, error: BaseException) -> None:
        """Stop writing, because a reader met damage; any thread may."""
        self._queue.put(lambda: self._break(error))

    def forget_slice(
        self,
        what: str,
        before: float,
        done: Callable[[bool, BaseException | None], None],
    ) -> None:
        """Delete some old rows (sql.chores.OLD); say whether those were all."""

        def work() -> None:
            all_gone = False
            error: BaseException | None = None
            try:
                self._check_broken()
                self._session.begin()
                all_gone = self._chores.forget_slice(self._session, what, before)
                self._session.commit()
            except Exception as fault:  # noqa: BLE001 - told to the caller
                error = self._told(fault, self._undo(fault))
            self._to_loop(lambda: done(all_gone, error))

        self._queue.put(work)

    def close(self) -> None:
        """Write what has queued, close the connection, wait for the thread's end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            units = self._gather()
            if units:
                outcomes = self._commit(units)
                self._to_loop(partial(_deliver, outcomes))
                if self._rows >= CHECKPOINT_ROWS or self._log_has_grown():
                    self._checkpoint()
        self._close()

    def _gather(self) -> list[Unit]:
        """Return what has queued; wait only when there is nothing else to do."""
        units: list[Unit] = []
        size = 0
        while size < LARGEST_TRANSACTION:
            try:
                item = self._queue.get_nowait()
            except Empty:
                if units:
                    break
                if self._keep_house():
                    continue
                item = self._queue.get()
            if isinstance(item, Unit):
                units.append(item)
                size += len(item.deltas)
            elif item is None:
                self._closing = True
                break
            else:
                item()
        return units

    def _commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units, in one transaction if at all possible. Never raises."""
        try:
            self._check_broken()
            return self._write_together(units)
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            fault = self._undo(error)
            if fault is Fault.FULL and self._space.free_ballast():
                return self._commit(units)
            if fault is not Fault.DELTA or len(units) == 1:
                return [Outcome(u, error=self._told(error, fault)) for u in units]
        try:
            return self._write_apart(units)
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            fault = self._undo(error)
            if fault is Fault.DELTA:  # not of any unit: a statement of our own
                self._break(error)
                fault = Fault.BROKEN
            return [Outcome(u, error=self._told(error, fault)) for u in units]

    def _write_together(self, units: Sequence[Unit]) -> list[Outcome]:
        batch = Batch(self._last_seq)
        outcomes = [Outcome(u, [batch.add(d) for d in u.deltas]) for u in units]
        self._session.begin()
        batch.write(self._session, self._statements)
        self._session.commit()
        self._has_committed(batch, outcomes)
        return outcomes

    def _write_apart(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units one by one, still in one transaction, to find the bad ones."""
        self.stats.retries += 1
        outcomes = []
        batch = Batch(self._last_seq)
        self._session.begin()
        for unit in units:
            part = Batch(batch.last_seq)
            try:
                numbers = [part.add(delta) for delta in unit.deltas]
                with self._session.part():
                    part.write(self._session, self._statements)
            except Exception as error:
                fault = self._session.fault_of(error)
                if fault is not Fault.DELTA:
                    raise
                outcomes.append(Outcome(unit, error=self._told(error, fault)))
            else:
                outcomes.append(Outcome(unit, numbers))
                batch.last_seq = part.last_seq
        self._session.commit()
        self._has_committed(batch, outcomes)
        return outcomes

    def _has_committed(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        self._last_seq = batch.last_seq
        deltas = sum(len(o.unit.deltas) for o in outcomes)
        self.stats.transactions += 1
        self.stats.deltas += deltas
        self._rows += 2 * deltas + batch.rows
        self._chores_failed = False
        if batch.purges:
            self._chores.due = True

    def _keep_house(self) -> bool:
        """Do one piece of work that nobody waits for; return whether there was any."""
        if self._broken is not None:
            return False
        if self._rows >= IDLE_CHECKPOINT_ROWS:
            self._checkpoint()
            return True
        if not self._chores.due or self._chores_failed:
            return False
        try:
            self._session.begin()
            self._chores.purge_slice(self._session)
            self._session.commit()
            self._rows += SLICE_ROWS
        except Exception as error:
            self._chores_failed = True  # until the next commit succeeds
            self._chores.due = True
            if self._undo(error) is not Fault.BROKEN:
                log.exception("could not delete the rest of purged jobs yet")
        return True

    def _log_has_grown(self) -> bool:
        if self._broken is not None:
            return False
        return self._session.log_size() >= self._log_base + CHECKPOINT_BYTES

    def _checkpoint(self) -> None:
        """Copy the log into the database; readers may put off a part of it."""
        if self._broken is not None:
            return
        self._rows = 0
        try:
            all_copied = self._session.checkpoint()
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            if self._undo(error) is not Fault.BROKEN:
                log.warning("the log could not be copied into the database: %s", error)
            all_copied = False
        else:
            self.stats.checkpoints += 1
        self._log_base = 0 if all_copied else self._session.log_size()

    def _check_broken(self) -> None:
        if self._broken is not None:
            raise _broken_error(self._broken)

    def _undo(self, error: BaseException) -> Fault:
        """Roll back, and stop for good when the error asks for it."""
        if self._broken is not None:
            return Fault.BROKEN
        fault = self._session.fault_of(error)
        if fault is not Fault.BROKEN:
            try:
                self._session.roll_back()
            except Exception as second:  # noqa: BLE001 - as bad as it gets
                error, fault = second, Fault.BROKEN
        if fault is Fault.BROKEN:
            self._break(error)
        return fault

    def _break(self, error: BaseException) -> None:
        if self._broken is not None:
            return
        self._broken = error
        log.critical("the store is broken, nothing more is written", exc_info=error)
        self._session.mark_broken(error)
        try:
            self._session.close_broken()
        except Exception:
            log.exception("could not close the broken store")
        if self._on_broken is not None:
            tell = self._on_broken
            self._to_loop(lambda: tell(_broken_error(error)))

    def _told(self, error: BaseException, fault: Fault) -> Exception:
        """Return what the owner of a delta is told; a new error for each."""
        told: Exception
        match fault:
            case Fault.BROKEN:
                return _broken_error(self._broken or error)
            case Fault.FULL:
                told = StoreFullError(f"the disk is full: {error}")
            case Fault.BUSY:
                told = StoreBusyError(f"another program uses the database: {error}")
            case Fault.DELTA if isinstance(error, StoreError):
                return error
            case Fault.DELTA:
                told = self._session.refusal_of(error)
        told.__cause__ = error
        return told

    def _close(self) -> None:
        if self._broken is not None:
            return
        try:
            self._session.close()
        except Exception as error:
            log.exception("the log could not be copied into the database at the end")
            if self._session.fault_of(error) is Fault.BROKEN:
                self._break(error)

    def _to_loop(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            log.warning("the event loop was closed before the store")


def _broken_error(cause: BaseException) -> StoreBrokenError:
    error = StoreBrokenError(f"the store is broken: {cause}")
    error.__cause__ = cause
    return error


def _deliver(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        try:
            outcome.unit.done(outcome.numbers, outcome.error)
        except Exception:
            log.exception("an owner failed when it was told of its commit")
