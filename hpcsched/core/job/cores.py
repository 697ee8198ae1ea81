"""Which task of a job runs on which core of a node (SchedulerCore, api.md 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.holding import cores_of
from hpcsched.core.job.locating import rows_on
from hpcsched.core.task.elements import STARTED

if TYPE_CHECKING:
    from hpcsched.core.job.commands import TaskKey
    from hpcsched.core.job.model import Job


def occupied_cores(job: Job, node_id: int) -> dict[int, TaskKey]:
    """Return what runs on each core that the job holds there and uses.

    Of a node that tells the first core of each process only, those that a process has
    beside it are taken to be the next ones that nobody is known to use.
    """
    use = job.uses.get(node_id)
    if use is None:
        return {}
    held = set(use.cores)
    found: dict[int, TaskKey] = {}
    wide: list[tuple[int, int, TaskKey]] = []
    for record, row in rows_on(job, node_id):
        table = job.table_of(record)
        core = table.get("core", row) - 1
        if core not in held or not table.get("flags", row) & STARTED:
            continue
        key = (record.task_id, record.instance(row))
        known = cores_of(record, table, row)
        if known is not None:
            found.update(dict.fromkeys(known, key))
            continue
        found[core] = key
        wide.append((core, record.width(table, row), key))
    for first, width, key in sorted(wide):
        rest = [core for core in sorted(held) if core not in found]
        after = [core for core in rest if core > first]
        before = [core for core in rest if core < first]
        found.update(dict.fromkeys((after + before)[: width - 1], key))
    return found
