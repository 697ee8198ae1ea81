"""Jobs that wait for others (lifecycle.md 3.4).

A child remembers what each parent said last. Finished is final; a parent that Failed or
was Canceled may be queued again, so the child waits on. Who tells it is the runtime's
business: hearing the same twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.job.stopping import StopOf, cancel_waiting
from hpcsched.core.task.states import CancelOrigin, TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.commands import Kin, NoteParent
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

_FIELD = "spec.parent_job_ids"
_SETTLED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELED)


def check_parents(job: Job, kin: Kin) -> None:
    """Refuse parents that are not there, are drafts, or wait for the job themselves.

    Raises:
        HpcError: PARENT_NOT_FOUND, PARENT_NOT_SUBMITTED, INVALID_PARENT.
    """
    for number in job.spec.parent_job_ids:
        if job.parents.get(number) == JobState.FINISHED:
            continue  # it may have been purged since
        if number == job.job_id:
            problem = "a job cannot be its own parent"
            raise HpcError("INVALID_PARENT", field=_FIELD, problem=problem)
        state = kin.states.get(number)
        if state is None:
            raise HpcError("PARENT_NOT_FOUND", field=_FIELD, parent=number)
        if state is JobState.CONFIGURING:
            raise HpcError("PARENT_NOT_SUBMITTED", field=_FIELD, parent=number)
    if job.job_id in kin.ancestors:
        problem = f"one of these jobs waits for job {job.job_id}"
        raise HpcError("INVALID_PARENT", field=_FIELD, problem=problem)


def known_parents(job: Job, kin: Kin) -> dict[int, int]:
    """Return what the job knows of its parents when it is submitted."""
    known = {n: int(told_as(state)) for n, state in kin.states.items()}
    known |= {n: s for n, s in job.parents.items() if s == JobState.FINISHED}
    return {n: s for n, s in known.items() if n in job.spec.parent_job_ids}


def parents_again(job: Job, kin: Kin | None) -> dict[str, Any]:
    """Return the fields of an ended job that is submitted again."""
    if kin is None or not job.spec.parent_job_ids:
        return {}
    return {"parents": known_parents(job, kin)}


def told_as(state: JobState) -> JobState:
    """Return the state that is worth telling: an end, or that it goes on."""
    return state if state in _SETTLED else JobState.QUEUED


def note_parent(turn: Turn, command: NoteParent) -> None:
    """Take a parent's word; one that was deleted before it Finished ends the child."""
    job, parent = turn.job, command.parent
    if job.state is not JobState.QUEUED or parent not in job.spec.parent_job_ids:
        return
    known = job.parents.get(parent)
    if known == JobState.FINISHED:
        return
    if command.state is None:
        _cancel_orphan(turn, parent)
    elif known != command.state:
        parents = {**job.parents, parent: int(command.state)}
        turn.emit(EventName.JOB_PARENT_CHANGED, patch={"parents": parents})


def _cancel_orphan(turn: Turn, parent: int) -> None:
    text = f"its parent job {parent} was deleted before it had finished"
    error = (codes.PARENT_JOBS_DELETED, text)
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.PARENT_JOBS_DELETED,
        live=error,
        waiting=error,
    )
    cancel_waiting(turn, how, error, {"parent": str(parent)})
