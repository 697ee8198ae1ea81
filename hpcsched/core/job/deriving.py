"""The state of a task itself, derived from its elements (lifecycle.md 6; S5 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.model import PER_NODE
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TASK_STATES, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job, TaskRecord

_STOPPING: Final = (
    TaskState.CANCELING,
    TaskState.RUNNING,
    TaskState.DISPATCHING,
    TaskState.FINISHING,
)
_EARLY: Final = (TaskState.CONFIGURING, TaskState.SUBMITTED, TaskState.VALIDATING)
_BEFORE: Final = {
    JobState.CONFIGURING: TaskState.CONFIGURING,
    JobState.SUBMITTED: TaskState.SUBMITTED,
    JobState.VALIDATING: TaskState.VALIDATING,
    JobState.EXTERNAL_VALIDATION: TaskState.VALIDATING,
    JobState.QUEUED: TaskState.QUEUED,
}


def derive_state(job: Job, record: TaskRecord) -> TaskState:
    """Return the state of a task: its only element's, or the master's."""
    if not record.has_elements:
        return TASK_STATES[job.tables[record.table].state[record.base]]
    if record.canceled:
        stopping = any(record.counts[state] for state in _STOPPING)
        return TaskState.CANCELING if stopping else TaskState.CANCELED
    if record.spec.type in PER_NODE:
        return _derive_per_node(job, record)
    if record.spec.type is TaskType.SERVICE:
        return _derive_service(job, record)
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
    before = _BEFORE.get(job.state)
    if before is not None:
        return before
    shown = record.count - record.shown_from
    if not job.state.terminal:
        return TaskState.RUNNING if shown or record.open else TaskState.QUEUED
    if _rejected(job):
        return TaskState.FAILED
    states = job.tables[record.table].column(
        "state", record.shown_from, record.count - 1
    )
    for state in (TaskState.FINISHED, TaskState.FAILED):
        if states.count(state):
            return state
    return TaskState.CANCELED


def _derive_service(job: Job, record: TaskRecord) -> TaskState:
    """Return the state of a service: open until it is concluded, or its job ends."""
    if not (job.state.terminal or (record.concluded and not record.open)):
        begun = TaskState.RUNNING if record.started else TaskState.QUEUED
        return _BEFORE.get(job.state, begun)
    counts = record.counts
    if counts[TaskState.FAILED] or _rejected(job):
        return TaskState.FAILED
    if not record.concluded:  # its job stopped it
        stays = job.state is JobState.FINISHED and counts[TaskState.FINISHED]
        return TaskState.FINISHED if stays else TaskState.CANCELED
    every = 0 < counts[TaskState.CANCELED] == sum(counts)
    return TaskState.CANCELED if every else TaskState.FINISHED


def _rejected(job: Job) -> bool:
    """Did the job fail its validation (J7)?"""
    checked = (JobState.VALIDATING, JobState.EXTERNAL_VALIDATION)
    return job.state is JobState.FAILED and job.previous_state in checked
