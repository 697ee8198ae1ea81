"""What holds a queued job back beside resources: a hold, or its parents (J8, 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.states import JobState, PendingReason

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job

_LOST = (JobState.FAILED, JobState.CANCELED)


def held_back(job: Job) -> PendingReason:
    """Return what holds a queued job back: it wants no resources until that is over."""
    if job.state is not JobState.QUEUED:
        return PendingReason.NONE
    if job.held_by:
        return job.held_by
    if not job.spec.parent_job_ids:
        return PendingReason.NONE
    states = [job.parents.get(number, 0) for number in job.spec.parent_job_ids]
    if any(state in _LOST for state in states):
        return PendingReason.PARENT_JOBS_CANCELED_OR_FAILED
    if any(state != JobState.FINISHED for state in states):
        return PendingReason.PARENT_JOBS_NOT_FINISHED
    return PendingReason.NONE


def awaited_parents(job: Job) -> frozenset[int]:
    """Return the parents that a queued job has yet to hear of: Finished is final."""
    if job.state is not JobState.QUEUED or not job.spec.parent_job_ids:
        return frozenset()
    known = job.parents
    return frozenset(
        number
        for number in job.spec.parent_job_ids
        if known.get(number) != JobState.FINISHED
    )
