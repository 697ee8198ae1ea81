"""Which cores the attempts of a job hold: on their own node, and on others beside it.

A task may span nodes: its process starts on the first, the others are held for it. What
an attempt holds beside its own node is kept with its row as a *place*: (node, cores)
of each. A node that was lost or given up meanwhile stays in the place without cores.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hpcsched.core.job.locating import active_rows, rows_on
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
    alone = sign if record.spec.is_exclusive else 0
    uses = job.uses
    for first, last in spans:
        for node_id, width, count in _alike(record, table, first, last):
            use = uses.get(node_id)
            if use is not None:
                live = sign * count
                uses.load(use, live=live, busy=width * live, shut=alone * count)
        for row in range(first, last + 1) if places else ():
            if row in places:
                _hold(job, record, row, places[row], sign)


def _alike(
    record: TaskRecord, table: ElementTable, first: int, last: int
) -> Iterator[tuple[int, int, int]]:
    """Yield (node, cores of each, number of them) of the attempts of some rows."""
    if first == last:
        yield table.get("node", first), record.width(table, first), 1
        return
    nodes = table.numbers("node", first, last)
    if table.has("width"):
        rows = range(first, last + 1)
        widths = [record.width(table, row) for row in rows]
        for (node_id, width), count in Counter(zip(nodes, widths, strict=True)).items():
            yield node_id, width, count
    else:
        width = record.width(table, first)
        for node_id, count in Counter(nodes).items():
            yield node_id, width, count


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
        shut = sign if record.spec.is_exclusive else 0
        job.uses.load(use, live=sign, busy=sign * len(cores), shut=shut)


def rebook(job: Job) -> None:
    """Count everything afresh, as after loading."""
    job.holds.clear()
    job.uses.unload()
    for record in job.tasks if job.uses else ():
        for rows in active_rows(job, record):
            book(job, record, job.table_of(record), rows, 1)


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
