"""What jobs want, in queue order: one line for all, and one per pool with pools on.

Jobs that are alike stand in it as one lot (runtime.lots); what one of them wants is
made when somebody looks at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sortedcontainers import SortedDict

from hpcsched.common.ranges import from_sorted_iterable
from hpcsched.runtime.lots import Lot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.lots import Kind

    Entry = Demand | Lot

MADE_LIMIT: Final = 5_000
"""Demands of lots that are kept: those near the head of the queue are seen often."""


class Waiting:
    """See the module.

    Attributes:
        passed_over: Says whether a job is left out of plans for now.
    """

    def __init__(self, passed_over: Callable[[int], bool]) -> None:
        self._passed_over = passed_over
        self._all: SortedDict[Any, Entry] = SortedDict()
        self._by_pool: dict[str, SortedDict[Any, Entry]] | None = None
        self._keys: dict[int, tuple[Any, ...]] = {}
        self._lots: SortedDict[int, Lot] = SortedDict()
        self._made: dict[int, Demand] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Demand]:
        """Yield what may be granted now."""
        return self._sound(self._all)

    def __getitem__(self, job_id: int) -> Demand:
        key = self._keys.get(job_id)
        if key is None:
            lot = self.lot_of(job_id)
            if lot is None:
                raise KeyError(job_id)
            return self._of_lot(lot, job_id)
        alone: Demand = self._all[key]  # type: ignore[assignment]
        return alone

    def put(self, job_id: int, demand: Demand | None) -> bool:
        """Note what a job wants; return whether that is news."""
        key = self._keys.get(job_id)
        if demand is None:
            if key is None:
                return False
        elif key is not None and self._all[key] is demand:
            return False
        self._keys.pop(job_id, None)
        before = None if key is None else self._pop(key)
        if demand is not None:
            key = (*demand.order, job_id)
            self._keys[job_id] = key
            self._insert(key, demand)
        return bool(demand != before)

    def _insert(self, key: tuple[Any, ...], entry: Entry) -> None:
        self._all[key] = entry
        if self._by_pool is not None:
            self._by_pool.setdefault(_pool(entry), SortedDict())[key] = entry

    def _pop(self, key: tuple[Any, ...]) -> Entry:
        before: Entry = self._all.pop(key)
        if self._by_pool is not None:
            self._by_pool[_pool(before)].pop(key)
        return before

    # Jobs that are alike

    def put_lot(self, lot: Lot) -> None:
        """Take in jobs that are alike; none of them wants anything yet."""
        self._lots[lot.first] = lot
        self._insert(lot.key, lot)

    def lot_of(self, job_id: int) -> Lot | None:
        """Return the lot that a job is of."""
        at = self._lots.bisect_right(job_id) - 1
        if at < 0:
            return None
        lot: Lot = self._lots.peekitem(at)[1]
        return lot if job_id in lot else None

    def lots(self) -> Iterable[Lot]:
        """Return all lots, by the number of their first job."""
        return list(self._lots.values())

    def cut_out(self, lot: Lot, first: int, last: int) -> None:
        """Let jobs leave their lot and the queue."""
        del self._lots[lot.first]
        self._pop(lot.key)
        for rest in lot.without(first, last):
            self.put_lot(rest)

    def stand_alone(self, lot: Lot, job_id: int) -> None:
        """Let a job leave its lot, and stand where it stood by itself."""
        demand = self._of_lot(lot, job_id)
        self._made.pop(job_id, None)
        self.cut_out(lot, job_id, job_id)
        self.put(job_id, demand)

    def change_kind(self, ids: Sequence[int], kind: Kind) -> None:
        """Let jobs of lots be of another kind, where they stand."""
        for lot in self.leave_lot(ids):
            self.put_lot(Lot(kind, lot.first, lot.last, lot.shift))

    def leave_lot(self, ids: Sequence[int]) -> list[Lot]:
        """Take jobs of lots out of the queue; return them as lots."""
        taken = []
        for first, last in from_sorted_iterable(sorted(ids)):
            at = first
            while at <= last:
                lot = self.lot_of(at)
                assert lot is not None  # noqa: S101  they are of lots
                part = Lot(lot.kind, at, min(last, lot.last), lot.shift)
                self.cut_out(lot, part.first, part.last)
                taken.append(part)
                at = part.last + 1
        return taken

    def review(self, demand_of: Callable[[Kind], Demand]) -> None:
        """Let lots say anew what each of their jobs wants."""
        for kind in {lot.kind for lot in self._lots.values()}:
            kind.demand = demand_of(kind)
        self._made.clear()
        self._by_pool = None

    def _of_lot(self, lot: Lot, job_id: int) -> Demand:
        demand = self._made.get(job_id)
        if demand is None:
            if len(self._made) >= MADE_LIMIT:
                self._made.clear()
            demand = self._made[job_id] = lot.demand(job_id)
        return demand

    def entries(self) -> Iterator[Entry]:
        """Yield demands and lots, what is left out now as well."""
        yield from self._all.values()

    def _each(self, entries: Iterable[Entry]) -> Iterator[Demand]:
        for entry in entries:
            if isinstance(entry, Lot):
                for job_id in entry.ids:
                    yield self._of_lot(entry, job_id)
            else:
                yield entry

    # Looking

    def pools(self, *, on: bool) -> dict[str, _Line]:
        """Return the lines of each pool; kept up to date only as long as it is on."""
        if not on:
            self._by_pool = None
            return {}
        if self._by_pool is None:
            self._by_pool = {}
            for key, entry in self._all.items():
                self._by_pool.setdefault(_pool(entry), SortedDict())[key] = entry
        return {pool: _Line(self, own) for pool, own in self._by_pool.items()}

    def first(self) -> Demand | None:
        """Return who is first, be it that it is left out now."""
        if not self._all:
            return None
        entry: Entry = self._all.peekitem(0)[1]
        return self._of_lot(entry, entry.first) if isinstance(entry, Lot) else entry

    def before(self, job_id: int) -> Iterator[Demand]:
        """Yield what jobs want that come before one, the first one first."""
        key = self._key(job_id)
        if key is None:
            return
        keys = self._all.irange(maximum=key)
        for demand in self._each(self._all[other] for other in keys):
            if demand.job_id == job_id:
                return
            yield demand

    def place(self, job_id: int) -> int:
        """Return how many want something before a job does."""
        key = self._key(job_id)
        if key is None:
            raise KeyError(job_id)
        place = int(self._all.bisect_left(key))
        for lot in self._lots.values():
            if lot.key < key:
                mine = job_id in lot
                place += (job_id - lot.first if mine else len(lot)) - 1
        return place

    def in_order(self) -> Iterator[Demand]:
        """Yield everything, what is left out now as well."""
        return self._each(self._all.values())

    def has(self, job_id: int) -> bool:
        """Does a job want anything?"""
        return job_id in self._keys or self.lot_of(job_id) is not None

    def _key(self, job_id: int) -> tuple[Any, ...] | None:
        lot = None if job_id in self._keys else self.lot_of(job_id)
        return self._keys.get(job_id) if lot is None else lot.key_of(job_id)

    def _sound(self, own: SortedDict[Any, Entry]) -> Iterator[Demand]:
        passed_over = self._passed_over
        for entry in own.values():
            if not isinstance(entry, Lot):
                if not passed_over(entry.job_id):
                    yield entry
                continue
            for job_id in entry.ids:
                if not passed_over(job_id):
                    yield self._of_lot(entry, job_id)


class _Line:
    """One pool's part of the queue; it can be gone through more than once."""

    def __init__(self, waiting: Waiting, own: SortedDict[Any, Entry]) -> None:
        self._waiting = waiting
        self._own = own

    def __iter__(self) -> Iterator[Demand]:
        return self._waiting._sound(self._own)  # noqa: SLF001  a part of it


def _pool(entry: Entry) -> str:
    return entry.kind.demand.pool if isinstance(entry, Lot) else entry.pool
