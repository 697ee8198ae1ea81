"""Queueing tasks again: the exact rules of lifecycle.md section 4.2 (S2, D7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.doubting import refuse_doubted
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.front import joined
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.job.model import PER_NODE
from hpcsched.core.job.parents import parents_again
from hpcsched.core.job.requeueing import again, again_patch, reset_per_node
from hpcsched.core.job.states import CancelRequest, JobState, JobType
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.turn import runs_of
from hpcsched.core.job.verdict import (
    OUT_JOB,
    OUT_TASK,
    rejection,
    verdict_on,
    way_in,
)
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.commands import RequeueTasks, TaskKey
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

_ON_NODE: Final = (TaskState.RUNNING, TaskState.DISPATCHING)
_GOOD: Final = (TaskState.QUEUED, *_ON_NODE, TaskState.FAILED, TaskState.CANCELED)
_BAD_MASTER: Final = (
    *(TaskState.FINISHED, TaskState.CONFIGURING, TaskState.CANCELING),
    *(TaskState.SUBMITTED, TaskState.VALIDATING),
)
_FIRST: Final = {
    JobState.CONFIGURING: (TaskState.CONFIGURING,),
    JobState.SUBMITTED: (TaskState.SUBMITTED,),
    JobState.VALIDATING: (TaskState.SUBMITTED,),
    JobState.EXTERNAL_VALIDATION: (TaskState.SUBMITTED,),
}
_Front = list[tuple[int, int, int]]


def requeue_tasks(turn: Turn, command: RequeueTasks) -> HpcError | None:
    """S2: in order; at the first failure stop, those before stay queued.

    Returns:
        The refusal that stopped the list, or the verdict on the job, or None.

    Raises:
        HpcError: the first task was refused, so nothing has changed.
    """
    job = turn.job
    command.caller.require_operator(job.owner, f"requeue tasks of job {job.job_id}")
    require(job.state, JobTrigger.REQUEUE_TASKS, job.job_id)
    if job.spec.job_type is JobType.ADMIN:
        raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job.job_id)
    line = _Line(turn, command)
    for number, key in enumerate(command.tasks):
        try:
            verdict = line.requeue(key)
        except HpcError as refusal:
            refusal.facts["done"] = str(number)
            if not number:
                raise
            return refusal
        if verdict is not None:
            return verdict
    return None


class _Line:
    """The tasks of one call, in the order in which they will be the next to start."""

    def __init__(self, turn: Turn, command: RequeueTasks) -> None:
        self._turn = turn
        self._order = command.submit_order
        self._kin = command.kin
        self._call: _Front = []

    def requeue(self, key: TaskKey) -> HpcError | None:
        """Queue one task again; return the verdict if its job was not valid."""
        turn, job = self._turn, self._turn.job
        record, found = _checked(job, key)
        if job.doubts and job.state is JobState.RUNNING:
            refuse_doubted(turn, record, tuple(r for _, spans in found for r in spans))
        verdict: HpcError | None = None
        path: tuple[TaskState, ...] = _FIRST.get(job.state, (TaskState.QUEUED,))
        states: tuple[JobState, ...] = ()
        patch: dict[str, Any] = {}
        columns: dict[str, Any] = {}
        tasks: dict[int, dict[str, Any]] = {}
        if job.state.terminal:
            patch = {**again_patch(turn), "submit_order": self._order}
            tasks = reset_per_node(job)
            states, path, more = way_in(turn)
            verdict = verdict_on(turn, kin=self._kin)
            patch |= parents_again(job, self._kin)
            if verdict is not None:
                path, states = OUT_TASK, OUT_JOB
                rejected, columns = rejection(turn, verdict)
                patch |= rejected
            else:
                patch |= more
                tasks |= _forgive(job)
        moves = [_move(record, spans, state, path, columns) for state, spans in found]
        if job.state is not JobState.CONFIGURING and verdict is None:
            patch["front"] = self._front(record, key, found)
        fields = tasks.setdefault(record.task_id, {})
        fields |= _fields(record, whole=record.has_elements and key[1] == 0)
        name = EventName.TASKS_REQUEUED
        turn.emit(name, path=states, patch=patch, moves=moves, tasks=tasks)
        return verdict

    def _front(
        self, record: TaskRecord, key: TaskKey, found: list[tuple[int, Ranges]]
    ) -> tuple[tuple[int, int, int], ...]:
        """Return the job's line: this call's tasks in order, then those before it."""
        if record.has_elements and key[1] == 0:
            self._call.append((record.task_id, 1, record.count))
        elif found[0][0] not in _ON_NODE:  # the others join when they have stopped
            self._call.append((*key, key[1]))
        return joined((*self._call, *self._turn.job.front))


def _checked(job: Job, key: TaskKey) -> tuple[TaskRecord, list[tuple[int, Ranges]]]:
    """Return the task and its elements by state, or refuse it."""
    record, ranges = find_elements(job, key)
    name = show(job.job_id, key)
    if record.spec.type in (*PER_NODE, TaskType.SERVICE):
        kind = record.spec.type.label
        raise HpcError("TASK_TYPE_NOT_REQUEUEABLE", task=name, type=kind)
    if not record.spec.is_rerunnable:
        raise HpcError("TASK_NOT_RERUNNABLE", task=name)
    found = runs_of(job, record, ranges)
    if record.has_elements and key[1] == 0:
        state, bad = record.state, record.state in _BAD_MASTER
        found = [(one, spans) for one, spans in found if one in _GOOD]
    else:
        state, bad = TaskState(found[0][0]), found[0][0] not in _GOOD
    if bad:
        raise HpcError("TASK_NOT_REQUEUEABLE", task=name, state=state.label)
    return record, found


def _forgive(job: Job) -> dict[int, dict[str, Any]]:
    """Return the fields that let earlier failures of other tasks trip nothing (J14)."""
    return {
        record.task_id: {"forgiven": record.counts[TaskState.FAILED]}
        for record in job.ordinary()
        if record.counts[TaskState.FAILED]
    }


def _fields(record: TaskRecord, *, whole: bool) -> dict[str, Any]:
    """Return what the master forgets (lifecycle.md 6)."""
    if not record.has_elements:
        return {}
    fields: dict[str, Any] = {"canceled": False}
    if whole:
        fields["requeues"] = record.requeues + 1
    if not record.counts[TaskState.RUNNING]:
        fields["started"] = False
    return fields


def _move(
    record: TaskRecord,
    spans: Ranges,
    state: int,
    path: tuple[TaskState, ...],
    columns: dict[str, Any],
) -> TaskMove:
    if state in _ON_NODE:
        return TaskMove(
            task_id=record.task_id,
            ranges=spans,
            was=state,
            path=(TaskState.CANCELING,),
            bump=("requeues",),
            columns={
                "origin": int(CancelOrigin.REQUEUE),
                "request": int(CancelRequest.TASK_CANCEL_ON_REQUEUE),
                "pending": int(TaskState.QUEUED),
            },
        )
    if state == TaskState.QUEUED:
        # Only requeue_count and its place in the job's line change (4.2).
        return TaskMove(
            task_id=record.task_id, ranges=spans, was=state, bump=("requeues",)
        )
    fresh = again(record, spans, state, path)
    fresh.bump = ("requeues",)
    fresh.columns = {**fresh.columns, **columns}
    return fresh
