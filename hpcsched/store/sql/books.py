"""The accounting rows of one transaction; what adds up is added up here first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hpcsched.store.alike import Alike
from hpcsched.store.history import SUMS
from hpcsched.store.sql.seals import mixed, sealed
from hpcsched.store.sql.sums import with_seal

if TYPE_CHECKING:
    from hpcsched.store.base import Delta
    from hpcsched.store.sql.statements import Cursor, Row, Statements


class Books:
    """See the module."""

    def __init__(self) -> None:
        self._history: list[Row] = []
        self._allocations: list[Row] = []
        self._usage: dict[tuple[int, str, str], list[int]] = {}
        self._sums: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """About how many rows will be written."""
        return len(self._history) + len(self._allocations)

    def add(self, delta: Delta) -> None:
        """Take what a delta says."""
        # Jobs that are alike have theirs from one of them (sql.many).
        for h in () if isinstance(delta.alike, Alike) else delta.history:
            who = (h.requeue_id, h.owner, h.project)
            *told, crc = sealed((*who, h.state, h.event_time, h.body))
            self._history.append((h.job_id, *told, crc ^ mixed(h.job_id)))
        for a in delta.allocations:
            what = (a.job_id, a.requeue_id, a.node_id, a.cores)
            self._allocations.append(sealed((*what, a.start_time, a.end_time)))
        for u in delta.usage:
            sums = self._usage.setdefault((u.day, u.owner, u.project), [0] * len(SUMS))
            for at, name in enumerate(SUMS):
                sums[at] += getattr(u, name)
        self._sums.update(delta.sums)

    def write(self, run: Cursor, s: Statements) -> None:
        """Write everything; the transaction is the caller's."""
        s.add_history.run(run, self._history)
        s.add_allocations.run(run, self._allocations)
        s.add_usage.run(run, [with_seal(*one) for one in self._usage.items()])
        s.add_counters.run(run, [with_seal((k,), (n,)) for k, n in self._sums.items()])
