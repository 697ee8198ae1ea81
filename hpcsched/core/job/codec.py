"""How a job, its specifications and its events are kept: msgpack and packed columns.

Unknown keys are passed over, missing ones read as their defaults, so that later
versions can add fields. Nothing executable is ever stored.
"""

from __future__ import annotations

from array import array
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.books import NO_BOOKS, Books
from hpcsched.core.job.events import Change, Event, EventName, TaskMove
from hpcsched.core.job.holding import rebook
from hpcsched.core.job.model import STATES, Job, TaskRecord
from hpcsched.core.job.packing import pack as pack  # noqa: PLC0414  others use it
from hpcsched.core.job.packing import pack_with
from hpcsched.core.job.packing import unpack as unpack  # noqa: PLC0414
from hpcsched.core.job.show import required_nodes
from hpcsched.core.job.spec import DEFAULT_POOL, JobSpec
from hpcsched.core.job.speccodec import decode_spec as decode_spec  # noqa: PLC0414
from hpcsched.core.job.speccodec import encode_spec as encode_spec  # noqa: PLC0414
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
)
from hpcsched.core.job.taskrecord import PER_NODE
from hpcsched.core.job.uses import unpacked
from hpcsched.core.job.waiting import held_back
from hpcsched.core.task.elements import ElementTable
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INT: Final = 1
_FLOAT: Final = 2
PLAIN: Final = (
    *(
        "revision",
        "create_time",
        "change_time",
        "submit_time",
        "start_time",
        "end_time",
    ),
    *(
        "submit_order",
        "validation",
        "requeued",
        "error_code",
        "error_message",
        "error_params",
        "forced",
        "graceful",
    ),
    *("requeue_count", "auto_requeue_count", "excluded", "last_nodes", "front"),
    *("has_grown", "has_shrunk", "eased", "ahead", "doubts"),
    *("user_ms", "kernel_ms", "memory_kib", "sites", "largest"),
    *("is_backfill", "owing", "preempted_now", "yields_all"),
    *("hold_until", "hold_note", "parents", "peak_cores", "peak_sockets"),
)
"""Fields of a job that are stored as they are."""
ENUM_FIELDS: Final[Mapping[str, type[Enum]]] = {
    "state": JobState,
    "previous_state": JobState,
    "pending_end": JobState,
    "failure_reason": FailureReason,
    "request_cancel": CancelRequest,
    "pending_reason": PendingReason,
    "held_by": PendingReason,
}
RECORD: Final = (
    *("base", "count", "canceled", "swept", "started", "shown_from", "requeues"),
    *("forgiven", "concluded", "strikes", "not_before", "floor"),
    *("created", "first_start", "last_end"),
)
_NAMES: Final = (*PLAIN, *ENUM_FIELDS)
_VALUES: Final = attrgetter(*_NAMES)
_NEW: Final = tuple(zip(_NAMES, _VALUES(Job(0, "", JobSpec(), 0.0)), strict=True))
BLANK: Final[Mapping[str, Any]] = dict(_NEW)
"""What is not stored of a job, as it is everywhere unless something happened to it."""
NOTHING_TOLD: Final = (0, None, False, None, "", "Default", ())
"""Of a job that says nothing of itself; and of one stored by an earlier version."""
_RECORD: Final = attrgetter(*RECORD)


def encode_job(job: Job) -> bytes:
    """Return the job without specifications and elements."""
    body: dict[str, Any] = {
        name: value
        for (name, new), value in zip(_NEW, _VALUES(job), strict=True)
        if value is not new and value != new
    }
    books = job.books
    if books is not NO_BOOKS:
        body["books"] = (books.core_ms, books.charged, books.canceled_by)
    if job.due:
        body["due"] = job.due
    body["tasks"] = [_encode_record(record) for record in job.masters]
    if job.marked:
        records = (job.tasks[task_id - 1] for task_id in sorted(job.marked))
        body["extra"] = {r.task_id: (r.submit_time, r.forgiven) for r in records}
    _add_shown(job, body)
    return pack_with(body, job.uses.packed)


def _add_shown(job: Job, body: dict[str, Any]) -> None:
    """Add what is not read back, but by those who look at a job without loading it."""
    spec = job.spec
    body["size"] = len(job.tasks)
    body["counts"] = job.counts
    body["cores"] = (job.least(), job.most())
    if spec.excluded_nodes or job.picky:
        body["nodes"] = (spec.excluded_nodes, required_nodes(job))
    if job.special:
        body["pernode"] = tuple(map(job.number_of, PER_NODE))
    if spec.can_preempt or spec.pool != DEFAULT_POOL:
        body["policy"] = (spec.pool, spec.can_preempt)
    body["unit"] = (int(spec.unit_type), spec.least is None, spec.most is None)
    held = held_back(job)
    told = (
        *(int(held), job.hold_until if held else None, spec.runtime > 0),
        *(spec.progress, spec.progress_message, spec.job_template),
        spec.parent_job_ids,
    )
    if told != NOTHING_TOLD:
        body["told"] = told
    body["spec"] = (spec.user_name, spec.project, int(spec.job_type))


def _encode_record(record: TaskRecord) -> tuple[Any, ...]:
    previous = 0 if record.previous is None else int(record.previous)
    counts = {n: c for n, c in enumerate(record.counts) if c}
    head = (record.task_id, int(record.state), previous, counts)
    return (*head, *_RECORD(record), record.submit_time)


def decode_job(  # noqa: PLR0917  the store gives them in this order
    job_id: int,
    owner: str,
    blob: bytes,
    specs: Mapping[int, bytes],
    chunks: Mapping[tuple[int, int], bytes],
    notes: Mapping[int, bytes],
) -> Job:
    """Return a job as it was stored; derived fields are rebuilt."""
    body = unpack(blob)
    job = Job(job_id, owner, decode_spec(JobSpec, specs[0]), body["create_time"])
    for name in PLAIN:
        if name in body:
            setattr(job, name, body[name])
    for name, kind in ENUM_FIELDS.items():
        if name in body:
            value = body[name]
            setattr(job, name, None if value is None else kind(value))
    _decode_tables(job, chunks)
    _decode_tasks(job, body, specs)
    since = body.get("since", {})
    job.uses = unpacked(body["uses"], since, job.start_time or job.create_time)
    job.due = body.get("due", ())
    if "books" in body:
        job.books = Books(*body["books"])
    for number in range(1, len(notes) + 1):
        code, text = unpack(notes[number])
        job.notes.append((code, text))
        job.note_ids[code, text] = number
    rebook(job)
    return job


def _decode_tables(job: Job, chunks: Mapping[tuple[int, int], bytes]) -> None:
    tables: dict[int, list[tuple[int, bytes]]] = {}
    for (table, number), chunk in chunks.items():
        tables.setdefault(table, []).append((number, chunk))
    for table, parts in tables.items():
        parts.sort()
        numbers = [number for number, _ in parts]
        if numbers != list(range(len(parts))):  # it would be written beside them
            raise ValueError(f"elements of task {table} are in chunks {numbers}")
        job.tables[table] = ElementTable.decode([chunk for _, chunk in parts])


def _decode_tasks(job: Job, body: Any, specs: Mapping[int, bytes]) -> None:
    own = {one[0]: one for one in body["tasks"]}
    extra = body.get("extra", {})
    plain = 0
    for task_id in range(1, len(specs)):
        spec = decode_spec(TaskSpec, specs[task_id])
        if task_id in own:
            record = _decode_record(job, spec, own[task_id])
        else:
            record = _plain_record(job, task_id, spec, plain)
            if task_id in extra:
                record.submit_time, record.forgiven = extra[task_id]
                job.marked[task_id] = None
            plain += 1
        job.append(record)
        if record.ordinary:
            for state, count in enumerate(record.counts):
                job.counts[state] += count


def _decode_record(job: Job, spec: TaskSpec, stored: tuple[Any, ...]) -> TaskRecord:
    task_id, state, previous, counts, *values, submit_time = stored
    fields_ = dict(zip(RECORD, values, strict=False))
    record = TaskRecord(
        task_id, spec, task_id, fields_.pop("base"), fields_.pop("count"), [0] * STATES
    )
    for number, count in counts.items():
        record.counts[number] = count
    for name, value in fields_.items():
        setattr(record, name, value)
    record.state = TaskState(state)
    record.previous = TaskState(previous) if previous else None
    record.submit_time = submit_time
    job.tables.setdefault(task_id, ElementTable())
    return record


def _plain_record(job: Job, task_id: int, spec: TaskSpec, row: int) -> TaskRecord:
    table = job.tables[0]
    record = TaskRecord(task_id, spec, 0, row, 1, [0] * STATES)
    record.state = TaskState(table.state[row])
    record.counts[record.state] = 1
    previous = table.get("prev", row)
    record.previous = TaskState(previous) if previous else None
    return record


def encode_event(event: Event, changes: Iterable[Change]) -> bytes:
    """Return an event with the changes that it meant."""
    body: dict[str, Any] = {"n": event.name.value, "a": event.actor}
    if event.message:
        body["t"] = event.message
    if event.path:
        body["p"] = event.path
    if event.patch:
        body["j"] = event.patch
    if event.moves:
        body["m"] = [_encode_move(one) for one in event.moves]
    if event.tasks:
        body["k"] = {n: dict(values) for n, values in event.tasks.items()}
    if event.added:
        body["d"] = [encode_spec(spec) for spec in event.added]
    if event.respecs:
        body["r"] = {n: encode_spec(spec) for n, spec in event.respecs.items()}
        body["w"] = event.tables
    if event.notes:
        body["o"] = event.notes
    if event.uses:
        body["u"] = event.uses
    body["c"] = [_encode_change(change) for change in changes]
    return pack(body)


def _encode_change(change: Change) -> tuple[Any, ...]:
    head = (change.task_id, change.ranges, change.state, change.previous)
    return (*head, change.code, change.text) if change.code or change.text else head


def _encode_move(one: TaskMove) -> tuple[Any, ...]:
    columns = {name: _encode_column(value) for name, value in one.columns.items()}
    head = (one.task_id, one.ranges, one.was, one.path, columns)
    tail: tuple[Any, ...] = ()
    if one.places or one.why or one.sets:
        tail = (dict(one.places), one.why)
    if one.sets:
        tail = (*tail, dict(one.sets))
    return (*head, one.flags, one.bump, one.clear, *tail)


def _encode_column(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    if any(isinstance(item, float) for item in value):
        return (_FLOAT, array("d", value).tobytes())
    return (_INT, array("q", value).tobytes())


def decode_event(time: float, body: bytes) -> tuple[Event, list[Change]]:
    """Return the event and its changes."""
    value = unpack(body)
    moves = [_decode_move(one) for one in value.get("m", ())]
    patch = {
        name: ENUM_FIELDS[name](item)
        if name in ENUM_FIELDS and item is not None
        else item
        for name, item in value.get("j", {}).items()
    }
    event = Event(
        name=EventName(value["n"]),
        time=time,
        actor=value["a"],
        message=value.get("t", ""),
        path=tuple(JobState(state) for state in value.get("p", ())),
        patch=patch,
        moves=moves,
        tasks=value.get("k", {}),
        added=tuple(decode_spec(TaskSpec, spec) for spec in value.get("d", ())),
        respecs={
            n: decode_spec(TaskSpec, spec) if n else decode_spec(JobSpec, spec)
            for n, spec in value.get("r", {}).items()
        },
        tables=value.get("w", ()),
        notes=value.get("o", ()),
        uses=value.get("u", {}),
    )
    return event, [Change(*one) for one in value["c"]]


def decode_changes(body: bytes) -> tuple[str, str, str, list[Change]]:
    """Return (name, actor, message, changes): all that a watcher needs."""
    value = unpack(body)
    changes = [Change(*one) for one in value.get("c", ())]
    return value["n"], value["a"], value.get("t", ""), changes


def _decode_move(stored: tuple[Any, ...]) -> TaskMove:
    task_id, ranges, was, path, columns, flags, bump, clear, *tail = stored
    return TaskMove(
        task_id=task_id,
        ranges=ranges,
        was=was,
        path=tuple(TaskState(state) for state in path),
        columns={name: _decode_column(item) for name, item in columns.items()},
        flags=flags,
        bump=tuple(bump),
        clear=clear,
        places=tail[0] if tail else {},
        why=tail[1] if len(tail) > 1 else 0,
        sets=tail[2] if len(tail) > 2 else {},  # noqa: PLR2004  later versions only
    )


def _decode_column(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    kind, packed = value
    column = array("d" if kind == _FLOAT else "q")
    column.frombytes(packed)
    return column.tolist()
