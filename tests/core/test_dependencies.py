"""Dependencies by task name: lifecycle.md 5.1 and T28."""

from __future__ import annotations

import pytest

from hpcsched.core.job.show import task_view
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import Bench, plain, sweep

S = TaskState


@pytest.mark.parametrize("end", ["finishes", "fails", "is canceled"])
def test_a_dependant_waits_until_the_other_ends_however_it_does(end: str) -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",))).start()
    assert bench.state(2) is S.QUEUED
    assert task_view(bench.job, bench.job.tasks[1], 0, str).pending_reason == (
        "waits for a"
    )

    if end == "is canceled":
        bench.cancel_tasks((1, 0))
        bench.stop(1)
    else:
        bench.end(1, code=int(end == "fails"))

    assert bench.state(2) is S.DISPATCHING


def test_a_name_may_stand_for_several_tasks_and_all_are_waited_for() -> None:
    bench = Bench(plain("a"), plain("a"), plain("b", depends_on=("a",))).start()

    bench.end(2)
    assert bench.state(3) is S.QUEUED
    bench.end(1)

    assert bench.state(3) is S.DISPATCHING


def test_a_sweep_counts_as_done_when_all_its_elements_are() -> None:
    bench = Bench(sweep(3, "a"), plain("b", depends_on=("a",))).start({1: 4})

    bench.end(1, 1).fail(1, 2)
    assert bench.state(2) is S.QUEUED
    bench.end(1, 3)

    assert bench.state(2) is S.DISPATCHING


def test_tasks_behind_a_waiting_one_start_before_it() -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",)), plain())

    bench.start({1: 2})

    assert [bench.state(t) for t in (1, 2, 3)] == [S.RUNNING, S.QUEUED, S.RUNNING]


def test_a_waiting_plain_task_is_never_started_in_place_of_another() -> None:
    waiting = [plain("b", depends_on=("a",)) for _ in range(3)]
    bench = Bench(plain("a"), *waiting, plain("c"), plain("d")).submit().grant({1: 4})

    assert [bench.state(t) for t in range(1, 7)] == [
        S.DISPATCHING,
        *[S.QUEUED] * 3,
        *[S.DISPATCHING] * 2,
    ]


def test_a_chain_runs_one_after_the_other_to_its_end() -> None:
    names = [f"t{n}" for n in range(6)]
    chain = [
        plain(name, depends_on=tuple(names[n - 1 : n])) for n, name in enumerate(names)
    ]
    bench = Bench(*chain).submit().grant({1: 4})

    for task in range(1, 7):
        ((record, _),) = bench.active()
        assert record.task_id == task
        bench.end(task)

    assert bench.stands(JobState.FINISHED)


def test_a_queued_dependant_waits_again_when_its_parent_is_queued_again() -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",)), plain(), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.requeue_tasks((1, 0))

    bench.grant({1: 4}).run_all()

    assert (bench.state(1), bench.state(2)) == (S.RUNNING, S.QUEUED)


def test_queueing_a_task_again_does_not_queue_its_dependants() -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",)), plain()).start()
    bench.fail(1).run_all().end(2)

    bench.requeue_tasks((1, 0))

    assert bench.state(2) is S.FINISHED


def test_late_tasks_may_depend_on_earlier_ones() -> None:
    bench = Bench(plain("a")).start()

    bench.add(plain("b", depends_on=("a",)))

    assert bench.state(2) is S.QUEUED
    bench.end(1)
    bench.grant()
    assert bench.state(2) is S.DISPATCHING


def test_a_failed_task_fails_its_dependants_if_the_job_says_so() -> None:
    bench = Bench(
        plain("a"),
        plain("b", depends_on=("a",)),
        sweep(2, "c", depends_on=("b",)),
        plain("d"),
        fail_dependent_tasks=True,
    ).start()

    bench.fail(1)

    assert bench.state(2) is S.FAILED
    assert bench.note(2)[0] == -2147220564
    assert bench.states(3) == ["Failed", "Failed"]
    assert bench.state(4) is S.RUNNING


def test_a_canceled_task_does_not_fail_its_dependants() -> None:
    bench = Bench(
        plain("a"), plain("b", depends_on=("a",)), fail_dependent_tasks=True
    ).submit()

    bench.cancel_tasks((1, 0))
    bench.grant()

    assert bench.state(2) is S.DISPATCHING


def test_a_sweep_fails_its_dependants_once_it_has_failed_itself() -> None:
    bench = Bench(
        sweep(2, "a"), plain("b", depends_on=("a",)), fail_dependent_tasks=True
    ).start()

    bench.fail(1, 1)
    assert bench.state(2) is S.QUEUED
    bench.end(1, 2)

    assert bench.state(2) is S.FAILED


def test_a_dependant_that_runs_is_stopped_when_its_requeued_parent_fails() -> None:
    bench = Bench(
        plain("a"), plain("b", depends_on=("a",)), plain(), fail_dependent_tasks=True
    ).submit()
    bench.cancel_tasks((1, 0))
    bench.grant().run_all()
    bench.requeue_tasks((1, 0))
    bench.run_all()
    assert (bench.state(1), bench.state(2)) == (S.RUNNING, S.RUNNING)

    bench.fail(1)

    assert bench.state(2) is S.CANCELING
    bench.stop(2)
    assert bench.state(2) is S.FAILED
