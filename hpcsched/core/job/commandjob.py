"""Commands: jobs that run outside the queue, one task per node (api.md 8, D20)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.turn import move
from hpcsched.core.job.verdict import IN_JOB, IN_TASK
from hpcsched.core.task.elements import SENT
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.commands import StartCommand
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn


def start_command(turn: Turn, command: StartCommand) -> None:
    """Take a command through the queue without waiting there, and start its tasks.

    A command needs no cores. Its tasks on nodes that cannot be reached end Failed at
    once; none of them is ever run again.

    Raises:
        HpcError: PERMISSION_DENIED; INVALID_OPERATION for any other job;
            JOB_NOT_CONFIGURING.
    """
    job = turn.job
    command.caller.require_administrator(f"start command {job.job_id}")
    refuse_unless_command(job)
    require(job.state, JobTrigger.SUBMIT, job.job_id)
    tasks = [t for t in job.ordinary() if t.state is TaskState.CONFIGURING]
    turn.emit(
        EventName.JOB_SUBMITTED,
        path=IN_JOB,
        patch={"submit_time": turn.now},
        moves=[move(t, t.all_ranges(), TaskState.CONFIGURING, *IN_TASK) for t in tasks],
    )
    found = {t.task_id: command.nodes.get(t.task_id) for t in tasks}
    uses: dict[int, tuple[Any, ...]] = {
        node_id: ((), int(UsePhase.READY), True)
        for node_id in found.values()
        if node_id is not None
    }
    turn.emit(
        EventName.JOB_STARTED,
        path=(JobState.RUNNING,),
        patch={"start_time": turn.now, "last_nodes": ()},
        uses=uses,
    )
    moves = []
    lost = []
    for task in tasks:
        node_id = found[task.task_id]
        ranges = task.all_ranges()
        if node_id is None:
            text = f"node {task.spec.node} is not reachable"
            text = command.refused.get(task.task_id, text)
            note = turn.note(codes.NODE_UNREACHABLE, text)
            failed = TaskState.FAILED
            columns = {"note": note, "end": turn.now}
            lost.append(move(task, ranges, TaskState.QUEUED, failed, **columns))
        else:
            moves.append(
                TaskMove(
                    task_id=task.task_id,
                    ranges=ranges,
                    was=TaskState.QUEUED,
                    path=(TaskState.DISPATCHING,),
                    columns={"node": node_id},
                    flags=SENT,
                )
            )
    if lost:
        turn.emit(EventName.TASKS_ENDED, moves=lost)
    if moves:
        turn.emit(EventName.TASKS_DISPATCHED, moves=moves)


def refuse_unless_command(job: Job) -> None:
    """Refuse a job of users.

    Raises:
        HpcError: INVALID_OPERATION.
    """
    if job.spec.job_type is not JobType.ADMIN:
        _refuse(job, "start as a command")


def refuse_command(job: Job, operation: str) -> None:
    """Refuse a command.

    Raises:
        HpcError: INVALID_OPERATION.
    """
    if job.spec.job_type is JobType.ADMIN:
        _refuse(job, f"{operation} a command")


def _refuse(job: Job, operation: str) -> None:
    state = job.state.label
    raise HpcError(
        "INVALID_OPERATION", job_id=job.job_id, state=state, operation=operation
    )
