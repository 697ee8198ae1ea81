"""Units become transactions: the writer's work, without its thread.

Whoever drives it calls one method at a time. After an error that leaves the disk's
content unknown it touches the files no more and fails everything: SQLite itself would
go on after a failed fsync, and acknowledge what is not on the disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import (
    StoreBrokenError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreTakenError,
)
from hpcsched.store.sql.batch import Batch
from hpcsched.store.sql.chores import SLICE_ROWS
from hpcsched.store.sql.sqlite import Fault
from hpcsched.store.sql.units import Outcome, WriterStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.store.space import Space
    from hpcsched.store.sql.chores import Chores
    from hpcsched.store.sql.session import WriterSession
    from hpcsched.store.sql.statements import Statements
    from hpcsched.store.sql.units import Unit

log = logging.getLogger(__name__)

#: Rows written, about one page of the log each, after which the log is copied: when the
#: queue is empty, and in any case.
IDLE_CHECKPOINT_ROWS: Final = 1_000
CHECKPOINT_ROWS: Final = 8_000

#: Growth of the log after which it is copied, whatever the number of rows.
CHECKPOINT_BYTES: Final = 32 << 20


class Transactions:
    """Owns the writing connection and the number of the last event.

    Attributes:
        on_broken: Called once, when nothing more can be written.
    """

    def __init__(
        self,
        session: WriterSession,
        statements: Statements,
        chores: Chores,
        *,
        last_seq: int,
        space: Space,
    ) -> None:
        self.stats = WriterStats()
        self.on_broken: Callable[[StoreBrokenError], None] = lambda _: None
        self._session = session
        self._statements = statements
        self._chores = chores
        self._last_seq = last_seq
        self._space = space
        self._broken: BaseException | None = None
        self._chores_failed = False
        self._rows = 0
        self._log_base = 0

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units, in one transaction if at all possible. Never raises."""
        try:
            self._check_broken()
            return self._write_together(units)
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            fault = self._undo(error)
            if fault is Fault.FULL and self._space.free_ballast():
                return self.commit(units)
            if fault is not Fault.DELTA or len(units) == 1:
                return [Outcome(u, error=self._told(error, fault)) for u in units]
        try:
            return self._write_apart(units)
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            fault = self._undo(error)
            if fault is Fault.DELTA:  # not of any unit: a statement of our own
                self.break_down(error)
                fault = Fault.BROKEN
            return [Outcome(u, error=self._told(error, fault)) for u in units]

    def forget_slice(
        self, what: str, before: float
    ) -> tuple[bool, BaseException | None]:
        """Delete some old rows (sql.chores.OLD); return whether those were all."""
        try:
            self._check_broken()
            self._session.begin()
            all_gone = self._chores.forget_slice(self._session, what, before)
            self._session.commit()
        except Exception as fault:  # noqa: BLE001 - told to the caller
            return False, self._told(fault, self._undo(fault))
        return all_gone, None

    def look(self) -> None:
        """Break down where the store is another head's by now."""
        if self._broken is not None:
            return
        try:
            self._session.begin()
            self._session.roll_back()
        except Exception as error:  # noqa: BLE001 - sorted by what it means
            self._undo(error)

    def keep_house(self) -> bool:
        """Do one piece of work that nobody waits for; return whether there was any."""
        if self._broken is not None:
            return False
        if self._rows >= IDLE_CHECKPOINT_ROWS:
            self.checkpoint()
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
            fault = self._undo(error)
            if fault in (Fault.FULL, Fault.BUSY):
                log.warning("the rest of purged jobs is deleted later: %s", error)
            elif fault is not Fault.BROKEN:
                log.exception("could not delete the rest of purged jobs yet")
        return True

    def log_is_too_long(self) -> bool:
        """Is the log to be copied, although there may be something to write?"""
        return self._rows >= CHECKPOINT_ROWS or self._log_has_grown()

    def checkpoint(self) -> None:
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

    def break_down(self, error: BaseException) -> None:
        """Stop writing, because of damage."""
        if self._broken is not None:
            return
        self._broken = error
        if isinstance(error, StoreTakenError):
            log.critical("nothing more is written: %s", error)
        else:
            log.critical("the store is broken, nothing more is written", exc_info=error)
        self._session.mark_broken(error)
        try:
            self._session.close_broken()
        except Exception:
            log.exception("could not close the broken store")
        self.on_broken(_broken_error(error))

    def close(self) -> None:
        """Copy the log and close the connection."""
        if self._broken is not None:
            return
        try:
            self._session.close()
        except Exception as error:
            log.exception("the log could not be copied into the database at the end")
            if self._session.fault_of(error) is Fault.BROKEN:
                self.break_down(error)

    def _write_together(self, units: Sequence[Unit]) -> list[Outcome]:
        batch = Batch(self._last_seq)
        outcomes = [Outcome(u, [batch.add(d) for d in u.deltas]) for u in units]
        self._session.begin()
        batch.write(self._session, self._statements)
        self._session.commit()
        self._has_committed([batch], outcomes)
        return outcomes

    def _write_apart(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units one by one, still in one transaction, to find the bad ones."""
        self.stats.retries += 1
        outcomes = []
        parts = [Batch(self._last_seq)]
        self._session.begin()
        for unit in units:
            part = Batch(parts[-1].last_seq)
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
                parts.append(part)
        self._session.commit()
        self._has_committed(parts, outcomes)
        return outcomes

    def _has_committed(
        self, batches: Sequence[Batch], outcomes: Sequence[Outcome]
    ) -> None:
        self._last_seq = batches[-1].last_seq
        deltas = sum(len(o.unit.deltas) for o in outcomes)
        self.stats.transactions += 1
        self.stats.deltas += deltas
        self._rows += 2 * deltas + sum(batch.rows for batch in batches)
        self._chores_failed = False
        if any(batch.purges for batch in batches):
            self._chores.due = True

    def _log_has_grown(self) -> bool:
        if self._broken is not None:
            return False
        return self._session.log_size() >= self._log_base + CHECKPOINT_BYTES

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
            self.break_down(error)
        return fault

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


def _broken_error(cause: BaseException) -> StoreBrokenError:
    if isinstance(cause, StoreTakenError):
        return StoreTakenError(str(cause))
    error = StoreBrokenError(f"the store is broken: {cause}")
    error.__cause__ = cause
    return error
