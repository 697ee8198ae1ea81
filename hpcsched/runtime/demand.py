"""What a job wants of the scheduler, from its state."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.job.waiting import held_back
from hpcsched.core.scheduling.snapshot import Demand, Holder
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.core.settings import Settings

_OPEN: Final = (UsePhase.NEW, UsePhase.PREPARING, UsePhase.READY)


def demand_of(job: Job, settings: Settings, cores: int) -> Demand | None:
    """Return what the job wants now; None when it wants nothing more than it holds.

    Args:
        job: The job.
        settings: Those in force.
        cores: What the cluster has; more need not be counted.
    """
    if job.spec.job_type is JobType.ADMIN or held_back(job):
        return None
    if job.state is JobState.QUEUED:
        least = job.min_cores()
        most = max(wanted_cores(job, max(cores, least)), least)
        return _demand(job, least, most, running=False)
    grows = settings.grow or settings.mode == "Balanced"
    if job.state is not JobState.RUNNING or not grows or job.yields_all:
        return None
    if job.service is not None:
        if job.service.strikes:
            return None  # what it starts ends at once
    elif not job.counts[TaskState.QUEUED]:
        return None
    held = sum(len(use.cores) for use in job.uses.values())
    most = wanted_cores(job, max(cores, held + 1))
    return _demand(job, 0, most, running=True) if most > held else None


def holder_of(job: Job, settings: Settings, cores: int) -> Holder | None:
    """Return what plans need to know of a job that holds something.

    Args:
        job: The job.
        settings: Those in force.
        cores: What the cluster has.
    """
    spec = job.spec
    if not job.uses or spec.job_type is JobType.ADMIN:
        return None
    start = job.start_time or 0.0
    balanced = settings.mode == "Balanced"
    leaving = [use.node_id for use in job.uses.values() if use.phase not in _OPEN]
    return Holder(
        job_id=job.job_id,
        order=job.order,
        least=job.min_cores(),
        # What changes with every task is told only where it is asked for.
        most=wanted_cores(job, cores) if balanced else 0,
        start=start,
        end=start + spec.runtime if spec.runtime else inf,
        can_preempt=spec.can_preempt and job.state is JobState.RUNNING,
        exclusive=spec.is_exclusive,
        pool=spec.pool,
        cap=spec.target_resource_count,
        owing=job.owing,
        hurried=job.preempted_now,
        leaving=frozenset(leaving),
        ending=job.state is not JobState.RUNNING,
        yields=job.yields_all,
        backfill=job.is_backfill,
    )


def wanted_cores(job: Job, enough: int) -> int:
    """Return the cores that it could use at once: what runs and what may start now.

    Counting stops at ``enough``: going through ten thousand tasks would tell nothing.
    """
    total = sum(use.busy for use in job.uses.values())
    if job.service is not None:
        return min(job.max_cores(), max(total, enough))
    for task_id in reversed(ready_tasks(job)):
        record = job.tasks[task_id - 1]
        count = record.counts[TaskState.QUEUED]
        if record.spec.max_concurrent:
            count = min(count, record.spec.max_concurrent)
        total += count * (record.spec.max_cores or record.spec.min_cores)
        if total >= enough:
            break
    cap = job.spec.target_resource_count
    if cap:
        total = min(total, cap)
    if job.spec.max_cores is not None:
        limit = min(job.spec.max_cores, cap or job.spec.max_cores)
        return limit if job.spec.run_until_canceled else min(total, limit)
    return total


def _demand(job: Job, least: int, most: int, *, running: bool) -> Demand:
    ready = ready_tasks(job)
    following = job.front[0][0] if job.front else ready[-1] if ready else 0
    width = job.tasks[following - 1].spec.min_cores if following else 1
    if job.service is not None:
        width = job.service.spec.min_cores
    return Demand(
        job_id=job.job_id,
        order=job.order,
        least=least,
        most=most,
        width=width,
        running=running,
        exclusive=job.spec.is_exclusive,
        requested=frozenset(job.spec.requested_nodes),
        excluded=frozenset((*job.spec.excluded_nodes, *job.excluded)),
        closed=frozenset(
            use.node_id
            for use in job.uses.values()
            if use.phase not in _OPEN or use.node_id in job.owing
        ),
        runtime=job.spec.runtime,
        pool=job.spec.pool,
    )
