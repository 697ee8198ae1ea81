"""The verdict of a validation: Queued, or Failed with a reason (J6, J7, D9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codes
from hpcsched.core.job.parents import check_parents
from hpcsched.core.job.resourcecheck import check_known, check_task_known
from hpcsched.core.job.states import FailureReason, JobState
from hpcsched.core.job.validation import validate_together
from hpcsched.core.task.elements import EARLIER, STARTED
from hpcsched.core.task.states import TASK_TERMINAL, TaskState
from hpcsched.core.template.applying import check_values, template_of

if TYPE_CHECKING:
    from hpcsched.core.job.commands import Kin
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

IN_JOB: Final = (JobState.SUBMITTED, JobState.VALIDATING, JobState.QUEUED)
IN_TASK: Final = (TaskState.SUBMITTED, TaskState.VALIDATING, TaskState.QUEUED)
EXTERNAL_JOB: Final = (
    *(JobState.SUBMITTED, JobState.VALIDATING),
    JobState.EXTERNAL_VALIDATION,
)
EXTERNAL_TASK: Final = (TaskState.SUBMITTED, TaskState.VALIDATING)
OUT_JOB: Final = (JobState.SUBMITTED, JobState.VALIDATING, JobState.FAILED)
OUT_TASK: Final = (TaskState.SUBMITTED, TaskState.VALIDATING, TaskState.FAILED)


def verdict_on(
    turn: Turn, *, resubmitted: bool = False, kin: Kin | None = None
) -> HpcError | None:
    """Return why the job cannot be queued, or None.

    Args:
        turn: Of the job.
        resubmitted: It comes from Configuring, so tasks may have become unrerunnable.
        kin: What its parents say; None: they were asked before.
    """
    job = turn.job
    specs = [record.spec for record in job.tasks]
    try:
        validate_together(job.spec, specs, turn.settings)
        check_values(job.spec, template_of(job.spec, turn.settings.templates))
        if kin is not None and job.spec.parent_job_ids:
            check_parents(job, kin)
        if turn.inventory is not None:
            check_known(job.spec, job.least(), turn.inventory)
            for number, spec in enumerate(specs if job.picky else ()):
                check_task_known(f"spec.tasks[{number}]", spec, turn.inventory)
    except HpcError as refusal:
        return refusal
    if resubmitted:
        task = not_rerunnable(job)
        if task:
            return HpcError("TASK_NOT_RERUNNABLE", task=task)
    return None


def verdict_of_parents(job: Job, kin: Kin) -> HpcError | None:
    """Return why a job that is valid by itself cannot be queued, or None."""
    if not job.spec.parent_job_ids:
        return None
    try:
        check_parents(job, kin)
    except HpcError as refusal:
        return refusal
    return None


def way_in(
    turn: Turn,
) -> tuple[tuple[JobState, ...], tuple[TaskState, ...], dict[str, Any]]:
    """Return where a valid job and its tasks go, and the fields that go with it.

    Into the queue (J6), or first to the submission filter (J5).
    """
    if not turn.settings.submission_filter:
        return IN_JOB, IN_TASK, {}
    again = {"validation": turn.job.validation + 1}
    return EXTERNAL_JOB, EXTERNAL_TASK, again


def rejection(turn: Turn, verdict: HpcError) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a rejected job, and the columns of its tasks (J7)."""
    text = str(verdict)
    patch = {
        "error_code": verdict.hresult,
        "error_message": text,
        "error_params": dict(verdict.facts),
        "failure_reason": FailureReason.EXECUTION_FAILURE,
        "end_time": turn.now,
        "requeued": False,
        "front": (),
    }
    told = f"its job was not valid: {text}"
    note = turn.note(codes.TASK_FAILED_ON_JOB_VALIDATION, told)
    return patch, {"note": note, "end": turn.now}


def not_rerunnable(job: Job) -> str:
    """Return a task that started before, would run again and may not (4.1), or ""."""
    for record in job.ordinary():
        if record.spec.is_rerunnable or not record.counts[TaskState.CONFIGURING]:
            continue
        table = job.table_of(record)
        last = record.base + record.count - 1
        flags = table.column("flags", record.base, last)
        states = table.column("state", record.base, last)
        for flag, state in zip(flags, states, strict=True):
            if flag & (EARLIER | STARTED) and state not in TASK_TERMINAL:
                return f"{job.job_id}.{record.task_id}"
    return ""
