"""``apply``: the only writer of a job's state, and the replayer of its log.

Raises nothing but ``InvalidTransitionError``, and that only for a fault of ours: every
event was decided by the rules before it came here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.accounting import book_end, book_uses
from hpcsched.core.job.deriving import derive_state
from hpcsched.core.job.events import Change, Event, TaskMove
from hpcsched.core.job.holding import book
from hpcsched.core.job.lifetime import forget_times, note_created, note_times
from hpcsched.core.job.model import (
    STATES,
    Job,
    NodeUse,
    TaskRecord,
)
from hpcsched.core.job.readiness import note_closed, note_queued
from hpcsched.core.job.rewriting import respecify
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import LEGAL_JOB_MOVES
from hpcsched.core.job.uses import NO_USES, Uses
from hpcsched.core.task.elements import ElementTable
from hpcsched.core.task.states import (
    TASK_STATES,
    TASK_TERMINAL,
    CancelOrigin,
    TaskState,
    TaskType,
)
from hpcsched.core.task.table import LEGAL_TASK_MOVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.job.events import Ranges

_BUSY: Final = frozenset(
    {
        TaskState.DISPATCHING,
        TaskState.RUNNING,
        TaskState.FINISHING,
        TaskState.CANCELING,
    }
)
_PASSED: Final = (TaskState.CONFIGURING, TaskState.SUBMITTED, TaskState.VALIDATING)
_EXPLAINED: Final = (TaskState.FAILED, TaskState.CANCELED, TaskState.CANCELING)

_AFTER: Final = (TaskState.VALIDATING, TaskState.QUEUED, TaskState.FAILED)


class InvalidTransitionError(Exception):
    """An event has no place in the state that it met: a fault of ours alone."""


def apply(job: Job, event: Event) -> list[Change]:
    """Change the job as the event says, and return what that means for watchers.

    Raises:
        InvalidTransitionError: the event has no place in the job's state.
    """
    changes: list[Change] = []
    job.revision += 1
    job.change_time = event.time
    for name, value in event.patch.items():
        setattr(job, name, value)
    if "error_message" in event.patch and job.error_params:
        job.error_params = event.patch.get("error_params", {})  # the last one wins
    if event.notes:
        _take_notes(job, event)
    for spec in event.added:
        _add_task(job, spec, event.time)
    touched: dict[int, set[TaskState]] = {}
    if event.respecs:
        respecify(job, event)
        touched = {task_id: set() for task_id in event.respecs if task_id}
    for task_id, fields in event.tasks.items():
        _patch_record(job, job.tasks[task_id - 1], fields)
        touched[task_id] = set()
    _apply_uses(job, event)
    for move in event.moves:
        _move(job, move, changes)
        touched.setdefault(move.task_id, set()).update(move.path)
    for task_id, passed in touched.items():
        _settle_record(job, job.tasks[task_id - 1], passed, changes)
    if event.path:
        _pass_states(job, event, changes)
    book_end(job, event)
    return changes


def _take_notes(job: Job, event: Event) -> None:
    for number, code, text in event.notes:
        if number != len(job.notes):
            raise InvalidTransitionError(f"note {number} after {len(job.notes)}")
        job.notes.append((code, text))
        job.note_ids[code, text] = number


def _pass_states(job: Job, event: Event, changes: list[Change]) -> None:
    """Move the job along the event's path, and its per-node tasks with it."""
    special = job.special.values()
    for state in event.path:
        if (job.state, state) not in LEGAL_JOB_MOVES:
            way = f"from {job.state.label} to {state.label}"
            raise InvalidTransitionError(f"job {job.job_id}: {event.name} leads {way}")
        text, code = "", 0
        if state is event.path[-1] and event.message:
            text = event.message
            code = job.error_code if text == job.error_message else 0
        changes.append(Change(0, (), state, job.state, code, text))
        job.previous_state, job.state = job.state, state
        for record in special:
            _settle_record(job, record, (), changes)
    if job.state is not JobState.RUNNING:
        # What the scheduler asks of a running job is void with its run.
        if job.owing:
            job.owing = {}
        job.is_backfill = False
        job.preempted_now = job.yields_all = False


def _add_task(job: Job, spec: Any, now: float) -> None:
    task_id = len(job.tasks) + 1
    if spec.type is TaskType.BASIC:
        table = job.tables.get(0)
        if table is None:
            table = job.tables[0] = ElementTable()
        base = table.append(1, TaskState.CONFIGURING)
        record = TaskRecord(task_id, spec, 0, base, 1, [0] * STATES)
    else:
        size = spec.size
        job.tables[task_id] = ElementTable(size, TaskState.CONFIGURING)
        record = TaskRecord(task_id, spec, task_id, 0, size, [0] * STATES)
    record.counts[TaskState.CONFIGURING] = record.count
    if record.ordinary:
        job.counts[TaskState.CONFIGURING] += record.count
    job.append(record)
    if now != job.create_time:
        note_created(job, record, now)


def _patch_record(job: Job, record: TaskRecord, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(record, name, value)
    if not record.table:
        job.marked[record.task_id] = None
    if fields.get("started") is False or "shown_from" in fields:
        forget_times(record)
    if record.ordinary and fields.get("shown_from"):
        # A service starts afresh: its instances so far count no more.
        for state, count in enumerate(record.counts):
            job.counts[state] -= count
        record.counts = [0] * STATES


def _apply_uses(job: Job, event: Event) -> None:
    if not event.uses:
        return
    if job.uses:
        book_uses(job, event)
    begins = not job.last_nodes
    new: list[int] = []
    for node_id, encoded in event.uses.items():
        if encoded is None:
            job.uses.drop(node_id)
            job.holds.pop(node_id, None)
            if node_id in job.owing:
                job.owing = {n: k for n, k in job.owing.items() if n != node_id}
            continue
        use = job.uses.get(node_id)
        if use is None:
            use = NodeUse.decode(node_id, encoded)
            use.since = event.time
            if job.uses is NO_USES:
                job.uses = Uses()
            job.uses.put(use)
            new.append(node_id)
        else:
            if tuple(encoded[0]) != use.cores:
                use.since = event.time
            job.uses.change(use, encoded)
    if new:
        job.last_nodes = tuple(dict.fromkeys((*job.last_nodes, *new)))
    _note_peak(job, begins=begins)


def _note_peak(job: Job, *, begins: bool) -> None:
    """Keep the most cores and sockets that a run of the job has held at one time."""
    if begins:
        job.peak_cores = job.peak_sockets = 0
    uses = job.uses
    if uses.cores > job.peak_cores:
        job.peak_cores, job.peak_sockets = uses.cores, uses.sockets


def _move(job: Job, move: TaskMove, changes: list[Change]) -> None:
    record = job.tasks[move.task_id - 1]
    table = job.tables[record.table]
    was = move.was
    to = int(move.path[-1]) if move.path else was
    if was == 0:
        # Rows that did not exist before: subtasks of per-node tasks and services.
        first = table.append(move.count, 0)
        if record.floor > 1:  # it was another kind of task, and nodes have seen that
            table.fill("attempt", first, table.size - 1, record.floor)
        record.count += move.count
    spans = [(record.row(a), record.row(b)) for a, b in move.ranges]
    _check(job, record, move, spans)
    if was == TaskState.CANCELED:
        record.swept -= _swept(record, table, spans)
    elsewhere = bool(move.places)
    if was in _BUSY and (elsewhere or to not in _BUSY):
        book(job, record, table, spans, -1)
    _columns(table, move, spans)
    if record.has_elements:
        note_times(record, move)
    _sparse(record, table, move)
    if to in _BUSY and (elsewhere or was not in _BUSY):
        book(job, record, table, spans, 1)
    if move.path:
        if to == TaskState.CANCELED:
            record.swept += _swept(record, table, spans)
        _enter(job, record, move, spans, changes)


def _sparse(record: TaskRecord, table: ElementTable, move: TaskMove) -> None:
    """Write what only few rows have."""
    for instance, place in move.places.items():
        table.put(record.row(instance), place)
    for instance, cores in move.sets.items():
        table.put_cores(record.row(instance), cores)


def _enter(
    job: Job,
    record: TaskRecord,
    move: TaskMove,
    spans: Sequence[tuple[int, int]],
    changes: list[Change],
) -> None:
    """Write the states that the move leads to, and count them."""
    table = job.tables[record.table]
    to = int(move.path[-1])
    previous = _tell(record, move, changes, *_reason(job, table, move, spans))
    for first, last in spans:
        table.fill("state", first, last, to)
        table.fill("prev", first, last, previous)
    _count(job, record, move, to)
    _note_ready(job, record, move, to)


def _check(
    job: Job, record: TaskRecord, move: TaskMove, spans: Sequence[tuple[int, int]]
) -> None:
    """Refuse a move that the table does not know, or that does not start here."""
    name = f"task {job.job_id}.{move.task_id}"
    state = job.tables[record.table].state
    for first, last in spans:
        if move.was and state.count(move.was, first, last + 1) != last - first + 1:
            label = TaskState(move.was).label
            raise InvalidTransitionError(f"{name}: {first}-{last} are not all {label}")
    before = move.was
    for to in move.path:
        if before and (before, to) not in LEGAL_TASK_MOVES:
            way = f"from {TaskState(before).label} to {to.label}"
            raise InvalidTransitionError(f"{name} leads {way}")
        before = int(to)


def _reason(
    job: Job, table: ElementTable, move: TaskMove, spans: Sequence[tuple[int, int]]
) -> tuple[int, str]:
    """Return why the elements go there, where watchers would ask."""
    to = move.path[-1]
    if to in _EXPLAINED or move.was == TaskState.CANCELING:
        return job.notes[move.why or table.common("note", spans)]
    return job.notes[move.why]


def _tell(
    record: TaskRecord, move: TaskMove, changes: list[Change], code: int, text: str
) -> int:
    """Tell watchers of each state on the way; return the last but one."""
    elements: Ranges = move.ranges if record.has_elements else ()
    before = previous = move.was
    for state in move.path:
        changes.append(Change(move.task_id, elements, state, before))
        previous, before = before, int(state)
    if code or text:
        changes[-1] = replace(changes[-1], code=code, text=text)
    if record.has_elements and TaskState.RUNNING in move.path:
        record.started = True
    return previous


def _count(job: Job, record: TaskRecord, move: TaskMove, to: int) -> None:
    count = move.count
    for counts in (record.counts, job.counts) if record.ordinary else (record.counts,):
        if move.was:
            counts[move.was] -= count
        counts[to] += count
    record.forgiven = min(record.forgiven, record.counts[TaskState.FAILED])


def _swept(
    record: TaskRecord, table: ElementTable, spans: Iterable[tuple[int, int]]
) -> int:
    """Count the rows that were not canceled one by one (lifecycle.md 4.1)."""
    if not record.has_elements:
        return 0
    return sum(
        last
        - first
        + 1
        - table.column("origin", first, last).count(CancelOrigin.USER_TASK)
        for first, last in spans
    )


def _columns(
    table: ElementTable, move: TaskMove, spans: Sequence[tuple[int, int]]
) -> None:
    for first, last in spans:
        if move.clear:
            table.clear_results(first, last)
        for name in move.bump:
            table.bump(name, first, last)
    for name, value in move.columns.items():
        if isinstance(value, (int, float)):
            for first, last in spans:
                table.fill(name, first, last, value)
        else:
            _write(table, name, value, spans)
    if move.flags:
        for first, last in spans:
            table.merge_flags(first, last, move.flags)


def _write(
    table: ElementTable,
    name: str,
    values: Sequence[Any],
    spans: Sequence[tuple[int, int]],
) -> None:
    """Write one value per row; the spans are read one after the other."""
    at = 0
    for first, last in spans:
        if last == first:
            table.fill(name, first, first, values[at])
        else:
            table.write(name, first, values[at : at + last - first + 1])
        at += last - first + 1


def _note_ready(job: Job, record: TaskRecord, move: TaskMove, to: int) -> None:
    """Keep the list of tasks that may start up to date."""
    if to == TaskState.QUEUED:
        record.hint = min(record.hint, record.row(move.ranges[0][0]))
        if move.was in _BUSY:
            note_queued(job, record)
        else:
            job.ready = None
    elif move.was in TASK_TERMINAL or to == TaskState.CONFIGURING:
        job.ready = None
    elif to in TASK_TERMINAL and not record.open:
        note_closed(job, record)


def _settle_record(
    job: Job, record: TaskRecord, passed: Iterable[TaskState], changes: list[Change]
) -> None:
    """Derive the state of the task itself; a master's changes are told as well."""
    state = derive_state(job, record)
    if not record.has_elements:
        record.state = state
        previous = job.tables[0].get("prev", record.base)
        record.previous = TASK_STATES[previous] if previous else None
        return
    way: list[TaskState] = []
    if record.spec.size:
        way = [one for one in _PASSED if one in passed and one is not state]
        if way and state not in _AFTER:
            way = []
        skipped = record.state is TaskState.QUEUED and state.terminal
        if skipped and TaskState.RUNNING in passed:
            way = [TaskState.RUNNING]
    if not way and state is record.state:
        return
    for one in (*way, state):
        changes.append(Change(record.task_id, (), one, record.state))
        record.previous, record.state = record.state, one
