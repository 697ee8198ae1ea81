"""Calls on single tasks: cancel and finish (T12 to T17, T21; S5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.calls import check_message
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.job.states import CancelRequest, JobType
from hpcsched.core.job.stopping import StopOf, stop_elements
from hpcsched.core.job.turn import runs_of
from hpcsched.core.task.states import CancelOrigin, TaskState
from hpcsched.core.task.table import TaskTrigger, allowed

if TYPE_CHECKING:
    from hpcsched.core.job.commands import CancelTasks, FinishTasks, TaskKey
    from hpcsched.core.job.turn import Turn


def cancel_tasks(turn: Turn, command: CancelTasks) -> HpcError | None:
    """Cancel tasks in order; those before the first refusal stay canceled (4.3).

    Returns:
        The refusal that stopped the list, or None.

    Raises:
        HpcError: the first task was refused, so nothing has changed.
    """
    job = turn.job
    if job.spec.job_type is JobType.ADMIN:
        command.caller.require_administrator(f"cancel tasks of command {job.job_id}")
    command.caller.require_operator(job.owner, f"cancel tasks of job {job.job_id}")
    check_message(command.message)
    for number, key in enumerate(command.tasks):
        try:
            _cancel(turn, key, command)
        except HpcError as refusal:
            refusal.facts["done"] = str(number)
            if not number:
                raise
            return refusal
    return None


def _cancel(turn: Turn, key: TaskKey, command: CancelTasks) -> None:
    job = turn.job
    record, ranges = find_elements(job, key)
    whole = record.has_elements and key[1] == 0
    found = runs_of(job, record, ranges)
    state = record.state if whole else TaskState(found[0][0])
    trigger = TaskTrigger.FORCE_CANCEL if command.force else TaskTrigger.CANCEL
    if not allowed(state, trigger):
        raise HpcError(
            "INVALID_CANCEL_TASK_STATE", task=show(job.job_id, key), state=state.label
        )
    request = CancelRequest.CANCEL_BY_USER
    if command.force:
        request = CancelRequest.CANCEL_FORCE_BY_USER
    text = command.message
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.USER_TASK,
        request=request,
        live=(codes.CANCELED_DURING_EXECUTION, text),
        waiting=(codes.CANCELED_BEFORE_ASSIGNMENT, text),
        force=command.force,
    )
    tasks: dict[int, dict[str, Any]] = {}
    if whole:
        tasks[record.task_id] = {"canceled": True}
    turn.emit(
        EventName.TASKS_CANCEL_REQUESTED,
        moves=stop_elements(turn, record, how, ranges),
        tasks=tasks,
        message=text,
    )


def finish_tasks(turn: Turn, command: FinishTasks) -> HpcError | None:
    """End running tasks as Finished, in order (T21).

    Returns:
        The refusal that stopped the list, or None.

    Raises:
        HpcError: the first task was refused, so nothing has changed.
    """
    job = turn.job
    if job.spec.job_type is JobType.ADMIN:
        command.caller.require_administrator(f"finish tasks of command {job.job_id}")
    command.caller.require_operator(job.owner, f"finish tasks of job {job.job_id}")
    check_message(command.message)
    for number, key in enumerate(command.tasks):
        try:
            _finish(turn, key, command.message)
        except HpcError as refusal:
            refusal.facts["done"] = str(number)
            if not number:
                raise
            return refusal
    return None


def _finish(turn: Turn, key: TaskKey, text: str) -> None:
    job = turn.job
    record, ranges = find_elements(job, key)
    whole = record.has_elements and key[1] == 0
    state = record.state if whole else TaskState(runs_of(job, record, ranges)[0][0])
    if state is not TaskState.RUNNING:
        raise HpcError(
            "TASK_NOT_RUNNING", task=show(job.job_id, key), state=state.label
        )
    how = StopOf(
        end=TaskState.FINISHED,
        origin=CancelOrigin.USER_TASK,
        request=CancelRequest.FINISH,
        live=(codes.FINISHED_DURING_EXECUTION, text),
        waiting=(codes.FINISHED_DURING_EXECUTION, text),
    )
    moves = stop_elements(turn, record, how, ranges)
    tasks = {record.task_id: {"concluded": True}} if whole and record.serving else {}
    name = EventName.TASKS_FINISH_REQUESTED
    turn.emit(name, moves=moves, tasks=tasks, message=text)
