"""What follows by itself from a job's state, until nothing more does.

Dispatching, failing fast, closing, running node releases, ending: each step looks at
the state only, so it makes no difference whether a restart came in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codes
from hpcsched.core.job.blame import blame
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import Job, TaskRecord, UsePhase
from hpcsched.core.job.nodes import give_up_lost
from hpcsched.core.job.pernode import drop_abandoned, prepare, release, wants_release
from hpcsched.core.job.placing import place
from hpcsched.core.job.preempting import give_up, go_back_empty, requeue_preempted
from hpcsched.core.job.requeueing import requeue_now
from hpcsched.core.job.resources import lack_resources
from hpcsched.core.job.service import look_after
from hpcsched.core.job.shrinking import shrink
from hpcsched.core.job.states import (
    CancelRequest,
    JobState,
)
from hpcsched.core.job.stopping import (
    LIVE,
    WAIT,
    StopOf,
    begin_stop,
    cancel_unsubmitted,
    stop_elements,
    told,
)
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.job.uses import READY, Shelf
from hpcsched.core.job.waiting import held_back
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.turn import Turn

_STAYED: Final = (Shelf.NEW, Shelf.PREPARING, *READY, Shelf.LOST)


def settle(turn: Turn) -> None:
    """Do what the job's state calls for; at the end nothing is left to do."""
    job = turn.job
    while True:
        before = len(turn.events)
        match job.state:
            case JobState.RUNNING:
                _run(turn)
            case JobState.CANCELING | JobState.FINISHING:
                _wind_down(turn)
            case JobState.QUEUED:
                _end_empty(turn)
            case _:
                pass
        if len(turn.events) == before:
            return


def _run(turn: Turn) -> None:
    if give_up_lost(turn) or drop_abandoned(turn):
        return
    if _fail_dependents(turn) or _fail_fast(turn) or _close(turn):
        return
    if go_back_empty(turn) or lack_resources(turn):
        return
    resting = turn.settings.restore_mode
    if not resting:
        prepare(turn)
    give_up(turn)
    if not resting:
        look_after(turn)
        place(turn)
    shrink(turn)
    release(turn)


def _fail_fast(turn: Turn) -> bool:
    """J14: a critical failure stops the job at once (lifecycle.md 5.4)."""
    job = turn.job
    if not job.counts[TaskState.FAILED]:
        return False
    may_trip = job.ordinary() if job.spec.fail_on_task_failure else job.critical
    failed = next((task for task in may_trip if _trips(job, task)), None)
    if failed is None:
        return False
    name = f"{job.job_id}.{failed.task_id}"
    text = f"task {name} failed, and the job fails with it"
    begin_stop(
        turn,
        EventName.JOB_FAILED_FAST,
        StopOf(
            end=TaskState.FAILED,
            origin=CancelOrigin.SYSTEM,
            request=CancelRequest.NONE,
            live=(codes.TASKS_JOB_CANCELED, text),
            waiting=(codes.TASKS_JOB_CANCELED, text),
        ),
        state=JobState.CANCELING,
        end=JobState.FAILED,
        error=(codes.TASK_FAILURE, text),
        params={"task": name},
        failure=blame(job),
    )
    return True


def _trips(job: Job, task: TaskRecord) -> bool:
    failed = task.counts[TaskState.FAILED]
    if failed <= task.forgiven:
        return False
    spec = task.spec
    if spec.critical is False or (spec.critical is None and not spec.critical_count):
        return job.spec.fail_on_task_failure
    return failed >= max(spec.critical_count, 1) or job.spec.fail_on_task_failure


def _fail_dependents(turn: Turn) -> bool:
    """T28: with FailDependentTasks a failed task fails those that wait for it."""
    job = turn.job
    if not job.spec.fail_dependent_tasks or not job.counts[TaskState.FAILED]:
        return False
    failed = {t.spec.name for t in job.ordinary() if t.state is TaskState.FAILED}
    failed.discard("")
    moves: list[TaskMove] = []
    for record in job.ordinary():
        if record.open and not failed.isdisjoint(record.spec.depends_on):
            moves.extend(_fail_dependent(turn, record))
    if moves:
        turn.emit(EventName.TASKS_ENDED, moves=moves)
    return bool(moves)


def _fail_dependent(turn: Turn, record: TaskRecord) -> list[TaskMove]:
    """Fail what waits, and stop what runs although its parent was requeued since."""
    error = (codes.DEPENDENCY_FAILED, "a task that it depends on failed")
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.NONE,
        live=error,
        waiting=error,
        keep_waiting=True,
    )
    moves = []
    for state, spans in runs_of(turn.job, record):
        if state in WAIT:
            note = turn.note(*error)
            failed = TaskState.FAILED
            moves.append(move(record, spans, state, failed, note=note, end=turn.now))
        elif state in LIVE:
            moves.extend(stop_elements(turn, record, how, spans))
    return moves


def _close(turn: Turn) -> bool:
    """J12, J13: the last submitted task is terminal."""
    job = turn.job
    counts = job.counts
    waiting = counts[TaskState.SUBMITTED] + counts[TaskState.VALIDATING]
    if (
        waiting + counts[TaskState.QUEUED] + job.on_nodes()
        or job.service is not None
        or job.spec.run_until_canceled
    ):
        return False
    if not job.special and not job.uses.on(Shelf.LOST):
        end_job(turn, result_of(job), JobState.FINISHING)  # nothing else is to be done
        return True
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.NONE,
        live=(0, ""),
        waiting=(0, ""),
        keep_waiting=True,
    )
    begin_stop(
        turn,
        EventName.JOB_CLOSING,
        how,
        state=JobState.FINISHING,
        end=JobState.FINISHING,
        error=(0, "") if job.error_message else None,
    )
    return True


def result_of(job: Job) -> JobState:
    """Return how a job that ends by itself ends (D11)."""
    counts = job.counts
    if counts[TaskState.FAILED]:
        return JobState.FAILED
    if counts[TaskState.CANCELED] + counts[TaskState.CONFIGURING] == sum(counts) > 0:
        return JobState.CANCELED
    service = job.typed(TaskType.SERVICE)
    if service is not None and service.canceled and not sum(counts):
        return JobState.CANCELED  # before it had an instance
    return JobState.FINISHED


def _end_empty(turn: Turn) -> None:
    """J10: a queued job without anything to run, unless it is to hold its resources."""
    job = turn.job
    counts = job.counts
    open_ = counts[TaskState.QUEUED] + counts[TaskState.SUBMITTED]
    if open_ + counts[TaskState.VALIDATING] or job.spec.run_until_canceled:
        return
    if job.service is not None:
        return
    if not any(counts) and held_back(job):
        return  # an empty job still ends after its parents, and not before its time
    end_job(turn, result_of(job))


def _wind_down(turn: Turn) -> None:
    """All tasks stopped, then NodeRelease everywhere, then the terminal state (S3)."""
    job = turn.job
    if give_up_lost(turn) or drop_abandoned(turn):
        return
    prep = job.typed(TaskType.NODE_PREP)
    if job.on_nodes() or (prep is not None and prep.open):
        return
    task = job.typed(TaskType.NODE_RELEASE)
    if task is not None and wants_release(job):
        _leave(turn)
    release(turn)
    if task is not None and task.open:
        return
    if job.pending_end is JobState.QUEUED:
        if job.request_cancel is not CancelRequest.PREEMPTION:
            requeue_now(turn)
        elif not _fail_fast(turn):
            requeue_preempted(turn)
    else:
        end = job.pending_end
        by_itself = end is None or end is JobState.FINISHING
        end_job(turn, result_of(job) if by_itself else end)  # type: ignore[arg-type]


def _leave(turn: Turn) -> None:
    """Leave every node that the job is not leaving yet."""
    leaving = {
        use.node_id: (use.cores, int(UsePhase.LEAVING), use.prepared)
        for use in turn.job.uses.on(*_STAYED)
    }
    if leaving:
        turn.emit(EventName.NODE_RELEASING, uses=leaving)


def end_job(turn: Turn, state: JobState, *before: JobState) -> None:
    """Reach a terminal state: tasks that were never submitted go with it (T20).

    ``before`` are states that it passes on the way there.
    """
    job = turn.job
    patch: dict[str, Any] = {
        "end_time": turn.now,
        "pending_end": None,
        "forced": False,
        "graceful": False,
        "requeued": False,
        "front": (),
    }
    if before:
        patch["request_cancel"] = CancelRequest.NONE
    known = bool(job.error_message)
    if known and job.state is JobState.QUEUED:
        known = False  # why an earlier run was broken off is not how the job ends
        patch |= told((0, ""))
    failed = job.counts[TaskState.FAILED]
    if state is JobState.FAILED and not known:
        patch["error_code"] = codes.TASK_FAILURE
        patch["error_message"] = (
            "1 task failed" if failed == 1 else f"{failed} tasks failed"
        )
        patch["error_params"] = {"failed": str(failed), "total": str(sum(job.counts))}
        patch["failure_reason"] = blame(job)
    turn.emit(
        EventName.JOB_ENDED,
        path=(*before, state),
        patch=patch,
        moves=cancel_unsubmitted(turn),
        uses=dict.fromkeys(job.uses),
        message=patch.get("error_message", job.error_message),
    )
