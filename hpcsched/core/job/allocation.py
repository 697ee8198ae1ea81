"""What an attempt has, or had last, on its nodes (properties.md 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsched.core.job.holding import cores_of
from hpcsched.core.job.states import UnitType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.model import Job, TaskRecord


@dataclass(frozen=True, slots=True)
class OnNode:
    """Cores of an attempt on one node; the ids may not be known."""

    node_id: int
    count: int
    cores: tuple[int, ...]


def allocation_of(job: Job, record: TaskRecord, row: int) -> list[OnNode]:
    """Return the nodes of the current or last attempt, its own first."""
    table = job.table_of(record)
    node_id = table.get("node", row)
    if not node_id:
        return []
    width = record.width(table, row)
    own = OnNode(node_id, width, cores_of(record, table, row) or ())
    place = table.places.get(row, ())
    return [own, *(OnNode(node, len(cores), cores) for node, cores in place)]


def sockets_of(job: Job, nodes: Sequence[OnNode]) -> int:
    """Return how many sockets these are, in a job that is sized in sockets."""
    if job.spec.unit_type is not UnitType.SOCKET:
        return 0
    total = 0
    for one in nodes:
        use = job.uses.get(one.node_id)
        if use is not None and use.cores:
            held = max(1, use.units(UnitType.SOCKET))
            total += -(-one.count * held // len(use.cores))
        else:
            total += 1  # it has gone, and a task has at least one socket there
    return total
