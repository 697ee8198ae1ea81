"""``apply``: the only writer of a job's state, and the replayer of its log.

Raises nothing but ``InvalidTransitionError``, and that only for a fault of ours: every event
was decided by the rules before it came here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.events import Change, Event, TaskMove
from hpcsched.core.job.model import (
    PER_NODE,
    STATES,
    Job,
    NodeUse,
    TaskRecord,
    UsePhase,
)
from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import LEGAL_JOB_MOVES
from hpcsched.core.task.elements import ElementTable
from hpcsched.core.task.states import (
    TASK_TERMINAL,
    CancelOrigin,
    TaskState,
    TaskType,
)
from hpcsched.core.task.table import LEGAL_TASK_MOVES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.events import Ranges

_BUSY = (
    TaskState.DISPATCHING,
    TaskState.RUNNING,
    TaskState.FINISHING,
    TaskState.CANCELING,
)
_WAS_BUSY = frozenset(_BUSY)


class InvalidTransitionError(Exception):
    """An event has no place in the state that it met: a fault of ours, never a caller's."""


def apply(job: Job, event: Event) -> list[Change]:
    """Change the job as the event says, and return the changes of state that it means.

    Raises:
        InvalidTransitionError: the event has no place in the job's state.
    """
    changes: list[Change] = []
    job.revision += 1
    job.change_time = event.time
    for name, value in event.patch.items():
        setattr(job, name, value)
    for number, code, text in event.notes:
        if number != len(job.notes):
            raise InvalidTransitionError(f"note {number} after {len(job.notes)}")
        job.notes.append((code, text))
        job.note_ids[code, text] = number
    for spec in event.added:
        _add_task(job, spec)
    touched: dict[int, None] = {}
    for task_id, fields in event.tasks.items():
        record = job.tasks[task_id - 1]
        for name, value in fields.items():
            setattr(record, name, value)
        touched[task_id] = None
    _apply_uses(job, event)
    for move in event.moves:
        _move(job, move, changes)
        touched[move.task_id] = None
    for task_id in touched:
        _settle_record(job, job.tasks[task_id - 1], changes)
    for state in event.path:
        if (job.state, state) not in LEGAL_JOB_MOVES:
            raise InvalidTransitionError(
                f"job {job.job_id}: {event.name} leads from {job.state.label} to {state.label}"
            )
        changes.append(Change(0, (), state, job.state))
        job.previous_state, job.state = job.state, state
    if event.path or "spec" in event.patch:
        for record in job.tasks:
            if record.has_elements and not record.count:
                _settle_record(job, record, changes)
    return changes


def _add_task(job: Job, spec: Any) -> None:
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
    job.tasks.append(record)
    job.ready = None


def _apply_uses(job: Job, event: Event) -> None:
    for node_id, encoded in event.uses.items():
        if encoded is None:
            job.uses.pop(node_id, None)
            continue
        cores, phase, prepared = encoded
        use = job.uses.get(node_id)
        if use is None:
            job.uses[node_id] = NodeUse(
                node_id, tuple(cores), UsePhase(phase), prepared
            )
            if node_id not in job.last_nodes:
                job.last_nodes = (*job.last_nodes, node_id)
        else:
            use.cores, use.phase, use.prepared = tuple(cores), UsePhase(phase), prepared


def _move(job: Job, move: TaskMove, changes: list[Change]) -> None:
    record = job.tasks[move.task_id - 1]
    table = job.tables[record.table]
    if move.was == 0:
        _append(job, record, table, move)
    spans = [(record.row(a), record.row(b)) for a, b in move.ranges]
    was = move.was
    to = int(move.path[-1]) if move.path else was
    for first, last in spans:
        if was and table.state.count(was, first, last + 1) != last - first + 1:
            raise InvalidTransitionError(
                f"task {job.job_id}.{move.task_id}: rows {first}-{last} are not all {TaskState(was).label}"
            )
    _leave_nodes(job, record, table, was, to, spans)
    for first, last in spans:
        if move.clear:
            table.clear_results(first, last)
        for name in move.bump:
            table.bump(name, first, last)
    _columns(table, move, spans)
    _enter_nodes(job, record, table, was, to, spans)
    if not move.path:
        return
    count = move.count
    before = was
    elements = _visible(record, move.ranges)
    for state in move.path:
        if before and (before, state) not in LEGAL_TASK_MOVES:
            raise InvalidTransitionError(
                f"task {job.job_id}.{move.task_id}: {TaskState(before).label} to {state.label}"
            )
        changes.append(Change(move.task_id, elements, state, before))
        prev, before = before, int(state)
        if state is TaskState.RUNNING:
            record.started = True
    for first, last in spans:
        table.fill("state", first, last, to)
        table.fill("prev", first, last, prev)
    if was:
        record.counts[was] -= count
    record.counts[to] += count
    if record.ordinary:
        if was:
            job.counts[was] -= count
        job.counts[to] += count
    _note_ready(job, record, move, to)


def _append(job: Job, record: TaskRecord, table: ElementTable, move: TaskMove) -> None:
    """Rows that did not exist before: subtasks of per-node tasks."""
    table.append(move.count, 0)
    record.count += move.count


def _visible(record: TaskRecord, ranges: Ranges) -> Ranges:
    return ranges if record.has_elements else ()


def _columns(
    table: ElementTable, move: TaskMove, spans: Sequence[tuple[int, int]]
) -> None:
    for name, value in move.columns.items():
        if isinstance(value, (int, float)):
            for first, last in spans:
                table.fill(name, first, last, value)
            continue
        at = 0
        for first, last in spans:
            if last == first:
                table.fill(name, first, first, value[at])
            else:
                table.write(name, first, value[at : at + last - first + 1])
            at += last - first + 1
    if move.flags:
        for first, last in spans:
            table.merge_flags(first, last, move.flags)


def _width(record: TaskRecord, table: ElementTable, row: int) -> int:
    if not record.ordinary or record.spec.node:
        return 0
    return int(table.get("width", row)) or record.spec.min_cores


def _leave_nodes(
    job: Job,
    record: TaskRecord,
    table: ElementTable,
    was: int,
    to: int,
    spans: Sequence[tuple[int, int]],
) -> None:
    if was in _WAS_BUSY and to not in _WAS_BUSY:
        _book(job, record, table, spans, -1)


def _enter_nodes(
    job: Job,
    record: TaskRecord,
    table: ElementTable,
    was: int,
    to: int,
    spans: Sequence[tuple[int, int]],
) -> None:
    if to in _WAS_BUSY and was not in _WAS_BUSY:
        _book(job, record, table, spans, 1)


def _book(
    job: Job,
    record: TaskRecord,
    table: ElementTable,
    spans: Sequence[tuple[int, int]],
    sign: int,
) -> None:
    for first, last in spans:
        for row in range(first, last + 1):
            use = job.uses.get(table.get("node", row))
            if use is not None:
                use.busy += sign * _width(record, table, row)


def _note_ready(job: Job, record: TaskRecord, move: TaskMove, to: int) -> None:
    if to == TaskState.CANCELED:
        if move.columns.get("origin") != CancelOrigin.USER_TASK:
            record.swept = True
    elif to == TaskState.QUEUED:
        job.ready = None
        record.hint = min(record.hint, record.row(move.ranges[0][0]))
    if to in TASK_TERMINAL and not record.open and job.unready:
        job.ready = None  # dependants may have become ready


def _settle_record(job: Job, record: TaskRecord, changes: list[Change]) -> None:
    """Derive the state of the task itself; a master's changes are changes of their own."""
    state = derive_state(job, record)
    if state is record.state:
        return
    if record.has_elements:
        changes.append(Change(record.task_id, (), state, record.state))
    record.previous, record.state = record.state, state


def derive_state(job: Job, record: TaskRecord) -> TaskState:
    """Return the state of a task from its elements (lifecycle.md 6; S5 5)."""
    counts = record.counts
    if not record.has_elements:
        return TaskState(job.tables[record.table].state[record.base])
    if record.spec.type in PER_NODE:
        return _derive_per_node(job, record)
    stopping = (
        counts[TaskState.CANCELING]
        + counts[TaskState.RUNNING]
        + counts[TaskState.DISPATCHING]
        + counts[TaskState.FINISHING]
    )
    if record.canceled:
        return TaskState.CANCELING if stopping else TaskState.CANCELED
    for state in (TaskState.CONFIGURING, TaskState.SUBMITTED, TaskState.VALIDATING):
        if counts[state]:
            return state
    if record.open:
        return TaskState.RUNNING if record.started else TaskState.QUEUED
    if counts[TaskState.FAILED]:
        return TaskState.FAILED
    if counts[TaskState.CANCELED] and (
        record.swept or counts[TaskState.CANCELED] == record.count
    ):
        return TaskState.CANCELED
    return TaskState.FINISHED


_PER_NODE_BEFORE = {
    JobState.CONFIGURING: TaskState.CONFIGURING,
    JobState.SUBMITTED: TaskState.SUBMITTED,
    JobState.VALIDATING: TaskState.VALIDATING,
    JobState.EXTERNAL_VALIDATION: TaskState.VALIDATING,
    JobState.QUEUED: TaskState.QUEUED,
}


def _derive_per_node(job: Job, record: TaskRecord) -> TaskState:
    """A prep or release task: Queued until it ran somewhere, then what its nodes say."""
    before = _PER_NODE_BEFORE.get(job.state)
    if before is not None:
        return before
    shown = record.count - record.shown_from
    if record.open:
        return TaskState.RUNNING
    if not shown:
        return TaskState.CANCELED if job.state.terminal else TaskState.QUEUED
    if not job.state.terminal:
        return TaskState.RUNNING
    table = job.tables[record.table]
    states = table.state[record.shown_from : record.count]
    if states.count(TaskState.FINISHED):
        return TaskState.FINISHED
    return TaskState.FAILED if states.count(TaskState.FAILED) else TaskState.CANCELED
