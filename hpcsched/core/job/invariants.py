"""What is always true of a job between two commands, told in sentences.

For whoever looks at a store that is suspected (``hpcschedd --check``), and for tests.
The head itself never asks: it would be slow, and there would be nothing to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.books import Books
from hpcsched.core.job.deriving import derive_state
from hpcsched.core.job.locating import ACTIVE
from hpcsched.core.job.model import Job
from hpcsched.core.job.states import JobState
from hpcsched.core.task.elements import BYTES, WIDE
from hpcsched.core.task.states import TASK_TERMINAL, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.task.elements import ElementTable

DERIVED: Final = frozenset(
    {
        *("due", "definitions", "demand", "holder", "exit_codes", "ready", "unready"),
        *("mean_run", "note_ids", "tasks", "tables", "uses", "masters", "special"),
        *("critical", "widest", "uniform", "open_names", "dependants", "picky"),
    }
)
"""Fields of a job that are remembered for speed, or shown in another form."""
LEARNED: Final = frozenset({"books", "peak_cores", "peak_sockets"})
"""What grows in jobs since some version: of earlier ones their events know more. A new
one fails the replay of older stores until it is here."""
COLUMNS: Final = (*BYTES, *(name for name in WIDE if name != "made"))
_RECORD: Final = (
    *("task_id", "spec", "table", "base", "count", "counts", "state", "previous"),
    *("canceled", "swept", "started", "forgiven", "shown_from", "requeues"),
    *("submit_time", "concluded", "strikes", "not_before", "floor"),
)
_IDLE: Final = (JobState.CONFIGURING, JobState.QUEUED)


def picture(job: Job) -> dict[str, Any]:
    """Return everything about a job that is not merely remembered for speed."""
    fields = {n: getattr(job, n) for n in Job.__slots__ if n not in DERIVED}
    fields["tasks"] = [
        tuple(getattr(record, name) for name in _RECORD) for record in job.tasks
    ]
    fields["tables"] = {n: _columns(table) for n, table in job.tables.items()}
    fields["uses"] = {
        n: (*use.encode(), use.since, use.busy, use.live, use.shut)
        for n, use in job.uses.items()
    }
    return fields


def _columns(table: ElementTable) -> dict[str, Any]:
    places = {row: place for row, place in table.places.items() if place}
    sets = dict(table.sets)
    columns = {name: table.values(name) for name in COLUMNS}
    return {**columns, "size": table.size, "places": places, "sets": sets}


def differences(job: Job, folded: Job) -> Iterator[str]:
    """Say in what a job is another than what its events lead to."""
    ours, theirs = picture(job), picture(folded)
    for name, value in ours.items():
        other = theirs[name]
        if value == other or (name in LEARNED and _spent(value) <= _spent(other)):
            continue
        if name == "tables":
            yield from _table_differences(value, other)
        elif name == "tasks":
            yield from _task_differences(value, other)
        else:
            yield f"{name} is {value!r}, and {other!r} by its events"


def _spent(value: Any) -> int:
    return value.core_ms if isinstance(value, Books) else int(value)


def _table_differences(
    ours: dict[int, dict[str, Any]], theirs: dict[int, dict[str, Any]]
) -> Iterator[str]:
    for number in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(number), theirs.get(number)
        if mine is None or other is None:
            which = "not in its events" if other is None else "in its events only"
            yield f"the table of elements {number} is {which}"
            continue
        for name in mine:
            if mine[name] != other[name]:
                what = f"{name} of elements in table {number}"
                yield f"{what} differs from its events"


def _task_differences(ours: list[Any], theirs: list[Any]) -> Iterator[str]:
    if len(ours) != len(theirs):
        yield f"it has {len(ours)} tasks, and {len(theirs)} by its events"
        return
    for mine, other in zip(ours, theirs, strict=True):
        for name, value, known in zip(_RECORD, mine, other, strict=True):
            if value != known:
                told = f"{name} is {value!r}, and {known!r} by its events"
                yield f"task {mine[0]}: {told}"


def findings_of(job: Job) -> Iterator[str]:
    """Say what contradicts itself in a job."""
    yield from _counts(job)
    for record in job.tasks:
        state = derive_state(job, record)
        if record.state is not state:
            told = f"is {record.state.label}, its elements make it {state.label}"
            yield f"task {record.task_id} {told}"
        yield from _elements(job, record)
    yield from _holdings(job)
    if job.state.terminal:
        yield from _ended(job)
    elif job.end_time is not None:
        yield f"it is {job.state.label} and has an end time"
    if job.ahead and job.state is not JobState.QUEUED:
        yield f"it is {job.state.label} and waits on node {job.ahead[0]}"
    if job.state in _IDLE and job.on_nodes():
        yield f"it is {job.state.label} and has attempts on nodes"


def _counts(job: Job) -> Iterator[str]:
    total = [0] * len(job.counts)
    for record in job.tasks:
        first = record.base + (record.shown_from if record.ordinary else 0)
        states = job.table_of(record).state[first : record.base + record.count]
        found = [states.count(n) for n in range(len(total))]
        if found != record.counts:
            told = f"counts {_named(record.counts)}, its elements are {_named(found)}"
            yield f"task {record.task_id} {told}"
        if record.ordinary:
            total = [a + b for a, b in zip(total, found, strict=True)]
    if total != job.counts:
        yield f"it counts {_named(job.counts)}, its tasks are {_named(total)}"


def _named(counts: list[int]) -> str:
    parts = [f"{n} {TaskState(s).label}" for s, n in enumerate(counts) if n and s]
    return ", ".join(parts) or "none"


def _elements(job: Job, record: TaskRecord) -> Iterator[str]:
    """Look at the elements of a task; the first wrong one of each kind is told."""
    table = job.table_of(record)
    last = record.base + record.count - 1
    row = table.find(TaskState.FINISHING, record.base, last)
    if row >= 0:
        yield f"{_name(record, row)} stays Finishing, which no element does"
    for state in ACTIVE:
        row = table.find(state, record.base, last)
        while row >= 0:
            node = table.get("node", row)
            if node not in job.uses:
                yield (
                    f"{_name(record, row)} is {state.label} on node {node}, of which"
                    " the job holds nothing"
                )
                break
            row = table.find(state, row + 1, last)
    for state in TASK_TERMINAL:
        row = table.find(state, record.base, last)
        while row >= 0:
            if not table.get("end", row):
                yield f"{_name(record, row)} is {state.label} and has no end time"
                break
            row = table.find(state, row + 1, last)


def _name(record: TaskRecord, row: int) -> str:
    instance = row - record.base + 1
    task = f"task {record.task_id}"
    return f"element {instance} of {task}" if record.has_elements else task


def _holdings(job: Job) -> Iterator[str]:
    for use in job.uses.values():
        if len(set(use.cores)) != len(use.cores):
            yield f"it holds a core of node {use.node_id} twice"
        taken = [c for cores in job.holds.get(use.node_id, {}).values() for c in cores]
        if len(set(taken)) != len(taken):
            yield f"two of its attempts hold one core of node {use.node_id}"
        if not set(taken) <= set(use.cores):
            yield f"attempts hold cores of node {use.node_id} that the job does not"


def _ended(job: Job) -> Iterator[str]:
    label = job.state.label
    if job.uses:
        nodes = ", ".join(map(str, sorted(job.uses)))
        yield f"it is {label} and holds something on node {nodes}"
    for record in job.tasks:
        if record.open or record.state not in TASK_TERMINAL:
            yield f"it is {label}, and task {record.task_id} is {record.state.label}"
    if job.end_time is None:
        yield f"it is {label} and has no end time"
    if job.pending_end is not None:
        yield f"it is {label} and still on its way to {job.pending_end.label}"
