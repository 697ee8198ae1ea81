"""``decide``: every command of a job goes through here. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcsched.core.job import commands as c
from hpcsched.core.job.ahead import recall_ahead, send_ahead, start_ahead
from hpcsched.core.job.calls import cancel_job, finish_job, grant_cores, time_out
from hpcsched.core.job.commandjob import start_command
from hpcsched.core.job.events import EventName
from hpcsched.core.job.excluding import exclude_nodes, review_nodes
from hpcsched.core.job.filtering import (
    fail_activation,
    hold_activation,
    take_verdict,
)
from hpcsched.core.job.holds import end_hold, hold_job, release_job
from hpcsched.core.job.model import Job
from hpcsched.core.job.modifying import modify_job
from hpcsched.core.job.nodes import evict_node, lose_node, sync_node
from hpcsched.core.job.parents import note_parent
from hpcsched.core.job.preempting import end_backfill, preempt_cores
from hpcsched.core.job.recalling import take_back
from hpcsched.core.job.reporting import take_reports
from hpcsched.core.job.requeueing import configure_job, requeue_job
from hpcsched.core.job.service import conclude_service
from hpcsched.core.job.settle import settle
from hpcsched.core.job.submitting import (
    add_tasks,
    create,
    submit_job,
    submit_tasks,
)
from hpcsched.core.job.taskcalls import cancel_tasks, finish_tasks
from hpcsched.core.job.taskmodifying import modify_task
from hpcsched.core.job.taskrequeue import requeue_tasks
from hpcsched.core.job.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.common.errors import HpcError
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.scheduling.inventory import Inventory
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec


@dataclass(slots=True)
class Decision:
    """What a command led to.

    Attributes:
        turn: The events, moves and node changes.
        answer: What the call returns beside the new state.
        refusal: Why it stopped half-way (plural calls), or the verdict on a job that
            was submitted; what was decided before stays.
    """

    turn: Turn
    answer: Any = None
    refusal: HpcError | None = field(default=None)


def new_job(  # noqa: PLR0917  the order of the first event
    job_id: int,
    owner: str,
    spec: JobSpec,
    tasks: Sequence[TaskSpec],
    now: float,
    settings: Settings,
) -> tuple[Job, Decision]:
    """Return a new job in Configuring and the event that made it (J1, J2)."""
    job = Job(job_id, owner, spec, now)
    turn = Turn(job, now, owner, settings)
    create(turn, tuple(tasks))
    return job, Decision(turn)


def decide(
    job: Job,
    command: c.Command,
    now: float,
    settings: Settings,
    inventory: Inventory | None = None,
) -> Decision:
    """Carry out a command on a job, and what follows from it.

    Without an inventory nothing is checked against the nodes of the cluster.

    Raises:
        HpcError: a refusal; nothing has changed.
    """
    caller = getattr(command, "caller", None)
    node = getattr(command, "node", "")
    actor = (
        caller.user if caller is not None else (f"node:{node}" if node else "system")
    )
    turn = Turn(job, now, actor, settings, inventory)
    decision = Decision(turn)
    result = HANDLERS[type(command)](turn, command)
    if result is not None:
        match command:
            case c.AddTasks() | c.SyncNode():
                decision.answer = result
            case c.ModifyJob() if isinstance(result, list):
                decision.answer = result
            case _:
                decision.refusal = result
    if not isinstance(command, c.NoteAside):
        settle(turn)
    return decision


def _note_aside(turn: Turn, command: c.NoteAside) -> None:
    """Say it in the job's own history; nothing of the job changes."""
    if not turn.job.state.terminal:
        name = EventName.JOB_SET_ASIDE if command.aside else EventName.JOB_GOES_ON
        turn.emit(name, message=command.message)


def _tick(turn: Turn, _: c.Tick) -> None:
    time_out(turn)
    end_hold(turn)
    take_back(turn)


HANDLERS: Mapping[type[Any], Callable[[Turn, Any], Any]] = {
    c.SubmitJob: submit_job,
    c.CancelJob: cancel_job,
    c.FinishJob: finish_job,
    c.RequeueJob: requeue_job,
    c.ConfigureJob: configure_job,
    c.ModifyJob: modify_job,
    c.ModifyTask: modify_task,
    c.HoldJob: hold_job,
    c.ReleaseJob: release_job,
    c.NoteParent: note_parent,
    c.AddTasks: add_tasks,
    c.SubmitTasks: submit_tasks,
    c.CancelTasks: cancel_tasks,
    c.RequeueTasks: requeue_tasks,
    c.FinishTasks: finish_tasks,
    c.ConcludeService: conclude_service,
    c.StartCommand: start_command,
    c.GrantCores: grant_cores,
    c.SendAhead: send_ahead,
    c.RecallAhead: recall_ahead,
    c.StartAhead: start_ahead,
    c.PreemptCores: preempt_cores,
    c.EndBackfill: end_backfill,
    c.ExcludeNodes: exclude_nodes,
    c.ReviewNodes: review_nodes,
    c.TakeReports: take_reports,
    c.LoseNode: lose_node,
    c.EvictNode: evict_node,
    c.SyncNode: sync_node,
    c.TakeVerdict: take_verdict,
    c.FailActivation: fail_activation,
    c.HoldActivation: hold_activation,
    c.NoteAside: _note_aside,
    c.Tick: _tick,
}
