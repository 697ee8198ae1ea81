"""The one thread that writes: whatever has queued becomes one transaction.

The thread never waits to fill a transaction. When nothing is queued, it deletes what
was purged (sql.chores) and copies the log into the database.

Order of each turn: write, COMMIT returned, then one call into the event loop with all
answers, in the order of the calls of ``commit``.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

from hpcsched.store.alike import jobs_of
from hpcsched.store.sql.units import Unit, WriterStats, deliver

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from hpcsched.store.errors import StoreBrokenError
    from hpcsched.store.sql.transactions import Transactions

log = logging.getLogger(__name__)

#: What waits for the thread: units to write, work to do, or (None) the end.
_Item: TypeAlias = "Sequence[Unit] | Callable[[], None] | None"

#: Jobs, or other deltas, in one transaction, about.
LARGEST_TRANSACTION: Final = 4096


class Writer:
    """A queue, and the thread that makes transactions of it."""

    def __init__(
        self,
        transactions: Transactions,
        *,
        loop: asyncio.AbstractEventLoop,
        on_broken: Callable[[BaseException], None] | None,
    ) -> None:
        self._transactions = transactions
        self._loop = loop
        self._on_broken = on_broken
        transactions.on_broken = self._has_broken
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, name="hpcsched-store-writer", daemon=True
        )
        self._thread.start()

    @property
    def stats(self) -> WriterStats:
        """Counts of the thread."""
        return self._transactions.stats

    def put_all(self, units: Sequence[Unit]) -> None:
        """Queue units, for one transaction if at all possible; any thread may."""
        self._queue.put(units)

    def break_down(self, error: BaseException) -> None:
        """Stop writing, because a reader met damage; any thread may."""
        self._queue.put(lambda: self._transactions.break_down(error))

    def look(self) -> None:
        """Make sure that the store is still ours; any thread may."""
        self._queue.put(self._transactions.look)

    def forget_slice(
        self,
        what: str,
        before: float,
        done: Callable[[bool, BaseException | None], None],
    ) -> None:
        """Delete some old rows (sql.chores.OLD); say whether those were all."""

        def work() -> None:
            all_gone, error = self._transactions.forget_slice(what, before)
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
                outcomes = self._transactions.commit(units)
                # Looked at before: each look gives up the interpreter's lock, and to
                # get it back from a loop that has just been woken takes long for both.
                too_long = self._transactions.log_is_too_long()
                self._to_loop(partial(deliver, outcomes))
                if too_long:
                    self._transactions.checkpoint()
        self._transactions.close()

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
                if self._transactions.keep_house():
                    continue
                item = self._queue.get()
            if item is None:
                self._closing = True
                break
            if callable(item):
                item()
            else:
                units += item
                size += sum(jobs_of(delta) for unit in item for delta in unit.deltas)
        return units

    def _has_broken(self, error: StoreBrokenError) -> None:
        if self._on_broken is not None:
            self._to_loop(partial(self._on_broken, error))

    def _to_loop(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            log.warning("the event loop was closed before the store")
