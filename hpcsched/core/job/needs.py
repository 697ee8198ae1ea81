"""The nodes that a job's next tasks cannot do without (RequiredNodes, node groups)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.scheduling.needing import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job

AHEAD: Final = 64
"""Tasks that are looked at; what later ones need is asked for as they come up."""


def needs_of(job: Job) -> tuple[Need, ...]:
    """Return what the next tasks need, as far as the job's maximum allows it."""
    if not job.picky:
        return ()
    nodes: dict[str, int] = {}
    groups: dict[str, int] = {}
    limit = job.spec.most
    for task_id in _following(job):
        spec = job.tasks[task_id - 1].spec
        least, _ = spec.bounds(job.spec.unit_type)
        wanted = dict(nodes)
        count = len(spec.required_nodes)
        for name in spec.required_nodes:
            wanted[name] = max(wanted.get(name, 0), -(-max(least, count) // count))
        if limit is not None and sum(wanted.values()) > limit:
            break
        nodes = wanted
        group = spec.requested_node_group
        if group:
            groups[group] = max(groups.get(group, 0), least)
    found = [Need(name, "", units) for name, units in nodes.items()]
    found += [Need("", group, units) for group, units in groups.items()]
    return tuple(sorted(found))


def _following(job: Job) -> Iterator[int]:
    """Yield tasks in the order in which they are to start, the first few."""
    for number, (task_id, _, _) in enumerate(job.front):
        if number < AHEAD:
            yield task_id
    ready = ready_tasks(job)
    yield from reversed(ready[-AHEAD:])
