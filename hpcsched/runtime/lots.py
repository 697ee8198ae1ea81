"""Queued jobs to which nothing has happened yet, kept without a job in memory each.

What is stored of such a job follows from its kind and its number, so its place in the
queue is all that is kept of it, and what its task runs where that differs: neighbours
of one kind are one *lot*, whatever their number. A job leaves its lot when something is
to happen to it: it is then made from its kind, as it would be from its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codec
from hpcsched.core.task.spec import TaskSpec
from hpcsched.store.alike import ONLY_TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcsched.core.job.model import Job
    from hpcsched.core.job.packing import Cut
    from hpcsched.core.scheduling.snapshot import Demand

    Key = tuple[int, int, int, int]


@dataclass(slots=True, eq=False)
class Kind:
    """What jobs have in common that are alike.

    Attributes:
        like: One of them; nothing happens to it.
        blob, specs, chunks: What is stored of each; it has no notes.
        demand: What each of them wants, but for its number and place.
        base: What they were before they were sent to wait on a node; None: this.
        moulds: Made by ``runtime.whole_lives`` of the first of them that have run.
        own: Specification of the only task of each, as it is stored, by the number of
            the job, as long as that sleeps. Empty: they are the same.
    """

    like: Job
    blob: Cut
    specs: Mapping[int, bytes]
    chunks: Mapping[tuple[int, int], bytes]
    demand: Demand
    base: Kind | None = None
    moulds: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    own: dict[int, bytes] = field(default_factory=dict)

    @property
    def ahead(self) -> int:
        """The node on which each of them waits; 0: on none."""
        return int(self.like.ahead[0]) if self.like.ahead else 0

    def job(self, job_id: int, order: int) -> Job:
        """Return one of them, as if it had been loaded."""
        blob, specs = self.blob.filled(order), self.specs_of(job_id)
        return codec.decode_job(job_id, self.like.owner, blob, specs, self.chunks, {})

    def specs_of(self, job_id: int) -> Mapping[int, bytes]:
        """Return the specifications of one of them, as they are stored."""
        if not self.own or job_id == self.like.job_id:
            return self.specs
        return {**self.specs, ONLY_TASK: self.own[job_id]}

    def task_of(self, job_id: int) -> TaskSpec:
        """Return the specification of the only task of one of them."""
        return codec.decode_spec(TaskSpec, self.specs_of(job_id)[ONLY_TASK])

    def forget(self, ids: Iterable[int]) -> None:
        """Jobs sleep no longer."""
        if self.own:
            for job_id in ids:
                self.own.pop(job_id, None)


@dataclass(slots=True, eq=False)
class Lot:
    """Jobs of one kind with numbers in a row, and places in the queue in a row.

    Attributes:
        first, last: Their numbers.
        shift: What a job's place is more than its number.
    """

    kind: Kind
    first: int
    last: int
    shift: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, job_id: int) -> bool:
        return self.first <= job_id <= self.last

    @property
    def ids(self) -> range:
        """The numbers of its jobs."""
        return range(self.first, self.last + 1)

    @property
    def key(self) -> Key:
        """The place of its first job, as the queue is sorted by it."""
        return self.key_of(self.first)

    def key_of(self, job_id: int) -> Key:
        """Return the place of one of its jobs."""
        urgency, again, _ = self.kind.demand.order
        return urgency, again, job_id + self.shift, job_id

    def order_of(self, job_id: int) -> tuple[int, int, int]:
        """Return the order of one of its jobs among those that want something."""
        urgency, again, _ = self.kind.demand.order
        return urgency, again, job_id + self.shift

    def demand(self, job_id: int) -> Demand:
        """Return what one of its jobs wants."""
        order = self.order_of(job_id)
        return replace(self.kind.demand, job_id=job_id, order=order)

    def without(self, first: int, last: int) -> Iterator[Lot]:
        """Yield what is left of it without some of its jobs."""
        if self.first < first:
            yield Lot(self.kind, self.first, first - 1, self.shift)
        if last < self.last:
            yield Lot(self.kind, last + 1, self.last, self.shift)
