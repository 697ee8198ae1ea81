"""Deltas of many jobs that are alike, as one value.

Jobs of one call that ask for the same differ in their number and in their place in the
queue alone as long as nothing happens to one of them. So one of them is encoded, and
where its place in the queue stands in that the others have theirs. The rows in the
database are those that so many deltas would have made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.packing import Cut
    from hpcsched.store.base import Delta


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
    """

    ids: Sequence[int]
    shift: int
    blob: Cut
    bodies: Sequence[Cut] = field(default=())


def one_by_one(delta: Delta) -> Iterator[Delta]:
    """Yield what a delta stands for: one delta for each job; most are one."""
    alike = delta.alike
    if alike is None or delta.job is None:
        yield delta
        return
    yield replace(delta, alike=None)
    for job_id in alike.ids[1:]:
        order = job_id + alike.shift
        events = [
            replace(event, job_id=job_id, body=body.filled(order))
            for event, body in zip(delta.events, alike.bodies, strict=True)
        ]
        row = replace(delta.job, job_id=job_id, blob=alike.blob.filled(order))
        history = [replace(one, job_id=job_id) for one in delta.history]
        yield type(delta)(
            events=events,
            job=row,
            specs=delta.specs,
            terms=delta.terms,
            chunks=delta.chunks,
            notes=delta.notes,
            history=history,
        )


def jobs_of(delta: Delta) -> int:
    """Return for how many jobs a delta is meant; 1 also for what is not of a job."""
    return 1 if delta.alike is None else len(delta.alike.ids)
