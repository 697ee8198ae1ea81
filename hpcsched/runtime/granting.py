"""Grants on their way: booked for a job, and not yet taken by it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hpcsched.runtime.wide import order_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.activation import Question
    from hpcsched.runtime.books import Books, Cores
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)


class Granting:
    """Books what jobs are given, until they say themselves what they hold.

    Args:
        world: The head's actors.
        books: The scheduler's.
        lost: Called with a job that did not take its grant: it wants nothing until it
            has been loaded again.
        wake: Has a plan made soon.

    Attributes:
        pending: Job to the cores that are booked for it beside what it holds.
    """

    def __init__(
        self,
        world: World,
        books: Books,
        *,
        lost: Callable[[int], object],
        wake: Callable[[], None],
    ) -> None:
        self.pending: dict[int, Cores] = {}
        self.wake = wake
        self._world = world
        self._books = books
        self._lost = lost
        self._own: dict[int, Cores] = {}
        self._offers: dict[int, tuple[Demand, Cores]] = {}

    def reserve(self, question: Question) -> None:
        """Book the cores of a grant that is not given yet."""
        job_id = question.job_id
        self.pending[job_id] = question.cores
        before = self._own[job_id] = self._books.held.get(job_id, {})
        self._books.book(job_id, {**before, **question.cores})

    def merged(self, job_id: int, held: Cores) -> Cores:
        """Return what a job holds and what is booked for it."""
        now = held if all(held.values()) else {n: ids for n, ids in held.items() if ids}
        if job_id in self._own:
            self._own[job_id] = now
        if job_id in self.pending:
            now = dict(now)
        for node_id, cores in self.pending.get(job_id, {}).items():
            now[node_id] = tuple(sorted({*now.get(node_id, ()), *cores}))
        return now

    def take_back(self, job_id: int) -> None:
        """Book the cores as free again."""
        if self.pending.pop(job_id, None) is not None:
            self._books.book(job_id, self._own.pop(job_id))

    def is_whole(self, question: Question) -> bool:
        """Do all nodes of a booked grant still take work?"""
        return self._books.ready.keys() >= question.cores.keys()

    def hand_over(self, question: Question) -> None:
        """Give a job what is booked for it."""
        job_id, demand = question.job_id, question.demand
        before = self._own.pop(job_id)

        def answered(_: Any, error: BaseException | None) -> None:
            del self.pending[job_id]
            if error is None:
                # The job's own word on what it holds follows in the same turn.
                self._offers[job_id] = (demand, before)
                return
            log.warning("job %d: a grant was not taken: %s", job_id, error)
            self._lost(job_id)
            self._books.book(job_id, dict(before))
            self.wake()

        command = order_of(
            self._books, demand, question.cores, backfill=question.backfill
        )
        self._world.jobs.tell(job_id, command, answered)

    def was_refused(self, job_id: int, demand: Demand | None, now: Cores) -> bool:
        """Has a job, by its word, taken nothing of what it was given?"""
        offer = self._offers.pop(job_id, None)
        return offer is not None and offer == (demand, now)
