"""Rules of the specification that are tables, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.calls import deadline_of
from hpcsched.core.job.states import JobState
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.job_bench import ANN, Bench, plain, release, service, sweep
from tests.support.table_walk import task_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.task.spec import TaskSpec

J, T = JobState, TaskState


# -- critical tasks and counts (5.4) --


@pytest.mark.parametrize("make", [sweep, service], ids=["sweep", "service"])
@pytest.mark.parametrize("every", [False, True], ids=["", "fail_on_task_failure"])
@pytest.mark.parametrize(
    ("critical", "count", "trips_at"),
    [
        (None, 0, 0),
        (False, 0, 0),
        (False, 2, 0),  # flag explicitly false: the count becomes 0
        (True, 0, 1),
        (True, 1, 1),
        (True, 3, 3),
        (None, 1, 1),  # count given, flag not: it becomes true
        (None, 3, 3),
        (True, 1_000_000, 0),  # more than there are: never
    ],
)
def test_the_failure_that_trips_a_job(
    make: Callable[..., TaskSpec],
    critical: bool | None,
    count: int,
    trips_at: int,
    *,
    every: bool,
) -> None:
    fields: dict[str, Any] = {"critical": critical, "critical_count": count}
    spec = sweep(4, **fields) if make is sweep else service(**fields)
    bench = Bench(spec, fail_on_task_failure=every).start({1: 4})
    expected = 1 if every else trips_at

    for number in range(1, 4):
        bench.fail(1, number)
        assert bench.stands(J.CANCELING) == (number == expected)
        if number == expected:
            bench.end_all()
            assert bench.stands(J.FAILED)
            return
    assert bench.stands(J.RUNNING)


# -- exit codes (4.4, T10, T11) --


@pytest.mark.parametrize("make", [plain, sweep], ids=["plain", "sweep"])
@pytest.mark.parametrize(
    ("of_job", "of_task", "good", "bad"),
    [
        ("", "", (0,), (1, 3, 137)),
        ("0", "", (0,), (1,)),
        ("0,3..5", "", (0, 3, 4, 5), (1, 2, 6)),
        ("3", "", (3,), (0,)),
        ("3", "0", (0,), (3,)),  # the task's own list replaces the job's
        ("0", "0..max", (0, 1, 255, 2147483647), ()),
        ("0", "min..-1", (), (0, 1)),
        ("0..max", "1", (1,), (0, 2)),
        ("0", "128..159", (137, 143), (0, 1)),
    ],
)
def test_exit_codes_that_count_as_success(
    make: Callable[..., TaskSpec],
    of_job: str,
    of_task: str,
    good: tuple[int, ...],
    bad: tuple[int, ...],
) -> None:
    for code in (*good, *bad):
        fields = {"valid_exit_codes": of_task}
        spec = plain(**fields) if make is plain else sweep(1, **fields)
        bench = Bench(spec, valid_exit_codes=of_job).start()

        bench.end(1, int(make is sweep), code=code)

        wanted = T.FINISHED if code in good else T.FAILED
        assert bench.state(1) is wanted, code


# -- run-time limits with a release task (3.3) --


@pytest.mark.parametrize(
    ("limit", "own", "cluster", "after"),
    [
        (100.0, None, 15, 100),  # no release task: nothing is kept for it
        (100.0, 0.0, 15, 85),
        (100.0, 5.0, 15, 95),
        (100.0, 15.0, 15, 85),
        (100.0, 20.0, 15, 85),  # the cluster's is the most
        (16.0, 0.0, 15, 1),
        (0.0, 5.0, 15, None),
    ],
)
def test_the_end_of_tasks_leaves_time_for_the_release(
    limit: float, own: float | None, cluster: int, after: int | None
) -> None:
    tasks = [plain()] if own is None else [plain(), release(runtime=own)]
    bench = Bench(*tasks, settings=Settings(release_s=cluster), runtime=limit)
    bench.start()
    start = bench.job.start_time
    assert start is not None

    deadline = deadline_of(bench.job, cluster)

    assert deadline == (None if after is None else start + after)


# -- dependants of several tasks (5.1, T28) --


def test_one_failure_among_tasks_of_a_name_fails_the_dependant_at_once() -> None:
    bench = Bench(
        plain("a"),
        sweep(2, "a"),
        plain("b", depends_on=("a",)),
        plain("c", depends_on=("b",)),
        plain("d"),
        fail_dependent_tasks=True,
    ).start({1: 4})

    bench.fail(1)

    assert [bench.state(task) for task in (3, 4, 5)] == [T.FAILED, T.FAILED, T.RUNNING]
    assert bench.note(4)[0] == -2147220564
    bench.end_all()
    assert bench.stands(J.FAILED)


def test_without_the_flag_the_dependant_runs_after_the_last_of_them() -> None:
    bench = Bench(
        plain("a"), sweep(2, "a"), plain("b", depends_on=("a",)), max_cores=4
    ).start({1: 4})

    bench.fail(1)
    bench.end(2, 1)
    assert bench.state(3) is T.QUEUED
    bench.cancel_tasks((2, 2))
    bench.stop(2, 2)

    assert bench.state(3) is T.DISPATCHING


# -- RequeueTask (4.2) --

REQUEUED = {
    T.QUEUED: T.QUEUED,
    T.RUNNING: T.CANCELING,
    T.DISPATCHING: T.CANCELING,
    T.FAILED: T.QUEUED,
    T.CANCELED: T.QUEUED,
}


@pytest.mark.parametrize("rerunnable", [True, False], ids=["rerunnable", "not"])
@pytest.mark.parametrize("state", TaskState, ids=lambda s: s.label)
def test_requeue_of_a_task_in_each_state(state: TaskState, *, rerunnable: bool) -> None:
    bench = task_in(state)
    if not rerunnable:
        record = bench.job.tasks[0]
        record.spec = type(record.spec)(arguments=("x",), is_rerunnable=False)
    command = c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=1)
    count = bench.get("requeues", 1)

    if not rerunnable:
        with pytest.raises(Exception, match="not rerunnable"):
            bench.do(command)
        return
    to = REQUEUED.get(state)
    if to is None:
        assert bench.refused(command).hresult == -2147220916
        return
    bench.do(command)
    assert bench.get("requeues", 1) == count + 1
    if state in {T.FAILED, T.CANCELED}:
        assert bench.state(1) in {to, T.DISPATCHING}
        assert not bench.get("origin", 1)
    else:
        assert bench.state(1) is to


@pytest.mark.parametrize(
    "kind", [TaskType.NODE_PREP, TaskType.NODE_RELEASE, TaskType.SERVICE]
)
@pytest.mark.parametrize("submitted", [False, True])
def test_tasks_of_these_types_are_never_requeued(
    kind: TaskType, *, submitted: bool
) -> None:
    special = service() if kind is TaskType.SERVICE else plain(type=kind)
    others = [] if kind is TaskType.SERVICE else [plain()]
    bench = Bench(special, *others)
    if submitted:
        bench.submit()

    command = c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=1)

    assert bench.refused(command).hresult == -2147220915
