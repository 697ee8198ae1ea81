"""The state of a task itself, derived from its elements (lifecycle.md 6; S5 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.model import PER_NODE
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job, TaskRecord

_STOPPING: Final = (
    TaskState.CANCELING,
    TaskState.RUNNING,
    TaskState.DISPATCHING,
    TaskState.FINISHING,
)
_EARLY: Final = (TaskState.CONFIGURING, TaskState.SUBMITTED, TaskState.VALIDATING)
_PER_NODE_BEFORE: Final = {
    JobState.CONFIGURING: TaskState.CONFIGURING,
    JobState.SUBMITTED: TaskState.SUBMITTED,
    JobState.VALIDATING: TaskState.VALIDATING,
    JobState.EXTERNAL_VALIDATION: TaskState.VALIDATING,
    JobState.QUEUED: TaskState.QUEUED,
}


def derive_state(job: Job, record: TaskRecord) -> TaskState:
    """Return the state of a task: its only element's, or the master's."""
    if not record.has_elements:
        return TaskState(job.tables[record.table].state[record.base])
    if record.canceled:
        stopping = any(record.counts[state] for state in _STOPPING)
        return TaskState.CANCELING if stopping else TaskState.CANCELED
    if record.spec.type in PER_NODE:
        return _derive_per_node(job, record)
    return _derive_sweep(record)


def _derive_sweep(record: TaskRecord) -> TaskState:
    counts = record.counts
    for state in _EARLY:
        if counts[state]:
            return state
    if record.open:
        return TaskState.RUNNING if record.started else TaskState.QUEUED
    if counts[TaskState.FAILED]:
        return TaskState.FAILED
    canceled = counts[TaskState.CANCELED]
    if canceled and (record.swept or canceled == record.count):
        return TaskState.CANCELED
    return TaskState.FINISHED


def _derive_per_node(job: Job, record: TaskRecord) -> TaskState:
    """A prep or release task: Queued until it runs, then what its nodes say."""
    before = _PER_NODE_BEFORE.get(job.state)
    if before is not None:
        return before
    shown = record.count - record.shown_from
    if not job.state.terminal:
        return TaskState.RUNNING if shown or record.open else TaskState.QUEUED
    states = job.tables[record.table].column(
        "state", record.shown_from, record.count - 1
    )
    for state in (TaskState.FINISHED, TaskState.FAILED):
        if states.count(state):
            return state
    return TaskState.CANCELED
