"""What a job's state asks of its nodes. Idempotent: doing it twice does no harm.

Daily use asks for the effects of what a turn touched; a node that has come back asks
for everything that concerns it. Both go through ``_orders``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.environment import definition_of
from hpcsched.core.job.holding import granted
from hpcsched.core.job.locating import rows_on
from hpcsched.core.job.model import PER_NODE, Job, UsePhase
from hpcsched.core.orders import EndJob, RecallTasks, SetGrant, StartTasks, StopTasks
from hpcsched.core.task.elements import FORCED, RECALLED, SENT, STARTED
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpcsched.core.job.environment import Scene
    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.orders import Order
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.elements import Place

ALL: Final = SENT | RECALLED
_LABELS = {
    0: "None",
    1: "CancelByUser",
    2: "Timeout",
    3: "ResourceFailure",
    4: "Preemption",
    5: "Finish",
    6: "TaskCancelOnRequeue",
    7: "CancelForceByUser",
    8: "NodeNotUsableByJob",
    9: "ParentJobsDeleted",
    10: "FinishGraceful",
    11: "CancelGraceful",
}


def effects_of_turn(turn: Turn, scene: Scene) -> list[tuple[int, Order]]:
    """Return (node, order) for what a turn touched, in the order to be carried out."""
    job = turn.job
    orders: list[tuple[int, Order]] = []
    for node_id in dict.fromkeys(turn.regrant):
        use = job.uses.get(node_id)
        if use is not None and use.phase in (
            UsePhase.READY,
            UsePhase.NEW,
            UsePhase.PREPARING,
        ):
            cores = granted(job, use)
            orders.append((node_id, SetGrant(job_id=job.job_id, cores=cores)))
    rows: dict[int, list[int]] = {}
    fresh: dict[int, list[tuple[int, int]]] = {}
    recalls: list[tuple[int, Order]] = []
    for one in turn.moves:
        if _has_orders(one):
            record = job.tasks[one.task_id - 1]
            found = rows.setdefault(one.task_id, [])
            spans = [
                (record.row(first), record.row(last)) for first, last in one.ranges
            ]
            for first, last in spans:
                found.extend(range(first, last + 1))
            if TaskState.DISPATCHING in one.path:
                fresh.setdefault(one.task_id, []).extend(spans)
        elif one.was == TaskState.QUEUED and not one.path:
            orders.extend(_ahead(job, turn.settings, scene, only=one.flags))
        elif one.was == TaskState.DISPATCHING and not one.path:
            record = job.tasks[one.task_id - 1]
            spans = [(record.row(a), record.row(b)) for a, b in one.ranges]
            asked = [row for a, b in spans for row in range(a, b + 1)]
            recalls.extend(_recalls(job, record, asked))
    for task_id, touched in rows.items():
        orders.extend(
            _orders(
                *(job, job.tasks[task_id - 1], touched, turn.settings, scene),
                fresh=fresh.get(task_id, ()),
            )
        )
    orders.extend(recalls)  # behind the starts: what a node does not know it keeps
    orders.extend(
        (node_id, EndJob(job_id=job.job_id))
        for node_id in dict.fromkeys(turn.gone)
        if node_id not in job.uses
    )
    return orders


def _has_orders(one: TaskMove) -> bool:
    """Does a move send, or stop? What waited on its node has been sent before."""
    if not one.path:
        return one.was == TaskState.CANCELING
    to = one.path[-1]
    sends = to == TaskState.DISPATCHING and bool(one.flags & SENT)
    return sends or to == TaskState.CANCELING


def effects_on_node(
    job: Job, node_id: int, settings: Settings, scene: Scene
) -> list[Order]:
    """Return everything that the job's state asks of one node.

    It may never have heard of an attempt that is being stopped and has not been seen to
    start: such an attempt is stopped as a fresh one is, see ``_orders``.
    """
    use = job.uses.get(node_id)
    orders: list[Order] = []
    if use is not None:
        orders.append(SetGrant(job_id=job.job_id, cores=granted(job, use)))
    if job.ahead and job.ahead[0] == node_id:
        orders += [order for _, order in _ahead(job, settings, scene, only=ALL)]
    rows: dict[int, list[int]] = {}
    for record, row in rows_on(job, node_id):
        rows.setdefault(record.task_id, []).append(row)
    for task_id, touched in rows.items():
        record = job.tasks[task_id - 1]
        found = _orders(job, record, touched, settings, scene, unheard=True)
        found += _recalls(job, record, touched)
        orders.extend(order for _, order in found)
    return orders


def _ahead(
    job: Job, settings: Settings, scene: Scene, *, only: int
) -> Iterator[tuple[int, Order]]:
    """Yield the orders about a job that waits on a node; ``only`` those of a flag.

    What was decided after it has its own orders, and the node takes these as late.
    """
    if not job.ahead:
        return
    node_id, cores, *_ = job.ahead
    record = job.tasks[0]
    if only & SENT:
        definition = definition_of(job, record, settings, scene)
        yield node_id, SetGrant(job_id=job.job_id, cores=cores)
        yield node_id, definition
        yield node_id, _start(job, record, [0], 1, definition.definition)
    if only & RECALLED and job.tables[0].get("flags", 0) & RECALLED:
        yield (
            node_id,
            RecallTasks(
                job_id=job.job_id,
                task_id=record.task_id,
                instances=[0],
                attempts=[job.tables[0].get("attempt", 0)],
            ),
        )


def _recalls(
    job: Job, record: TaskRecord, rows: Iterable[int]
) -> list[tuple[int, Order]]:
    """Return the orders that ask for what was to be given back and has not started."""
    table = job.table_of(record)
    asked: dict[int, list[int]] = {}
    for row in rows:
        waits = table.state[row] == TaskState.DISPATCHING
        if waits and table.get("flags", row) & RECALLED:
            asked.setdefault(table.get("node", row), []).append(row)
    return [
        (
            node_id,
            RecallTasks(
                job_id=job.job_id,
                task_id=record.task_id,
                instances=[record.instance(row) for row in found],
                attempts=[table.get("attempt", row) for row in found],
            ),
        )
        for node_id, found in asked.items()
    ]


def _orders(
    job: Job,
    record: TaskRecord,
    rows: Iterable[int],
    settings: Settings,
    scene: Scene,
    *,
    fresh: Sequence[tuple[int, int]] = (),
    unheard: bool = False,
) -> list[tuple[int, Order]]:
    """Return the orders that the states of these rows call for, grouped.

    An attempt that was dispatched in this turn (``fresh``: first and last rows), and is
    stopped before anybody was told, by this turn or by a later one of the same commit,
    is not known to its node. The node is told to stop it, then to start it: it refuses,
    and reports an end. Of the stop alone it would say nothing, ever. ``unheard``: so is
    each that is not known to have started.
    """
    table = job.table_of(record)
    starts: dict[tuple[int, int, Place], list[int]] = {}
    stops: dict[tuple[int, int, int], list[int]] = {}
    refused: dict[tuple[int, int, Place], list[int]] = {}
    for row in sorted(set(rows)):
        state = table.state[row]
        node_id = table.get("node", row)
        if state == TaskState.DISPATCHING:
            key = (node_id, record.width(table, row), table.places.get(row, ()))
            starts.setdefault(key, []).append(row)
        elif state == TaskState.CANCELING:
            flags = table.get("flags", row)
            forced = flags & FORCED
            grace = 0 if forced else grace_ms(record, settings)
            request = table.get("request", row)
            stops.setdefault((node_id, grace, request), []).append(row)
            quiet = unheard and not flags & STARTED
            if quiet or any(first <= row <= last for first, last in fresh):
                key = (node_id, record.width(table, row), table.places.get(row, ()))
                refused.setdefault(key, []).append(row)
    orders = list(_starts(job, record, starts, settings, scene))
    for (node_id, grace, request), found in stops.items():
        stop = StopTasks(
            job_id=job.job_id,
            task_id=record.task_id,
            instances=[record.instance(row) for row in found],
            attempts=[table.get("attempt", row) for row in found],
            grace_ms=grace,
            reason=_LABELS.get(request, "None"),
        )
        orders.append((node_id, stop))
    orders.extend(_starts(job, record, refused, settings, scene))
    return orders


def _starts(
    job: Job,
    record: TaskRecord,
    starts: Mapping[tuple[int, int, Place], list[int]],
    settings: Settings,
    scene: Scene,
) -> Iterator[tuple[int, Order]]:
    for (node_id, cores, place), found in starts.items():
        definition = definition_of(job, record, settings, scene)
        yield node_id, definition
        start = _start(job, record, found, cores, definition.definition)
        if place:
            names = scene.node_names
            here = (names.get(node_id, f"#{node_id}"), cores)
            beside = ((names.get(n, f"#{n}"), len(held)) for n, held in place)
            start = replace(start, allocation=(here, *beside))
        yield node_id, start


def _start(
    job: Job, record: TaskRecord, rows: list[int], cores: int, definition: int
) -> StartTasks:
    table = job.table_of(record)
    spec = record.spec
    instances = [record.instance(row) for row in rows]
    lines = [spec.lines[i - 1] for i in instances] if spec.lines else []
    return StartTasks(
        job_id=job.job_id,
        task_id=record.task_id,
        definition=definition,
        instances=instances,
        attempts=[table.get("attempt", row) for row in rows],
        values=[spec.value_of(i) for i in instances],
        lines=lines,
        cores=cores,
        retries=[table.get("auto", row) for row in rows],
    )


def grace_ms(record: TaskRecord, settings: Settings) -> int:
    """Return the time between signal and kill (node-agent.md 6, 7)."""
    if record.spec.type is TaskType.NODE_RELEASE:
        return 0
    grace = record.spec.grace
    return int((settings.grace_s if grace is None else grace) * 1000)


def held_cores(job: Job) -> dict[int, tuple[int, ...]]:
    """Return what the job holds: the truth that the scheduler's books follow."""
    return job.uses.held


def is_per_node(record: TaskRecord) -> bool:
    """Is it a node preparation or release task?"""
    return record.spec.type in PER_NODE
