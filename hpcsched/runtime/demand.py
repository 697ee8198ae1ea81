"""What a job wants of the scheduler, from its state."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.model import UNBOUNDED
from hpcsched.core.job.needs import needs_of
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.resources import goes_back
from hpcsched.core.job.states import JobState, JobType, UnitType
from hpcsched.core.job.waiting import held_back
from hpcsched.core.job.wishes import MIB, wishes
from hpcsched.core.scheduling.snapshot import Demand, Holder, ProcessSize
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.model import Job
    from hpcsched.core.settings import Settings

AMPLE: Final = 1024
"""Units beyond what there is that a running job asks for: for nodes that may join."""
_NOBODY: Final[frozenset[str]] = frozenset()
_NOWHERE: Final[frozenset[int]] = frozenset()


def demand_of(
    job: Job, settings: Settings, units: Mapping[UnitType, int]
) -> Demand | None:
    """Return what the job wants now; None when it wants nothing more than it holds.

    Args:
        job: The job.
        settings: Those in force.
        units: What the cluster has of each unit; more need not be counted.
    """
    if job.spec.job_type is JobType.ADMIN or held_back(job):
        return None
    there = units.get(job.spec.unit_type, 0)
    if job.state is JobState.QUEUED:
        least = job.least()
        most = max(wanted_units(job, max(there, least)), least)
        return _demand(job, least, most, running=False)
    grows = settings.grow or settings.mode == "Balanced"
    if job.state is not JobState.RUNNING or not grows:
        return None
    if job.yields_all or goes_back(job):
        return None
    service = job.service
    # What a service in trouble starts ends at once.
    wants = not service.strikes if service else job.counts[TaskState.QUEUED]
    if not wants:
        return None
    held = job.held_units()
    enough = max(there, held + 1)
    # More is not told, so that not every task that starts is news to the scheduler.
    most = min(wanted_units(job, enough), enough + AMPLE)
    return _demand(job, 0, most, held=held, running=True) if most > held else None


def holder_of(
    job: Job, settings: Settings, units: Mapping[UnitType, int]
) -> Holder | None:
    """Return what plans need to know of a job that holds something.

    Args:
        job: The job.
        settings: Those in force.
        units: What the cluster has of each unit.
    """
    spec = job.spec
    if not job.uses or spec.job_type is JobType.ADMIN:
        return None
    most = 0
    if settings.mode == "Balanced":
        # What changes with every task is told only where it is asked for.
        most = in_cores(job, wanted_units(job, units.get(spec.unit_type, 0)))
    least = in_cores(job, job.least())
    cap = in_cores(job, spec.target_resource_count)
    leaving = job.uses.not_open()
    made_of = (
        *(spec, job.state, job.order, job.start_time, least, most, cap, leaving),
        *(job.owing, job.preempted_now, job.yields_all, job.is_backfill),
        job.narrowest,
    )
    known = job.holder
    if known is not None and known[0] == made_of:
        return known[1]
    start = job.start_time or 0.0
    holder = Holder(
        job_id=job.job_id,
        order=job.order,
        least=least,
        most=most,
        start=start,
        end=start + spec.runtime if spec.runtime else inf,
        can_preempt=spec.can_preempt and job.state is JobState.RUNNING,
        exclusive=spec.is_exclusive,
        pool=spec.pool,
        cap=cap,
        owing=job.owing,
        hurried=job.preempted_now,
        leaving=frozenset(leaving),
        ending=job.state is not JobState.RUNNING,
        yields=job.yields_all,
        backfill=job.is_backfill,
        unit=spec.unit_type,
        process=process_of(job),
    )
    job.holder = (made_of, holder)
    return holder


def in_cores(job: Job, units: int) -> int:
    """Return the cores of so many units: the largest that the job holds, and more."""
    unit = job.spec.unit_type
    if unit is UnitType.CORE or not units:
        return units
    sizes = job.uses.sizes(unit)
    more = units - len(sizes)
    return sum(sizes[:units]) + max(0, more) * (sizes[0] if sizes else 1)


def wanted_units(job: Job, enough: int) -> int:
    """Return the units that it could use at once: what runs and what may start now.

    Counting stops at ``enough``: going through ten thousand tasks would tell nothing.
    """
    unit = job.spec.unit_type
    cap = job.spec.target_resource_count
    total = busy_units(job)
    if job.service is not None:
        return min(job.most(), max(total, enough), cap or UNBOUNDED)
    for task_id in reversed(ready_tasks(job)):
        record = job.tasks[task_id - 1]
        count = record.counts[TaskState.QUEUED]
        if record.spec.max_concurrent:
            count = min(count, record.spec.max_concurrent)
        total += count * record.spec.bounds(unit)[1]
        if total >= enough:
            break
    if cap:
        total = min(total, cap)
    limit = job.spec.most
    if limit is not None:
        limit = min(limit, cap or limit)
        return limit if job.spec.run_until_canceled else min(total, limit)
    return total


def busy_units(job: Job) -> int:
    """Return the units on which tasks run now, parts counted as whole."""
    unit = job.spec.unit_type
    if unit is UnitType.CORE:
        return job.uses.busy
    if unit is UnitType.NODE:
        return job.uses.busy_nodes
    return sum(
        min(use.units(unit), max(1, -(-use.busy * use.units(unit) // len(use.cores))))
        for use in job.uses.values()
        if use.busy and use.cores
    )


def process_of(job: Job) -> ProcessSize | None:
    """Return what one process takes, if its memory was estimated."""
    if not job.spec.estimated_process_memory:
        return None
    memory = job.spec.estimated_process_memory * MIB
    return ProcessSize(memory, job.narrowest or 1, job.spec.unit_type)


def _names(*names: str) -> frozenset[str]:
    return frozenset(names) if names else _NOBODY  # one for all that wait


def _demand(job: Job, least: int, most: int, *, held: int = 0, running: bool) -> Demand:
    ready = ready_tasks(job)
    following = job.front[0][0] if job.front else ready[-1] if ready else 0
    unit = job.spec.unit_type
    width = job.tasks[following - 1].spec.bounds(unit)[0] if following else 1
    if job.service is not None:
        width = job.service.spec.bounds(unit)[0]
    needs = needs_of(job)
    closed = job.uses.not_open()
    if job.owing:
        closed = sorted({*closed, *job.owing}.intersection(job.uses))
    spec = job.spec
    made_of = (
        *(spec, job.order, least, most, width, needs),
        *(running, held, job.excluded, closed),
    )
    known = job.demand
    if known is not None and known[0] == made_of:
        return known[1]
    demand = Demand(
        job_id=job.job_id,
        order=job.order,
        least=least,
        most=most,
        width=width,
        widest=width,
        needs=needs,
        running=running,
        held=held,
        excluded=_names(*spec.excluded_nodes, *job.excluded),
        closed=frozenset(closed) if closed else _NOWHERE,
        runtime=spec.runtime,
        pool=spec.pool,
        **wishes(spec),
    )
    job.demand = (made_of, demand)
    return demand
