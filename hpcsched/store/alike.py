"""Deltas of many jobs that are alike, as one value.

Jobs of one call that ask for the same differ in their number and in their place in the
queue alone as long as nothing happens to one of them. So one of them is encoded, and
where its place in the queue stands in that the others have theirs. When they have run,
they differ in what was measured of each as well: then each has bytes of its own. The
rows in the database are those that so many deltas would have made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.packing import Cut
    from hpcsched.store.base import Delta, JobRow

ONLY_TASK: Final = 1
"""Number of the task of a job that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """For which jobs a delta is meant: it names the first of them.

    Events, the job's row, specifications, chunks, notes, terms and history are meant
    for each of them, with its own number in place of the first one's. Sums and use are
    those of all together; everything else is written once.

    Attributes:
        ids: Their numbers, ascending, the delta's own first.
        shift: What a job's place in the queue is more than its number.
        blob: Of a job's row.
        bodies: Of the events, in order.
        own: Specification of the only task of each, in the order of the ids, as it is
            stored; it is what the first event's body leaves out. Empty: all the same.
    """

    ids: Sequence[int]
    shift: int
    blob: Cut
    bodies: Sequence[Cut] = field(default=())
    own: Sequence[bytes] = ()


class Own(NamedTuple):
    """What of the rows of one job is no other's.

    Attributes:
        times, bodies: Of its events, in order.
        start_time, blob: Of its row.
        chunks: In the order of the delta's.
    """

    job_id: int
    times: tuple[float, ...]
    bodies: tuple[bytes, ...]
    start_time: float | None
    blob: bytes
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """For which jobs a delta is meant that have some rows of their own.

    The delta names the first of them. Events, the job's row and chunks are those of the
    delta for each, but for what is its own; everything else is written once, and is of
    all together.

    Attributes:
        own: Of each, the delta's own job first.
    """

    own: Sequence[Own]

    @property
    def ids(self) -> Sequence[int]:
        """Their numbers."""
        return [one.job_id for one in self.own]


def one_by_one(delta: Delta) -> Iterator[Delta]:
    """Yield what a delta stands for: one delta for each job; most are one."""
    alike = delta.alike
    if alike is None or delta.job is None:
        yield delta
        return
    yield replace(delta, alike=None)
    if isinstance(alike, Varied):
        yield from (_of_one(delta, delta.job, own) for own in alike.own[1:])
        return
    specs = delta.specs
    for at, job_id in enumerate(alike.ids[1:], 1):
        order = job_id + alike.shift
        bodies = [body.filled(order) for body in alike.bodies]
        if alike.own:
            bodies[0] = alike.bodies[0].filled_with(alike.own[at])
            specs = {**delta.specs, ONLY_TASK: alike.own[at]}
        events = [
            replace(event, job_id=job_id, body=body)
            for event, body in zip(delta.events, bodies, strict=True)
        ]
        row = replace(delta.job, job_id=job_id, blob=alike.blob.filled(order))
        history = [replace(one, job_id=job_id) for one in delta.history]
        yield type(delta)(
            events=events,
            job=row,
            specs=specs,
            terms=delta.terms,
            chunks=delta.chunks,
            notes=delta.notes,
            history=history,
        )


def _of_one(delta: Delta, row: JobRow, own: Own) -> Delta:
    told = zip(delta.events, own.times, own.bodies, strict=True)
    return type(delta)(
        events=[
            replace(event, job_id=own.job_id, time=time, body=body)
            for event, time, body in told
        ],
        job=replace(row, job_id=own.job_id, start_time=own.start_time, blob=own.blob),
        chunks=dict(zip(sorted(delta.chunks), own.chunks, strict=True)),
    )


def jobs_of(delta: Delta) -> int:
    """Return for how many jobs a delta is meant; 1 also for what is not of a job."""
    alike = delta.alike
    if alike is None:
        return 1
    return len(alike.own if isinstance(alike, Varied) else alike.ids)
