"""Jobs and tasks in each state, and what a path of states means by the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.states import JobState
from hpcsched.core.job.table import JOB_ROWS, JobTrigger
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.job_bench import Bench, plain, release, service, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.task.spec import TaskSpec

J, T = JobState, TaskState

PASSED = {J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION}
"""States that a job only passes: none rests there while there is no filter."""
WAITING = {J.CONFIGURING, *PASSED, J.QUEUED}
#: What follows from a job's state without anybody's asking.
FOLLOWS = (
    *(JobTrigger.END_EMPTY, JobTrigger.CLOSE, JobTrigger.FAIL_FAST),
    *(JobTrigger.LOSE_RESOURCES, JobTrigger.STOPPED, JobTrigger.PREEMPT),
)


def job_in(state: JobState, first: TaskSpec | None = None, **fields: Any) -> Bench:
    """Return a job in a state, with a task canceled by name and one never submitted.

    Args:
        state: Where it is to stand.
        first: Its first task in place of a plain one; a service stands alone.
        fields: More of the job, and the cluster's ``settings``.
    """
    one = first or plain()
    alone = one.type is TaskType.SERVICE
    tasks = (one, release()) if alone else (one, plain(), release())
    how = {"runtime": 60.0, "min_cores": 1, "max_cores": 9, **fields}
    bench = Bench(*tasks, **how)
    if not alone:
        bench.cancel_tasks((2, 0))
    if state is J.CONFIGURING:
        return bench if alone else _with_draft(bench)
    bench.submit()
    if not alone:
        _with_draft(bench)
    if state in PASSED:
        _hold(bench, state)
    if state in WAITING:
        return bench
    bench.grant({1: 2}).run_all()
    bench.now += 20
    if state in {J.FINISHING, J.FINISHED}:
        bench.finish_job() if alone else bench.end(1)
        bench.end_all() if alone and state is J.FINISHED else None
    elif state is J.FAILED:
        bench.conclude(cancel=True) if alone else bench.fail(1)
    elif state in {J.CANCELING, J.CANCELED}:
        bench.cancel("enough")
    if state.terminal:
        bench.end_all()
    assert bench.job.state is state
    return bench


def _with_draft(bench: Bench) -> Bench:
    bench.add(plain(), submit=False)
    return bench


def _hold(bench: Bench, state: JobState) -> None:
    """Put a queued job where none ever rests, the tasks that follow it as well."""
    bench.watcher.told[0, 0] = state
    follows = T.SUBMITTED if state is J.SUBMITTED else T.VALIDATING
    for job in (bench.job, bench.watcher.shadow):
        job.state = state
        for record in job.special.values():
            record.state, record.previous = follows, T.CONFIGURING
            bench.watcher.told[record.task_id, 0] = follows


def task_in(state: TaskState, **fields: Any) -> Bench:
    """Return a job whose first task is in a state; others keep it alive."""
    bench = Bench(plain(), plain(), plain(), min_cores=2, max_cores=2, **fields)
    if state is T.CONFIGURING:
        return Bench(plain(), plain(), **fields)
    if state in {T.QUEUED, T.SUBMITTED, T.VALIDATING, T.FINISHING}:
        bench.submit()
        if state is not T.QUEUED:
            force(bench, state)
        return bench
    if state is T.CANCELED:
        bench.submit()
        bench.cancel_tasks((1, 0))
        return bench.grant({1: 2})
    bench.submit().grant({1: 2})
    if state is not T.DISPATCHING:
        bench.run_all()
    if state is T.FINISHED:
        bench.end(1)
    elif state is T.FAILED:
        while bench.state(1) is not state:
            bench.run_all().fail(1)
    elif state is T.CANCELING:
        bench.cancel_tasks((1, 0))
    assert bench.state(1) is state
    return bench


def dependant_in(state: TaskState) -> Bench:
    """Return a job whose first task depends on the second one, which runs."""
    late = state is T.CONFIGURING
    child, parent = plain("child", depends_on=("parent",)), plain("parent")
    tasks = (plain(), parent) if late else (child, parent)
    bench = Bench(*tasks, fail_dependent_tasks=True, min_cores=1, max_cores=4)
    bench.submit()
    if late:
        bench.add(child, submit=False)
    if state is T.CANCELED:
        bench.cancel_tasks((1, 0))
    if state in {T.CONFIGURING, T.QUEUED, T.CANCELED}:
        bench.grant({1: 4}).run_all()
        return bench
    # One that was canceled holds nobody up, and may be queued again.
    bench.cancel_tasks((2, 0))
    bench.grant({1: 4})
    if state is not T.DISPATCHING:
        bench.run_all()
    if state is T.CANCELING:
        bench.cancel_tasks((1, 0))
    bench.requeue_tasks((2, 0))
    bench.grant({1: 4})
    bench.run(2)
    if state in {T.FINISHED, T.FAILED}:
        bench.end(1, code=int(state is T.FAILED))
    assert bench.state(1) is state
    return bench


def force(bench: Bench, state: TaskState) -> None:
    """Put the first task where none ever rests."""
    for job in (bench.job, bench.watcher.shadow):
        job.tables[0].fill("state", 0, 0, state)
        job.tasks[0].state = state
        job.ready = None
        for table in (job.counts, job.tasks[0].counts):
            table[T.QUEUED] -= 1
            table[state] += 1
    bench.watcher.told[1, 0] = state


def master_in(state: TaskState, kind: str) -> Bench:
    """Return a job whose first task is a master (sweep or service) in a state."""
    many = kind == "service"
    first = service() if many else sweep(3)
    bench = Bench(first, run_until_canceled=True, min_cores=1, max_cores=2)
    if state is T.CONFIGURING:
        return bench
    bench.submit()
    if state is T.QUEUED:
        return bench
    bench.grant({1: 2}).run_all()
    bench.now += 20
    if state is T.CANCELING:
        bench.cancel_tasks((1, 0))
    elif state is T.CANCELED:
        bench.cancel_tasks((1, 0))
        bench.end_all()
    elif state in {T.FINISHED, T.FAILED}:
        if many:
            bench.conclude()
        bench.end_all(0 if state is T.FINISHED else 1)
    assert bench.state(1) is state, bench.state(1)
    return bench


def path_of(bench: Bench, task: int = 1) -> tuple[TaskState, ...]:
    """Return the states that a plain task passed in the last command."""
    assert bench.last is not None
    return tuple(
        TaskState(change.state)
        for _, changes in bench.last.turn.events
        for change in changes
        if change.task_id == task and not change.ranges
    )


def job_path(bench: Bench) -> tuple[JobState, ...]:
    """Return the states that the job passed in the last command."""
    assert bench.last is not None
    return tuple(
        JobState(change.state)
        for _, changes in bench.last.turn.events
        for change in changes
        if not change.task_id
    )


def explained(
    state: JobState, passed: Sequence[JobState], trigger: JobTrigger | None
) -> bool:
    """Say whether rows of the table lead along a path.

    The first row is one of the trigger; None, as the rest: rows of what follows.
    """
    if trigger is None and not passed:
        return True
    for one in FOLLOWS if trigger is None else (trigger,):
        for row in JOB_ROWS[state, one]:
            for path in row.paths:
                fits = tuple(passed[: len(path)]) == path and (path or trigger)
                after = path[-1] if path else state
                if fits and explained(after, passed[len(path) :], None):
                    return True
    return False
