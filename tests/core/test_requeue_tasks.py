"""RequeueTask and RequeueTasks: S2, sections 4.2 and 4.3, D7."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import StopTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import ANN, BOB, Bench, plain, prep, release, sweep

S = TaskState


def again(bench: Bench, *keys: c.TaskKey) -> c.RequeueTasks:
    return c.RequeueTasks(caller=ANN, tasks=keys, submit_order=9)


def test_a_failed_task_of_a_running_job_is_queued_and_starts_next() -> None:
    bench = Bench(*(plain() for _ in range(4))).submit().grant({1: 1})
    bench.run(1).fail(1)
    assert bench.state(2) is S.DISPATCHING

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.QUEUED
    bench.run(2).end(2)
    assert bench.state(1) is S.DISPATCHING
    assert bench.state(3) is S.QUEUED
    assert bench.get("requeues", 1) == 1
    assert bench.get("attempt", 1) == 2
    assert bench.job.requeue_count == 0


def test_a_running_task_is_canceled_first_then_starts_next() -> None:
    bench = Bench(*(plain() for _ in range(3))).submit().grant({1: 1}).run_all()

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.CANCELING
    assert bench.get("origin", 1) == CancelOrigin.REQUEUE
    assert bench.told(StopTasks)[0][1].grace_ms == 15000
    bench.stop(1)
    assert bench.state(1) is S.DISPATCHING
    assert bench.state(2) is S.QUEUED
    assert bench.get("auto", 1) == 0


def test_a_task_under_way_to_its_node_is_called_back_first() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1})

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.CANCELING
    bench.refuse(1)
    assert (bench.state(1), bench.state(2)) == (S.DISPATCHING, S.QUEUED)


def test_of_a_queued_task_only_the_count_and_the_place_in_line_change() -> None:
    bench = Bench(plain(), plain(), plain()).submit()

    bench.requeue_tasks((3, 0))

    assert bench.state(3) is S.QUEUED
    assert (bench.get("requeues", 3), bench.get("attempt", 3)) == (1, 1)
    bench.grant({1: 1})
    assert bench.state(3) is S.DISPATCHING


def test_tasks_of_one_call_start_in_its_order_before_those_of_earlier_calls() -> None:
    bench = Bench(*(plain() for _ in range(5))).submit()
    bench.requeue_tasks((5, 0))
    bench.requeue_tasks((4, 0), (2, 0))

    order = []
    bench.grant({1: 1})
    for _ in range(5):
        ((record, _),) = bench.active()
        order.append(record.task_id)
        bench.end(record.task_id)

    assert order == [4, 2, 5, 1, 3]


def test_a_finished_task_cannot_be_queued_again() -> None:
    bench = Bench(plain(), plain()).start()
    bench.end(1)

    refusal = bench.refused(again(bench, (1, 0)))

    assert refusal.hresult == -2147220916


def test_a_canceling_task_cannot_be_queued_again() -> None:
    bench = Bench(plain(), plain()).start()
    bench.cancel_tasks((1, 0))

    assert bench.refused(again(bench, (1, 0))).reason == "TASK_NOT_REQUEUEABLE"


def test_a_configuring_task_cannot_be_queued_again() -> None:
    bench = Bench(plain(), plain())

    assert bench.refused(again(bench, (1, 0))).reason == "TASK_NOT_REQUEUEABLE"
    bench.submit()
    bench.add(plain(), submit=False)
    assert bench.refused(again(bench, (3, 0))).hresult == -2147220916


def test_a_task_that_is_not_rerunnable_cannot_be_queued_again() -> None:
    bench = Bench(plain(is_rerunnable=False), plain()).start()
    bench.fail(1)

    assert bench.refused(again(bench, (1, 0))).hresult == -2147219950


@pytest.mark.parametrize("key", [(2, 0), (2, 1), (3, 0)])
def test_per_node_tasks_cannot_be_queued_again(key: c.TaskKey) -> None:
    bench = Bench(plain(), prep(), release()).submit().grant()
    bench.run_all().end(2, 1)

    assert bench.refused(again(bench, key)).hresult == -2147220915


def test_an_unknown_task_is_refused() -> None:
    bench = Bench(plain()).submit()

    assert bench.refused(again(bench, (2, 0))).reason == "TASK_NOT_FOUND"


def test_only_the_owner_may_queue_tasks_again() -> None:
    bench = Bench(plain()).submit()
    command = c.RequeueTasks(caller=BOB, tasks=[(1, 0)], submit_order=9)

    assert bench.refused(command).reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("how", ["Failed", "Canceled"])
def test_in_an_ended_job_only_the_named_tasks_run_and_the_job_goes_first(
    how: str,
) -> None:
    bench = Bench(*(plain() for _ in range(4))).start({1: 3})
    bench.end(1).fail(2)
    if how == "Canceled":
        bench.cancel()
        bench.end_all()
    else:
        bench.run_all().end_all(code=1)
    assert bench.job.state.label == how
    kept = [bench.state(task) for task in (1, 3, 4)]

    bench.requeue_tasks((2, 0))

    assert bench.path[-3:] == ["Submitted", "Validating", "Queued"]
    assert [bench.state(task) for task in (1, 3, 4)] == kept
    assert bench.state(2) is S.QUEUED
    assert (bench.job.requeue_count, bench.get("requeues", 2)) == (1, 1)
    assert bench.job.requeued
    bench.grant({1: 1}).run_all().end_all()
    assert bench.job.state.label == "Failed"  # the others count for its result


def test_all_tasks_of_one_call_are_queued_together_and_the_job_counts_once() -> None:
    bench = Bench(plain(), plain(), plain()).start()
    bench.fail(1).fail(2).end(3)

    bench.requeue_tasks((1, 0), (2, 0))

    assert (bench.state(1), bench.state(2)) == (S.QUEUED, S.QUEUED)
    assert bench.job.requeue_count == 1
    bench.grant().run_all().end_all()
    assert bench.stands(JobState.FINISHED)


def test_an_old_failure_does_not_trip_a_job_that_was_queued_for_another_task() -> None:
    bench = Bench(plain(), plain(), fail_on_task_failure=True).start()
    bench.fail(1).stop(2)
    assert (bench.state(1), bench.state(2)) == (S.FAILED, S.FAILED)

    bench.requeue_tasks((2, 0))
    bench.grant().run_all()

    assert bench.state(2) is S.RUNNING
    bench.end(2)
    assert bench.stands(JobState.FAILED)


def test_a_new_failure_trips_it_again() -> None:
    bench = Bench(plain(), plain(), plain(), fail_on_task_failure=True).start()
    bench.fail(1).stop(2).stop(3)

    bench.requeue_tasks((2, 0), (3, 0))
    bench.grant().run_all().fail(2)

    assert bench.stands(JobState.CANCELING)


def test_queued_again_in_an_invalid_job_both_fail() -> None:
    bench = Bench(plain(), plain(), release()).start()
    bench.fail(1).end(2).end_all()
    bench.settings = Settings(release_s=0)

    refusal = bench.requeue_tasks((1, 0)).refusal

    assert refusal is not None
    assert refusal.reason == "RELEASE_TASKS_DISABLED"
    assert (bench.job.state, bench.state(1)) == (JobState.FAILED, S.FAILED)


def test_in_a_configuring_job_the_task_becomes_configuring() -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.configure()
    assert bench.state(1) is S.CANCELED

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.CONFIGURING
    bench.submit()
    assert bench.state(1) is S.QUEUED


@pytest.mark.parametrize("how", ["Finished", "Finishing", "Canceling"])
def test_in_these_jobs_it_is_refused(how: str) -> None:
    bench = Bench(plain(), release()).start()
    if how == "Canceling":
        bench.cancel()
    else:
        bench.end(1)
    if how == "Finished":
        bench.end_all()
    assert bench.job.state.label == how

    assert bench.refused(again(bench, (1, 0))).hresult == -2147220977


@pytest.mark.parametrize(
    "state", [JobState.SUBMITTED, JobState.VALIDATING, JobState.EXTERNAL_VALIDATION]
)
def test_in_a_job_on_its_way_in_the_task_becomes_submitted(state: JobState) -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.job.state = bench.watcher.shadow.state = state
    bench.watcher.told[0, 0] = state

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.SUBMITTED


def test_the_list_stops_at_the_first_failure_and_later_tasks_are_not_queued() -> None:
    bench = Bench(plain(), plain(), plain()).start()
    bench.fail(1).end(2).fail(3)

    decision = bench.requeue_tasks((1, 0), (2, 0), (3, 0))

    assert decision.refusal is not None
    assert decision.refusal.hresult == -2147220916
    assert decision.refusal.facts["task"] == "7.2"
    assert [bench.state(t) for t in (1, 2, 3)] == [S.QUEUED, S.FINISHED, S.FAILED]
    assert bench.stands(JobState.QUEUED)


def test_nothing_changes_if_the_first_one_is_refused() -> None:
    bench = Bench(plain(), plain(), plain()).start()
    bench.end(2).fail(1).fail(3)

    bench.refused(again(bench, (2, 0), (1, 0)))

    assert bench.stands(JobState.FAILED)


def test_a_master_queues_every_element_that_is_not_finished() -> None:
    bench = Bench(sweep(5), plain()).start({1: 3})
    bench.cancel_tasks((1, 5))
    bench.end(1, 1).fail(1, 2)
    assert bench.states(1)[2:] == ["Running", "Dispatching", "Canceled"]

    bench.requeue_tasks((1, 0))
    bench.stop(1, 3).stop(1, 4)

    assert bench.states(1)[0] == "Finished"
    assert set(bench.states(1)[1:]) <= {"Queued", "Dispatching"}
    assert bench.job.tasks[0].requeues == 1
    assert [bench.get("requeues", 1, i) for i in range(1, 6)] == [0, 1, 1, 1, 1]


def test_a_canceled_master_may_be_queued_again_and_a_finished_one_may_not() -> None:
    bench = Bench(sweep(2), sweep(2), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.requeue_tasks((1, 0))
    assert bench.state(1) is S.QUEUED
    bench.grant({1: 4}).end(1, 1).end(1, 2)

    assert bench.state(1) is S.FINISHED
    assert bench.refused(again(bench, (1, 0))).reason == "TASK_NOT_REQUEUEABLE"


def test_an_element_can_be_queued_again_alone_and_its_master_forgets_its_cancel() -> (
    None
):
    bench = Bench(sweep(3), plain()).submit()
    bench.cancel_tasks((1, 0))
    assert bench.state(1) is S.CANCELED

    bench.requeue_tasks((1, 2))

    assert bench.states(1) == ["Canceled", "Queued", "Canceled"]
    assert bench.state(1) is S.QUEUED
    bench.grant({1: 1}).run_all().end(1, 2)
    assert bench.state(1) is S.FINISHED


def test_a_queued_front_never_blocks_a_task_that_it_waits_for() -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",))).submit()

    bench.requeue_tasks((2, 0))
    bench.grant({1: 1})

    assert bench.state(1) is S.DISPATCHING
