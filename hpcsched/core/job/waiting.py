"""What holds a queued job back beside resources: a hold, its parents (J8, 3.4).

And an attempt of one of its tasks that may live on a lost node (core/job/doubting.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.states import JobState, NodeLoss, PendingReason
from hpcsched.core.task.states import TASK_TERMINAL

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job

_LOST = (JobState.FAILED, JobState.CANCELED)


def held_back(job: Job) -> PendingReason:
    """Return what holds a queued job back: it wants no resources until that is over."""
    if job.state is not JobState.QUEUED:
        return PendingReason.NONE
    if job.held_by:
        return job.held_by
    if job.doubts and nodes_waited_for(job):
        return PendingReason.ATTEMPT_MAY_LIVE
    return _parents(job) if job.spec.parent_job_ids else PendingReason.NONE


def _parents(job: Job) -> PendingReason:
    states = [job.parents.get(number, 0) for number in job.spec.parent_job_ids]
    if any(state in _LOST for state in states):
        return PendingReason.PARENT_JOBS_CANCELED_OR_FAILED
    if any(state != JobState.FINISHED for state in states):
        return PendingReason.PARENT_JOBS_NOT_FINISHED
    return PendingReason.NONE


def nodes_waited_for(job: Job) -> list[int]:
    """Return the lost nodes on which an attempt of what is to run may live."""
    if job.spec.node_loss is NodeLoss.RERUN:
        return []
    found = []
    for node_id, keys in job.doubts.items():
        for task_id, instance, _ in keys:
            record = job.tasks[task_id - 1]
            state = job.table_of(record).state[record.row(instance)]
            if state not in TASK_TERMINAL:
                found.append(node_id)
                break
    return found


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
