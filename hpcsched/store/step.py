"""The job that a delta is about, and the revisions by which it moves on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsched.store.errors import InvalidDeltaError

if TYPE_CHECKING:
    from hpcsched.store.base import Delta


@dataclass(slots=True)
class Step:
    """How a delta moves its job.

    Attributes:
        job_id: 0 when the delta is not about a job.
        base: Revision that the job must be at; None when there is no event of it.
        revision: Revision after the delta.
    """

    job_id: int
    base: int | None
    revision: int


def step_of(delta: Delta) -> Step:
    """Return the job of a delta and its revisions.

    Raises:
        InvalidDeltaError: two jobs, revisions with a gap, or rows of a job and no job.
    """
    job = delta.job
    step = Step(0 if job is None else job.job_id, None, 0)
    for event in delta.events:
        if not event.job_id:
            continue
        if step.base is None:
            step.job_id = step.job_id or event.job_id
            step.base = event.revision - 1
            step.revision = event.revision
        elif event.revision == step.revision + 1:
            step.revision += 1
        else:
            problem = f"revision {event.revision} follows {step.revision}"
            raise InvalidDeltaError(f"job {event.job_id}: {problem}")
        if event.job_id != step.job_id:
            problem = f"jobs {step.job_id} and {event.job_id} in one delta"
            raise InvalidDeltaError(problem)
    if step.base is not None and step.base < 0:
        raise InvalidDeltaError(f"job {step.job_id}: revisions count from 1")
    if not step.job_id and _has_rows_of_a_job(delta):
        raise InvalidDeltaError("rows of a job, and neither its row nor an event of it")
    return step


def begins(step: Step) -> bool:
    """Return whether the delta holds the job's first event."""
    return step.base == 0


def _has_rows_of_a_job(delta: Delta) -> bool:
    return bool(
        delta.specs or delta.chunks or delta.drop_tables or delta.outputs or delta.notes
    )
