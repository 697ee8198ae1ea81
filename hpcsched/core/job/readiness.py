"""Which tasks may start now: remembered, and kept up to date as tasks end (5.1).

A task waits while any task of a name that it depends on is open. Rebuilding the list
looks at every task; what happens while a job runs changes it in place.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job, TaskRecord


def ready_tasks(job: Job) -> list[int]:
    """Return the tasks that may start now, the next one last."""
    if job.ready is not None:
        return job.ready
    names: dict[str, int] = {}
    for record in job.ordinary():
        if record.spec.name and record.open:
            names[record.spec.name] = names.get(record.spec.name, 0) + 1
    ready: list[int] = []
    job.open_names, job.unready, job.dependants = names, {}, {}
    for record in job.ordinary():
        if not record.counts[TaskState.QUEUED]:
            continue
        if _may_start(job, record):
            ready.append(record.task_id)
        else:
            _wait(job, record)
    ready.reverse()  # the next one is the last, so that taking it is cheap
    job.ready = ready
    return ready


def _may_start(job: Job, record: TaskRecord) -> bool:
    return not any(job.open_names.get(name) for name in record.spec.depends_on)


def _wait(job: Job, record: TaskRecord) -> None:
    job.unready[record.task_id] = None
    for name in record.spec.depends_on:
        job.dependants.setdefault(name, set()).add(record.task_id)


def note_closed(job: Job, record: TaskRecord) -> None:
    """A task has no open element any more: who waited for it may start."""
    name = record.spec.name
    if job.ready is None or not name or not record.ordinary:
        return
    job.open_names[name] -= 1
    if job.open_names[name]:
        return
    for task_id in job.dependants.pop(name, ()):
        dependant = job.tasks[task_id - 1]
        if task_id in job.unready and _may_start(job, dependant):
            job.unready.pop(task_id)
            _add(job.ready, task_id)


def note_queued(job: Job, record: TaskRecord) -> None:
    """An element has come back from a node; its task was open all the time."""
    if job.ready is None or record.task_id in job.unready:
        return
    if _may_start(job, record):
        _add(job.ready, record.task_id)
    else:
        _drop(job.ready, record.task_id)
        _wait(job, record)


def _add(ready: list[int], task_id: int) -> None:
    at = bisect_left(ready, -task_id, key=_descending)
    if at == len(ready) or ready[at] != task_id:
        insort(ready, task_id, key=_descending)


def _drop(ready: list[int], task_id: int) -> None:
    at = bisect_left(ready, -task_id, key=_descending)
    if at < len(ready) and ready[at] == task_id:
        del ready[at]


def _descending(task_id: int) -> int:
    return -task_id
