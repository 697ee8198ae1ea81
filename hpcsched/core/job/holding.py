"""Which cores the attempts of a job hold: on their own node, and on others beside it.

A task may span nodes: its process starts on the first, the others are held for it. What
an attempt holds beside its own node is kept with its row as a *place*: (node, cores)
of each. A node that was lost or given up meanwhile stays in the place without cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.locating import rows_on
from hpcsched.core.task.elements import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
    from hpcsched.core.task.elements import ElementTable, Place


def book(
    job: Job,
    record: TaskRecord,
    table: ElementTable,
    spans: Sequence[tuple[int, int]],
    sign: int,
) -> None:
    """Count attempts on their nodes (1), or do not count them any more (-1)."""
    places = table.places
    alone = record.spec.is_exclusive
    for first, last in spans:
        for row in range(first, last + 1):
            use = job.uses.get(table.get("node", row))
            if use is not None:
                use.live += sign
                use.busy += sign * record.width(table, row)
                if alone:
                    use.shut += sign
            if places and row in places:
                _hold(job, record, row, places[row], sign)


def _hold(job: Job, record: TaskRecord, row: int, place: Place, sign: int) -> None:
    key = (record.task_id, row)
    for node_id, cores in place:
        use = job.uses.get(node_id)
        if use is None or not cores:
            continue
        if sign > 0:
            job.holds.setdefault(node_id, {})[key] = cores
        else:
            job.holds[node_id].pop(key)
            if not job.holds[node_id]:
                del job.holds[node_id]
        use.live += sign
        use.busy += sign * len(cores)
        if record.spec.is_exclusive:
            use.shut += sign


def rebook(job: Job) -> None:
    """Count everything afresh, as after loading."""
    job.holds.clear()
    for use in job.uses.values():
        use.live = use.busy = use.shut = 0
    for node_id in job.uses:
        for record, row in rows_on(job, node_id):
            book(job, record, job.table_of(record), ((row, row),), 1)


def held_rows(job: Job, node_id: int) -> Iterator[tuple[TaskRecord, int]]:
    """Yield (task, row) of attempts that hold cores there and run elsewhere."""
    for task_id, row in sorted(job.holds.get(node_id, ())):
        yield job.tasks[task_id - 1], row


def taken_on(job: Job, record: TaskRecord, row: int, node_id: int) -> int:
    """Return how many cores an attempt takes on a node: its own, or one beside it."""
    table = job.table_of(record)
    if table.get("node", row) == node_id:
        return record.width(table, row)
    return len(job.holds[node_id][record.task_id, row])


def granted(job: Job, use: NodeUse) -> tuple[int, ...]:
    """Return the cores on which the node may start the job's processes by itself."""
    held = job.holds.get(use.node_id)
    if not held:
        return use.cores
    taken = {core for cores in held.values() for core in cores}
    return tuple(core for core in use.cores if core not in taken)


def idle_cores(job: Job, use: NodeUse) -> tuple[int, ...] | None:
    """Return the cores of a node that nothing of the job uses; None: not known.

    Which of the job's cores a process gets the node decides, so before it has said so
    of every attempt that was sent there nothing can be held beside them.
    """
    free = granted(job, use)
    if not use.live:
        return free
    used: set[int] = set()
    for record, row in rows_on(job, use.node_id):
        table = job.table_of(record)
        cores = cores_of(record, table, row)
        if cores is None or not used.isdisjoint(cores):
            return None
        used.update(cores)
    if not used <= set(use.cores):
        return None
    return tuple(core for core in free if core not in used)


def cores_of(
    record: TaskRecord, table: ElementTable, row: int
) -> tuple[int, ...] | None:
    """Return the core ids of an attempt on its own node; None: not known (yet)."""
    width = record.width(table, row)
    core = int(table.get("core", row)) - 1
    if not width:
        return ()
    if core < 0:
        return None
    if width == 1:
        return (core,)
    if not table.get("flags", row) & WHOLE:
        return None
    return table.sets.get(row) or tuple(range(core, core + width))


def nodes_held(job: Job, moves: Iterable[TaskMove]) -> set[int]:
    """Return the nodes that elements of these moves hold beside their own."""
    found: set[int] = set()
    if not job.holds:
        return found
    for move in moves:
        record = job.tasks[move.task_id - 1]
        places = job.table_of(record).places
        if not places:
            continue
        for first, last in move.ranges:
            for row in range(record.row(first), record.row(last) + 1):
                found.update(node_id for node_id, _ in places.get(row, ()))
    return found
