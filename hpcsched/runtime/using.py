"""Views with what runs now: what its nodes said last that it uses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job
    from hpcsched.core.usage import JobUsage
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.world import World

_LIVE: Final = (TaskState.RUNNING, TaskState.CANCELING)
SHOWN_PIDS: Final = 1000
"""Process ids in the text of a job."""


def job_in_use(world: World, job: Job, view: JobView, *, full: bool) -> JobView:
    """Return a job with the use of its running tasks added to that of ended ones."""
    planned = world.scheduler.planned_cores(job.job_id) - sum(job.owing.values())
    if planned > 0:
        view = replace(view, planned_cores=planned)
    used = list(_by_node(world, job))
    if not used:
        return view
    parts: list[str] = []
    shown = 0
    for name, one in used if full else ():
        pids = [pid for task in one.tasks.values() for pid in task.pids]
        pids = pids[: SHOWN_PIDS - shown]
        shown += len(pids)
        if pids:
            parts.append(_named(name, pids))
    return replace(
        view,
        user_ms=view.user_ms + sum(one.user_ms for _, one in used),
        kernel_ms=view.kernel_ms + sum(one.kernel_ms for _, one in used),
        memory_kib=view.memory_kib + sum(one.memory_kib for _, one in used),
        process_count=sum(one.processes for _, one in used),
        process_ids=", ".join(parts),
    )


def task_in_use(world: World, job: Job, view: TaskView) -> TaskView:
    """Return a plain task or an element with what its process uses while it runs."""
    if view.state not in _LIVE or not view.nodes:
        return view
    record = job.tasks[view.task_id - 1]
    node_id = job.table_of(record).get("node", record.row(view.instance_id))
    actor = world.nodes.by_id(node_id)
    told = None if actor is None else actor.usages.jobs.get(job.job_id)
    used = told and told.tasks.get((view.task_id, view.instance_id))
    if not used or used.attempt != view.attempt:
        return view
    return replace(
        view,
        user_ms=used.user_ms,
        kernel_ms=used.kernel_ms,
        max_rss_kib=used.peak_kib,
        process_count=used.processes,
        process_ids=_named(view.nodes[0], used.pids),
    )


def master_in_use(world: World, job: Job, view: TaskView) -> TaskView:
    """Return a master with the use of its running elements added to that of others."""
    mine = [
        used
        for _, one in _by_node(world, job)
        for (task_id, _), used in one.tasks.items()
        if task_id == view.task_id
    ]
    if not mine:
        return view
    return replace(
        view,
        user_ms=view.user_ms + sum(used.user_ms for used in mine),
        kernel_ms=view.kernel_ms + sum(used.kernel_ms for used in mine),
        process_count=sum(used.processes for used in mine),
    )


def _by_node(world: World, job: Job) -> Iterator[tuple[str, JobUsage]]:
    for node_id in job.uses:
        actor = world.nodes.by_id(node_id)
        used = None if actor is None else actor.usages.jobs.get(job.job_id)
        if actor is not None and used is not None:
            yield actor.record.name, used


def _named(node: str, pids: list[int] | tuple[int, ...]) -> str:
    return f"{node}: {' '.join(map(str, pids))}"
