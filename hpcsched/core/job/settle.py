"""What follows by itself from a job's state, until nothing more does.

Dispatching, failing fast, closing, running node releases, ending: each step looks at the
state only, so it makes no difference whether a restart came in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import Job, TaskRecord, UsePhase
from hpcsched.core.job.placing import place, shrink
from hpcsched.core.job.requeueing import requeue_now
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
)
from hpcsched.core.job.stopping import StopOf, begin_stop, stop_all
from hpcsched.core.job.turn import move, runs_of
from hpcsched.core.task.elements import SENT
from hpcsched.core.task.states import CancelOrigin, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.turn import Turn

_UNSETTLED = (UsePhase.PREPARING, UsePhase.RELEASING, UsePhase.LEAVING)


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
    if _fail_dependents(turn) or _fail_fast(turn) or _close(turn):
        return
    if _lost_resources(turn):
        return
    _prepare(turn)
    place(turn)
    shrink(turn)
    _release(turn)


def _fail_fast(turn: Turn) -> bool:
    """J14: a critical failure stops the job at once (lifecycle.md 5.4)."""
    job = turn.job
    failed = next((task for task in job.ordinary() if _trips(job, task)), None)
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
        failure=FailureReason.EXECUTION_FAILURE,
    )
    return True


def _trips(job: Job, task: TaskRecord) -> bool:
    failed = task.counts[TaskState.FAILED]
    if not failed:
        return False
    spec = task.spec
    if spec.critical is False or (spec.critical is None and not spec.critical_count):
        return job.spec.fail_on_task_failure
    return failed >= max(spec.critical_count, 1) or job.spec.fail_on_task_failure


def _fail_dependents(turn: Turn) -> bool:
    """T28: with FailDependentTasks a failed task fails those that wait for it."""
    job = turn.job
    if not job.spec.fail_dependent_tasks:
        return False
    failed = {t.spec.name for t in job.ordinary() if t.counts[TaskState.FAILED]}
    failed.discard("")
    moves: list[TaskMove] = []
    for record in job.ordinary():
        if record.counts[TaskState.QUEUED] and failed & set(record.spec.depends_on):
            note = turn.note(
                codes.DEPENDENCY_FAILED, "a task that it depends on failed"
            )
            moves.extend(
                move(record, spans, state, TaskState.FAILED, note=note, end=turn.now)
                for state, spans in runs_of(job, record)
                if state == TaskState.QUEUED
            )
    if moves:
        turn.emit(EventName.TASKS_ENDED, moves=moves)
    return bool(moves)


def _close(turn: Turn) -> bool:
    """J12, J13: the last submitted task is terminal."""
    job = turn.job
    counts = job.counts
    waiting = counts[TaskState.SUBMITTED] + counts[TaskState.VALIDATING]
    if (
        waiting + counts[TaskState.QUEUED] + job.on_nodes()
        or job.spec.run_until_canceled
    ):
        return False
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
        error=None,
    )
    return True


def result_of(job: Job) -> JobState:
    """Return how a job that ends by itself ends (D11)."""
    counts = job.counts
    if counts[TaskState.FAILED]:
        return JobState.FAILED
    if counts[TaskState.CANCELED] + counts[TaskState.CONFIGURING] == sum(counts) > 0:
        return JobState.CANCELED
    return JobState.FINISHED


def _end_empty(turn: Turn) -> None:
    """J10: a queued job without anything to run, unless it is to hold its resources."""
    job = turn.job
    counts = job.counts
    open_ = counts[TaskState.QUEUED] + counts[TaskState.SUBMITTED]
    if open_ + counts[TaskState.VALIDATING] or job.spec.run_until_canceled:
        return
    end_job(turn, result_of(job))


def _lost_resources(turn: Turn) -> bool:
    """J24, J25: what is left cannot run the job; it is queued again, or fails."""
    job = turn.job
    if job.spec.job_type is JobType.ADMIN or job.on_nodes():
        return False
    if any(use.phase in _UNSETTLED for use in job.uses.values()):
        return False
    if sum(len(use.cores) for use in job.uses.values()) >= job.min_cores():
        return False
    gone: dict[int, tuple[Any, ...] | None] = dict.fromkeys(job.uses)
    if job.auto_requeue_count < turn.settings.job_retries:
        turn.emit(
            EventName.JOB_LOST_RESOURCES,
            path=(JobState.QUEUED,),
            patch={
                "auto_requeue_count": job.auto_requeue_count + 1,
                "start_time": None,
            },
            uses=gone,
            message="the nodes that are left do not suffice",
        )
        return True
    text = "its nodes were lost too often"
    how = StopOf(
        end=TaskState.FAILED,
        origin=CancelOrigin.SYSTEM,
        request=CancelRequest.RESOURCE_FAILURE,
        live=(codes.RESOURCE_FAILURE, text),
        waiting=(codes.RESOURCE_FAILURE, text),
    )
    turn.emit(
        EventName.JOB_LOST_RESOURCES,
        path=(JobState.FAILED,),
        patch={
            "error_code": codes.RESOURCE_FAILURE,
            "error_message": text,
            "failure_reason": FailureReason.RESOURCE_FAILURE,
            "end_time": turn.now,
            "front": (),
        },
        moves=stop_all(turn, how),
        uses=gone,
        message=text,
    )
    return True


def _prepare(turn: Turn) -> None:
    """Start the node preparation on new nodes; without one they are ready."""
    job = turn.job
    new = [use for use in job.uses.values() if use.phase is UsePhase.NEW]
    if not new:
        return
    prep = job.typed(TaskType.NODE_PREP)
    if prep is None:
        uses = {u.node_id: (u.cores, int(UsePhase.READY), True) for u in new}
        turn.emit(EventName.NODE_PREPARED, uses=uses)
        return
    uses = {u.node_id: (u.cores, int(UsePhase.PREPARING), False) for u in new}
    turn.emit(
        EventName.TASKS_DISPATCHED,
        moves=_per_node(prep, [u.node_id for u in new]),
        uses=uses,
    )


def _per_node(record: TaskRecord, nodes: list[int]) -> list[TaskMove]:
    """Return the move that makes and dispatches one new subtask per node."""
    first = record.count + 1
    return [
        TaskMove(
            task_id=record.task_id,
            ranges=((first, first + len(nodes) - 1),),
            path=(TaskState.QUEUED, TaskState.DISPATCHING),
            columns={"node": nodes},
            flags=SENT,
        )
    ]


def _release(turn: Turn) -> None:
    """Leaving nodes: wait for what runs there, run the release task, give them back."""
    job = turn.job
    record = job.typed(TaskType.NODE_RELEASE)
    wanted = record is not None and turn.settings.release_s > 0 and not job.forced
    start: list[int] = []
    uses: dict[int, tuple[Any, ...] | None] = {}
    for use in job.uses.values():
        if use.phase is not UsePhase.LEAVING or use.busy:
            continue
        if wanted and use.prepared:
            start.append(use.node_id)
            uses[use.node_id] = (use.cores, int(UsePhase.RELEASING), use.prepared)
        else:
            uses[use.node_id] = None
    if uses:
        moves = _per_node(record, start) if record is not None and start else []
        turn.emit(EventName.NODE_RELEASING, moves=moves, uses=uses)


def _wind_down(turn: Turn) -> None:
    """All tasks stopped, then NodeRelease everywhere, then the terminal state (S3)."""
    job = turn.job
    prep = job.typed(TaskType.NODE_PREP)
    if job.on_nodes() or (prep is not None and prep.open):
        return
    leaving = {
        use.node_id: (use.cores, int(UsePhase.LEAVING), use.prepared)
        for use in job.uses.values()
        if use.phase not in (UsePhase.LEAVING, UsePhase.RELEASING)
    }
    if leaving and job.typed(TaskType.NODE_RELEASE) is not None and not job.forced:
        turn.emit(EventName.NODE_RELEASING, uses=leaving)
    _release(turn)
    release = job.typed(TaskType.NODE_RELEASE)
    if release is not None and release.open:
        return
    if job.pending_end is JobState.QUEUED:
        requeue_now(turn)
    else:
        end = job.pending_end
        by_itself = end is None or end is JobState.FINISHING
        end_job(turn, result_of(job) if by_itself else end)  # type: ignore[arg-type]


def end_job(turn: Turn, state: JobState) -> None:
    """Reach a terminal state: tasks that were never submitted go with it (T20)."""
    job = turn.job
    note = None
    moves = []
    for record in job.ordinary():
        for was, spans in (
            runs_of(job, record) if record.counts[TaskState.CONFIGURING] else ()
        ):
            if was == TaskState.CONFIGURING:
                note = turn.note(
                    codes.CANCELED_BEFORE_ASSIGNMENT,
                    "the job ended before the task was submitted",
                )
                moves.append(
                    move(
                        record,
                        spans,
                        was,
                        TaskState.CANCELED,
                        origin=int(CancelOrigin.SYSTEM),
                        note=note,
                        end=turn.now,
                    )
                )
    patch: dict[str, Any] = {
        "end_time": turn.now,
        "pending_end": None,
        "forced": False,
        "graceful": False,
        "requeued": False,
        "front": (),
    }
    failed = job.counts[TaskState.FAILED]
    if state is JobState.FAILED and not job.error_message:
        patch["error_code"] = codes.TASK_FAILURE
        patch["error_message"] = (
            "1 task failed" if failed == 1 else f"{failed} tasks failed"
        )
        patch["failure_reason"] = FailureReason.EXECUTION_FAILURE
    turn.emit(
        EventName.JOB_ENDED,
        path=(state,),
        patch=patch,
        moves=moves,
        uses=dict.fromkeys(job.uses),
        message=patch.get("error_message", job.error_message),
    )
