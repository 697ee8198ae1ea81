"""Active jobs as a head finds them: those that are alike go on sleeping.

They come in the order of their numbers, so that jobs which were queued together follow
each other. One is read and looked at; of the others it is enough that their rows are
those that it would have in their place, but for what their task runs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.lots import TEXTS, cut_job, have_one_shape
from hpcsched.core.job.packing import unpack
from hpcsched.runtime.lots import Kind, Lot
from hpcsched.runtime.making import sleeps
from hpcsched.store.alike import ONLY_TASK
from hpcsched.store.rows import decode_stored

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.world import World
    from hpcsched.store.base import StoredJob

log = logging.getLogger(__name__)


class Rejoining:
    """Takes jobs in, one after the other; at the end there is ``finish``.

    Attributes:
        count: How many could be read.
        order: The last place in the queue that was given out.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._now = world.clock.wall()
        self._kind: Kind | None = None
        self._row: StoredJob | None = None
        self._lot: Lot | None = None
        self._is_first = False
        self.count = 0
        self.order = 0

    def take(self, stored: StoredJob) -> None:
        """Take in a job; one that makes no sense is left where it is."""
        if self._joins(stored):
            self.count += 1
            return
        try:
            job = decode_stored(stored)
        except Exception as fault:  # noqa: BLE001 - whatever is stored
            self._world.apart.put_unreadable(stored.row.job_id, fault)
            return
        self.count += 1
        self.order = max(self.order, job.submit_order)
        if not self._begins(job, stored):
            self._world.jobs.adopt(job).resume()

    def finish(self) -> None:
        """There are no more."""
        lot, self._lot = self._lot, None
        if lot is None:
            return
        self.order = max(self.order, lot.last + lot.shift)
        if len(lot) > 1:
            self._world.jobs.adopt_lot(lot)
        else:
            job = lot.kind.job(lot.first, lot.first + lot.shift)
            self._world.jobs.adopt(job).resume()

    def _joins(self, stored: StoredJob) -> bool:
        """Is it what the last one that sleeps would be in its place?"""
        kind, like, lot = self._kind, self._row, self._lot
        if kind is None or like is None or not _same(stored, like):
            return False
        if stored.specs != like.specs and not self._may_differ(kind, stored):
            return False
        job_id, blob = stored.row.job_id, stored.row.blob
        follows = lot is not None and job_id == lot.last + 1
        if lot and follows and blob == kind.blob.filled(job_id + lot.shift):
            lot.last = job_id
        else:
            place = _place(kind, blob)
            if place is None:
                return False
            self.finish()
            self._lot = Lot(kind, job_id, job_id, place - job_id)
            self._is_first = False
        if kind.own:
            kind.own[job_id] = stored.specs[ONLY_TASK]
        return True

    def _may_differ(self, kind: Kind, stored: StoredJob) -> bool:
        """May a job differ from its kind in what its task runs, and in nothing else?"""
        like, lot = self._row, self._lot
        if like is None or lot is None or not _has_shape_of(kind, like, stored):
            return False
        if not kind.own:
            if not self._is_first or len(lot) > 1:
                return False  # those are equal: this one begins another kind
            kind.own = {lot.first: like.specs[ONLY_TASK]}
        return True

    def _begins(self, job: Job, stored: StoredJob) -> bool:
        """May others follow that are like it?"""
        demand = sleeps(self._world, job, self._now)
        blob = None if demand is None or stored.notes else cut_job(job)
        if demand is None or blob is None:
            return False
        if blob.filled(job.submit_order) != stored.row.blob:
            return False  # an earlier version has written it
        self.finish()
        specs, chunks, job_id = stored.specs, stored.chunks, job.job_id
        self._kind = Kind(
            like=job, blob=blob, specs=specs, chunks=chunks, demand=demand
        )
        self._row = stored
        self._is_first = True
        self._lot = Lot(self._kind, job_id, job_id, job.submit_order - job_id)
        return True


def _same(one: StoredJob, other: StoredJob) -> bool:
    """Are two jobs alike, so far as their blobs are?"""
    return (
        one.chunks == other.chunks
        and not one.notes
        and one.row.owner == other.row.owner
    )


def _has_shape_of(kind: Kind, like: StoredJob, other: StoredJob) -> bool:
    """Does a job differ from one of a kind in texts of its only task alone?"""
    one, two = like.specs, other.specs
    return (
        one.keys() == two.keys()
        and one[0] == two[0]
        and all(_shape(one[n]) == _shape(two[n]) for n in one if n)
        and have_one_shape(tasks := [t.spec for t in kind.like.tasks], tasks)
    )


def _shape(body: bytes) -> dict[str, Any]:
    """Return what is stored of a task, but for texts."""
    return {name: value for name, value in unpack(body).items() if name not in TEXTS}


def _place(kind: Kind, blob: bytes) -> int | None:
    """Return the place in the queue of a job whose blob is of a kind, else None."""
    cut = kind.blob
    if not (blob.startswith(cut.before) and blob.endswith(cut.after)):
        return None
    middle = blob[len(cut.before) : len(blob) - len(cut.after)]
    try:
        place = unpack(middle)
    except ValueError:
        return None
    return place if isinstance(place, int) and cut.filled(place) == blob else None
