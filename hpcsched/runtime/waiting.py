"""What jobs want, in queue order: one line for all, and one per pool with pools on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcsched.core.scheduling.snapshot import Demand


class Waiting:
    """See the module.

    Attributes:
        passed_over: Says whether a job is left out of plans for now.
    """

    def __init__(self, passed_over: Callable[[int], bool]) -> None:
        self._passed_over = passed_over
        self._all: SortedDict[Any, Demand] = SortedDict()
        self._by_pool: dict[str, SortedDict[Any, Demand]] | None = None
        self._keys: dict[int, tuple[Any, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Demand]:
        """Yield what may be granted now."""
        return self._sound(self._all)

    def __getitem__(self, job_id: int) -> Demand:
        demand: Demand = self._all[self._keys[job_id]]
        return demand

    def put(self, job_id: int, demand: Demand | None) -> bool:
        """Note what a job wants; return whether that is news."""
        key = self._keys.get(job_id)
        if demand is None:
            if key is None:
                return False
        elif key is not None and self._all[key] is demand:
            return False
        self._keys.pop(job_id, None)
        before = None if key is None else self._all.pop(key)
        if before is not None and self._by_pool is not None:
            self._by_pool[before.pool].pop(key)
        if demand is not None:
            key = (*demand.order, job_id)
            self._keys[job_id] = key
            self._all[key] = demand
            if self._by_pool is not None:
                self._by_pool.setdefault(demand.pool, SortedDict())[key] = demand
        return bool(demand != before)

    def pools(self, *, on: bool) -> dict[str, _Line]:
        """Return the lines of each pool; kept up to date only as long as it is on."""
        if not on:
            self._by_pool = None
            return {}
        if self._by_pool is None:
            self._by_pool = {}
            for key, demand in self._all.items():
                self._by_pool.setdefault(demand.pool, SortedDict())[key] = demand
        return {pool: _Line(self, own) for pool, own in self._by_pool.items()}

    def first(self) -> Demand | None:
        """Return who is first, be it that it is left out now."""
        return self._all.peekitem(0)[1] if self._all else None

    def before(self, job_id: int) -> Iterator[Demand]:
        """Yield what jobs want that come before one, the first one first."""
        key = self._keys.get(job_id)
        if key is not None:
            for other in self._all.irange(maximum=key, inclusive=(True, False)):
                yield self._all[other]

    def place(self, job_id: int) -> int:
        """Return how many want something before a job does."""
        return int(self._all.index(self._keys[job_id]))

    def in_order(self) -> Iterator[Demand]:
        """Yield everything, what is left out now as well."""
        yield from self._all.values()

    def has(self, job_id: int) -> bool:
        """Does a job want anything?"""
        return job_id in self._keys

    def _sound(self, own: SortedDict[Any, Demand]) -> Iterator[Demand]:
        for demand in own.values():
            if not self._passed_over(demand.job_id):
                yield demand


class _Line:
    """One pool's part of the queue; it can be gone through more than once."""

    def __init__(self, waiting: Waiting, own: SortedDict[Any, Demand]) -> None:
        self._waiting = waiting
        self._own = own

    def __iter__(self) -> Iterator[Demand]:
        return self._waiting._sound(self._own)  # noqa: SLF001  a part of it
