"""The head's durable state on a disk that answers late, refuses, or is the last thing
that a head sees."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from hpcsched.store.errors import StoreBrokenError, StoreFullError, StoreTakenError
from hpcsched.store.memory import MemoryStore
from tests.support.sim.loop import PROGRAM

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from hpcsched.store.memory_state import MemoryState
    from tests.support.sim.loop import Program, SimLoop

#: Where the store of a head is: in memory, or in the files of SQLite.
MEMORY, SQLITE = "memory", "sqlite"

#: What a commit takes at the most, seconds, on a disk that is well.
COMMIT_S = 0.003

#: Where in a commit a head may die: before its first statement, between two of them, at
#: the COMMIT, behind it.
BEFORE, MIDST, AT, AFTER = "before", "midst", "at", "after"
PLACES = (BEFORE, MIDST, AT, AFTER)


class StoreFaults:
    """What is wrong with the disk.

    Attributes:
        slow: How likely a commit takes long, and how long at the most, seconds.
        full: Every commit is refused.
        breaks: The next commit breaks the store.
        lost: The head dies at the next commit, before it is written.
        unanswered: The head dies at the next commit, after it was written.
        plan: Where a head dies, by the number of the commit: BEFORE, AT or AFTER.
        commits: How many there were.
    """

    def __init__(self) -> None:
        self.slow = (0.0, 0.0)
        self.full = False
        self.breaks = False
        self.lost = False
        self.unanswered = False
        self.plan: dict[int, str] = {}
        self.commits = 0

    def next_commit(self) -> str:
        """Count a commit; return where the head dies in it, empty: nowhere."""
        self.commits += 1
        place = self.plan.pop(self.commits, "")
        if self.lost:
            self.lost = False
            return MIDST
        if self.unanswered:
            self.unanswered = False
            return AFTER
        return place


class SimStore(MemoryStore):
    """A MemoryStore with time between a commit, its durability and its answer."""

    def __init__(
        self,
        loop: SimLoop,
        rng: random.Random,
        state: MemoryState,
        faults: StoreFaults,
        *,
        program: Program,
        on_broken: Callable[[BaseException], None],
        on_commit: Callable[[MemoryState], None],
        is_taken: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(state=state, on_broken=on_broken, schedule=self._plan)
        self._loop = loop
        self._rng = rng
        self._faults = faults
        self._program = program
        self._on_commit = on_commit
        self._is_taken = is_taken

    def _plan(self, flush: Callable[[], None]) -> object:
        seconds = self._rng.random() * COMMIT_S
        chance, most = self._faults.slow
        if chance and self._rng.random() < chance:
            seconds += self._rng.random() * most
        return self._loop.call_later(seconds, flush)

    def _flush(self) -> None:
        faults = self._faults
        if not self._queue:
            self._scheduled = False
            return
        place = "" if self._is_taken() else faults.next_commit()
        if place and place != AFTER:
            self._program.kill()
            return
        units, self._queue = self._queue, []
        self.transactions += 1
        failure = self._failure_now()
        answers = [(unit, *self._write(unit, failure)) for unit in units]
        if failure is None:
            self._on_commit(self._state)
        if place:
            self._program.kill()
            return
        delay = self._rng.random() * COMMIT_S
        self._loop.call_later(delay, self._answer, answers)

    def _failure_now(self) -> BaseException | None:
        faults = self._faults
        if self._is_taken():
            self._failures = [StoreTakenError("another head has opened the store")]
        elif faults.breaks:
            faults.breaks = False
            self._failures = [StoreBrokenError("the disk has failed")]
        elif faults.full:
            return StoreFullError("the disk is full") if self._broken is None else None
        return self._failure()

    async def space_problem(self) -> str:
        if self._is_taken() and self._program.alive:
            self._failures = [StoreTakenError("another head has opened the store")]
            self._failure()
        return await super().space_problem()

    def _answer(self, answers: list[Any]) -> None:
        self._scheduled = False  # one writer: the next transaction begins now
        for unit, numbers, error in answers:
            try:
                unit.done(numbers, error)
            except Exception as fault:  # noqa: BLE001  told to the run
                self._loop.failures.append(f"done() raised {fault!r}")
        self._wake()


def _slow_read(name: str) -> Any:
    original = getattr(MemoryStore, name)

    @functools.wraps(original)
    async def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._rng.random() < 0.5
        if before:
            await asyncio.sleep(self._rng.random() * 0.002)
        found = await original(self, *args, **kwargs)
        if not before:
            await asyncio.sleep(self._rng.random() * 0.002)
        return found

    return read


for _name in (
    "load_cluster",
    "load_job",
    "list_jobs",
    "search_jobs",
    "children",
    "has_families",
    "read_events",
    "floor",
    "read_output",
    "find_request",
    "expired_jobs",
    "job_counts",
):
    setattr(SimStore, _name, _slow_read(_name))
_ = PROGRAM
