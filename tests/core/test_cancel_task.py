"""CancelTask and FinishTask: S5, rows T12 to T17 and T21."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import StopTasks
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import ANN, BOB, Bench, plain, sweep

S = TaskState


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("submit", [False, True])
def test_a_waiting_task_is_canceled_at_once(submit: bool, force: bool) -> None:
    bench = Bench(plain(), plain())
    if submit:
        bench.submit()

    bench.cancel_tasks((1, 0), message="not this", force=force)

    assert bench.state(1) is S.CANCELED
    assert bench.note(1) == (codes.CANCELED_BEFORE_ASSIGNMENT, "not this")
    assert bench.get("origin", 1) == CancelOrigin.USER_TASK
    assert bench.state(2) is (S.QUEUED if submit else S.CONFIGURING)


@pytest.mark.parametrize("code", [0, 1, 143])
def test_a_running_task_ends_failed_whatever_its_exit_code(code: int) -> None:
    bench = Bench(plain(), plain()).start()

    bench.cancel_tasks((1, 0), message="enough")
    assert bench.state(1) is S.CANCELING
    bench.end(1, code=code)

    assert bench.state(1) is S.FAILED
    assert bench.note(1) == (codes.CANCELED_DURING_EXECUTION, "enough")
    assert bench.state(2) is S.RUNNING


def test_the_grace_period_is_honoured_unless_it_is_forced() -> None:
    bench = Bench(plain(), plain()).start()

    bench.cancel_tasks((1, 0))
    bench.cancel_tasks((2, 0), force=True)

    graces = [(s.task_id, s.grace_ms) for _, s in bench.told(StopTasks)]
    assert graces == [(1, 15000), (2, 0)]


def test_force_cuts_a_grace_period_short() -> None:
    bench = Bench(plain()).start()
    bench.cancel_tasks((1, 0), message="first")

    bench.cancel_tasks((1, 0), message="second", force=True)

    assert bench.told(StopTasks)[-1][1].grace_ms == 0
    bench.stop(1)
    assert bench.note(1)[1] == "first"


def test_a_task_under_way_to_its_node_ends_by_the_nodes_answer() -> None:
    bench = Bench(plain(), plain()).submit().grant()
    bench.cancel_tasks((1, 0))
    bench.cancel_tasks((2, 0))

    bench.refuse(1)
    bench.end(2)

    assert (bench.state(1), bench.state(2)) == (S.CANCELED, S.FAILED)
    assert bench.get("origin", 1) == CancelOrigin.USER_TASK


def test_ended_and_stopping_tasks_cannot_be_canceled() -> None:
    bench = Bench(plain(), plain(), plain(), plain(), plain()).start({1: 5})
    bench.end(1).fail(2)
    bench.cancel_tasks((3, 0))
    bench.add(plain(), submit=False)
    bench.cancel_tasks((6, 0))

    for task in (1, 2, 3, 6):
        refusal = bench.refused(c.CancelTasks(caller=ANN, tasks=[(task, 0)]))
        assert refusal.hresult == -2147220983
        assert refusal.facts["task"] == f"7.{task}"
    for task in (1, 2, 6):
        command = c.CancelTasks(caller=ANN, tasks=[(task, 0)], force=True)
        assert bench.refused(command).reason == "INVALID_CANCEL_TASK_STATE"


def test_the_list_stops_at_the_first_refusal_and_keeps_what_came_before() -> None:
    bench = Bench(plain(), plain(), plain()).submit()

    decision = bench.cancel_tasks((1, 0), (1, 0), (3, 0))

    assert decision.refusal is not None
    assert decision.refusal.reason == "INVALID_CANCEL_TASK_STATE"
    assert (bench.state(1), bench.state(3)) == (S.CANCELED, S.QUEUED)


def test_an_unknown_task_is_refused_by_name() -> None:
    bench = Bench(plain(), sweep(2)).submit()

    for key in ((9, 0), (0, 0), (-1, 0), (1, 1), (2, 3), (2, -1)):
        command = c.CancelTasks(caller=ANN, tasks=[key])
        assert bench.refused(command).reason == "TASK_NOT_FOUND"


def test_a_message_that_is_too_long_cancels_nothing() -> None:
    bench = Bench(plain()).submit()
    command = c.CancelTasks(caller=ANN, tasks=[(1, 0)], message="é" * 321)

    assert bench.refused(command).hresult == -2147220781


def test_only_the_owner_may_cancel_tasks() -> None:
    bench = Bench(plain()).submit()

    refusal = bench.refused(c.CancelTasks(caller=BOB, tasks=[(1, 0)]))

    assert refusal.reason == "PERMISSION_DENIED"


def test_the_master_of_a_sweep_always_ends_canceled() -> None:
    bench = Bench(sweep(5), plain()).start({1: 3})
    bench.end(1, 1)
    bench.fail(1, 2)
    assert bench.states(1)[2:] == ["Running", "Dispatching", "Dispatching"]
    bench.run(1, 4)

    bench.cancel_tasks((1, 0), message="enough")

    assert bench.state(1) is S.CANCELING
    bench.end(1, 3).end(1, 4)
    bench.refuse(1, 5)
    assert bench.state(1) is S.CANCELED
    assert bench.states(1) == ["Finished", "Failed", "Failed", "Failed", "Canceled"]
    assert [bench.get("origin", 1, i) for i in (3, 4, 5)] == [1, 1, 1]
    assert bench.get("origin", 1, 2) == CancelOrigin.NONE


def test_the_master_of_a_waiting_sweep_is_canceled_at_once() -> None:
    bench = Bench(sweep(3), plain()).submit()

    bench.cancel_tasks((1, 0))

    assert bench.state(1) is S.CANCELED
    assert bench.states(1) == ["Canceled"] * 3


def test_one_element_can_be_canceled_alone() -> None:
    bench = Bench(sweep(3)).start({1: 1})

    bench.cancel_tasks((1, 2))
    bench.end(1, 1).run_all().end_all()

    assert bench.states(1) == ["Finished", "Canceled", "Finished"]
    assert bench.state(1) is S.FINISHED
    assert bench.stands(JobState.FINISHED)


def test_a_job_whose_running_task_was_canceled_by_name_fails() -> None:
    bench = Bench(plain(), plain()).start()

    bench.cancel_tasks((1, 0))
    bench.stop(1)
    bench.end(2)

    assert bench.stands(JobState.FAILED)


def test_an_explicit_cancel_of_a_running_critical_task_fails_the_job() -> None:
    bench = Bench(plain(critical=True), plain()).start()

    bench.cancel_tasks((1, 0))
    bench.stop(1)

    assert bench.stands(JobState.CANCELING)
    bench.end_all()
    assert bench.stands(JobState.FAILED)


def test_a_canceled_task_can_be_queued_again_and_run() -> None:
    bench = Bench(plain(), plain()).start()
    bench.cancel_tasks((1, 0))
    bench.stop(1)

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.QUEUED
    bench.grant({1: 2})
    assert bench.state(1) is S.DISPATCHING
    assert bench.get("origin", 1) == CancelOrigin.NONE
    bench.run_all().end_all()
    assert bench.stands(JobState.FINISHED)


def test_force_replaces_a_requeue_of_a_task_under_way() -> None:
    bench = Bench(plain(), plain()).start()
    bench.requeue_tasks((1, 0))

    bench.refused(c.CancelTasks(caller=ANN, tasks=[(1, 0)]))
    bench.cancel_tasks((1, 0), force=True, message="no")
    bench.stop(1)

    assert bench.state(1) is S.FAILED
    assert bench.get("origin", 1) == CancelOrigin.USER_TASK
    assert bench.note(1)[1] == "no"


def test_finishing_a_running_task_makes_it_finished_whatever_its_exit_code() -> None:
    bench = Bench(plain()).start()

    bench.finish_tasks((1, 0))
    assert bench.state(1) is S.CANCELING
    bench.end(1, code=143)

    assert bench.state(1) is S.FINISHED
    assert bench.note(1)[0] == codes.FINISHED_DURING_EXECUTION
    assert bench.stands(JobState.FINISHED)


def test_finishing_a_sweep_cancels_what_has_not_run() -> None:
    bench = Bench(sweep(3), plain()).start({1: 1})

    bench.finish_tasks((1, 0))
    bench.end(1, 1, code=143)

    assert bench.states(1) == ["Finished", "Canceled", "Canceled"]
    assert bench.state(1) is S.FINISHED


def test_only_running_tasks_can_be_finished() -> None:
    bench = Bench(plain(), plain(), plain()).submit().grant({1: 2})
    bench.run(1).end(1)

    for task in (1, 2, 3):
        refusal = bench.refused(c.FinishTasks(caller=ANN, tasks=[(task, 0)]))
        assert refusal.hresult == -2147220977
