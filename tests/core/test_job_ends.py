"""How a job ends: S4, J7, J10, J12 to J16, J22, D5, D11, D12 and section 3.3."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.calls import deadline_of
from hpcsched.core.job.show import job_view, task_view
from hpcsched.core.job.states import (
    V1_JOB_STATUS,
    CancelRequest,
    FailureReason,
    JobState,
)
from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, release, sweep

S = TaskState


def test_a_job_whose_tasks_all_finished_is_finished() -> None:
    bench = Bench(plain(), sweep(3)).start()

    bench.end_all()

    assert bench.path[-2:] == ["Finishing", "Finished"]
    assert (bench.job.error_code, bench.job.error_message) == (0, "")


def test_a_job_with_a_failed_task_runs_all_others_first_and_then_fails() -> None:
    bench = Bench(plain(), plain(), plain()).submit().grant({1: 1})

    bench.run(1).fail(1, code=7)
    assert bench.stands(JobState.RUNNING)
    bench.end(2).end(3)

    assert bench.stands(JobState.FAILED)
    assert bench.job.error_message == "1 task failed"
    assert bench.job.failure_reason is FailureReason.EXECUTION_FAILURE
    assert bench.note(1) == (codes.TASK_FAILURE, "exited with code 7")


@pytest.mark.parametrize(
    ("ends", "result"),
    [
        pytest.param(("Finished", "Finished"), "Finished", id="all finished"),
        pytest.param(("Finished", "Failed"), "Failed", id="one failed"),
        pytest.param(("Finished", "Canceled"), "Finished", id="one taken out"),
        pytest.param(("Canceled", "Canceled"), "Canceled", id="nothing of it ran"),
        pytest.param(("Failed", "Canceled"), "Failed", id="failed and canceled"),
    ],
)
def test_the_result_of_a_job_that_ends_by_itself(
    ends: tuple[str, str], result: str
) -> None:
    bench = Bench(sweep(1), plain()).submit()
    for task, end in enumerate(ends, start=1):
        if end == "Canceled":
            bench.cancel_tasks((task, 0))
    if bench.stands(JobState.QUEUED):
        bench.grant().run_all()
    for task, end in enumerate(ends, start=1):
        if end != "Canceled":
            bench.end(task, 1 if task == 1 else 0, code=int(end == "Failed"))

    assert bench.job.state.label == result


def test_prep_and_release_do_not_count_for_the_result() -> None:
    bench = Bench(plain(), release()).start()

    bench.end(1)
    bench.run_all().fail(2, 1)

    assert bench.stands(JobState.FINISHED)
    assert bench.state(2) is S.FAILED


def test_an_empty_job_is_finished_when_it_is_submitted() -> None:
    assert Bench().submit().path == ["Submitted", "Validating", "Queued", "Finished"]


def test_a_job_that_runs_until_canceled_waits_even_if_it_is_empty() -> None:
    bench = Bench(run_until_canceled=True, min_cores=2, max_cores=2).submit()
    assert bench.stands(JobState.QUEUED)

    bench.grant({1: 2})
    assert bench.stands(JobState.RUNNING)
    bench.add(plain())
    bench.run_all().fail(1)

    assert bench.stands(JobState.RUNNING)
    assert [use.cores for use in bench.job.uses.values()] == [(0, 1)]
    bench.cancel("enough")
    assert bench.stands(JobState.CANCELED)


def test_tasks_that_were_never_submitted_keep_no_job_alive() -> None:
    bench = Bench(plain()).start()
    bench.add(plain(), submit=False)
    assert bench.state(2) is S.CONFIGURING

    bench.end(1)

    assert bench.stands(JobState.FINISHED)
    assert bench.state(2) is S.CANCELED
    assert bench.get("origin", 2) == CancelOrigin.SYSTEM


def test_a_critical_task_that_fails_stops_the_job_at_once() -> None:
    bench = Bench(plain(critical=True), plain(), plain()).start({1: 2})

    bench.fail(1)

    assert bench.stands(JobState.CANCELING)
    assert (bench.state(2), bench.state(3)) == (S.CANCELING, S.CANCELED)
    bench.end_all()
    assert bench.stands(JobState.FAILED)
    assert bench.state(2) is S.FAILED
    assert bench.note(2)[0] == codes.TASKS_JOB_CANCELED
    assert bench.get("origin", 3) == CancelOrigin.SYSTEM
    assert "7.1" in bench.job.error_message
    assert bench.job.failure_reason is FailureReason.EXECUTION_FAILURE


def test_fail_on_task_failure_makes_every_task_critical() -> None:
    bench = Bench(plain(critical=False), plain(), fail_on_task_failure=True).start()

    bench.fail(1)

    assert bench.stands(JobState.CANCELING)


@pytest.mark.parametrize(
    ("flag", "count", "failures", "trips"),
    [
        pytest.param(None, 0, 4, False, id="not critical"),
        pytest.param(True, 0, 1, True, id="the flag alone means the first"),
        pytest.param(None, 3, 2, False, id="below the count"),
        pytest.param(None, 3, 3, True, id="a count sets the flag"),
        pytest.param(True, 3, 3, True, id="flag and count"),
        pytest.param(False, 3, 4, False, id="an explicit no overrides the count"),
        pytest.param(True, 9, 4, False, id="more than there are never trips"),
    ],
)
def test_the_number_of_failures_that_trips_a_sweep(
    flag: bool | None, count: int, failures: int, trips: bool
) -> None:
    bench = Bench(sweep(5, critical=flag, critical_count=count)).start({1: 5})

    for instance in range(1, failures + 1):
        bench.fail(1, instance)

    assert (bench.stands(JobState.CANCELING)) is trips


def test_over_its_run_time_limit_a_job_is_canceled_and_its_tasks_fail() -> None:
    bench = Bench(plain(), plain(), runtime=60.0).start({1: 1})

    bench.tick(59.0)
    assert bench.stands(JobState.RUNNING)
    bench.tick(1.0)

    assert bench.stands(JobState.CANCELING)
    assert bench.job.request_cancel is CancelRequest.TIMEOUT
    assert bench.job.error_code == -2147218987
    assert bench.told(StopTasks)[0][1].grace_ms == 15000
    bench.stop(1)
    assert bench.stands(JobState.CANCELED)
    assert (bench.state(1), bench.state(2)) == (S.FAILED, S.CANCELED)
    assert bench.note(1)[0] == -2147218989
    assert bench.get("origin", 2) == CancelOrigin.TIMEOUT


def test_the_release_task_must_fit_inside_the_jobs_limit() -> None:
    bench = Bench(plain(), release(runtime=10.0), runtime=60.0).start()

    assert deadline_of(bench.job, 15.0) == 100.0 + 60.0 - 10.0
    bench.tick(50.0)

    assert bench.stands(JobState.CANCELING)
    bench.stop(1)
    assert 2 in {start.task_id for _, start in bench.told(StartTasks)}


def test_without_a_limit_of_its_own_the_release_task_is_given_the_clusters() -> None:
    bench = Bench(plain(), release(), runtime=60.0).start()

    assert deadline_of(bench.job, 15.0) == 100.0 + 60.0 - 15.0


def test_only_what_runs_has_a_deadline() -> None:
    bench = Bench(plain(), runtime=60.0).submit()
    assert deadline_of(bench.job, 15.0) is None
    bench.tick(100.0)
    assert bench.stands(JobState.QUEUED)


@pytest.mark.parametrize("finish", [False, True])
def test_the_jobs_limit_still_holds_for_a_graceful_end(finish: bool) -> None:
    bench = Bench(plain(), runtime=60.0).start()
    if finish:
        bench.finish_job("why", graceful=True)
    else:
        bench.cancel("why", graceful=True)
    assert bench.state(1) is S.RUNNING

    bench.tick(60.0)

    assert bench.state(1) is S.CANCELING
    bench.stop(1)
    assert bench.state(1) is S.FAILED
    assert bench.job.state.label == ("Finished" if finish else "Canceled")
    assert bench.job.error_message == "why"


@pytest.mark.parametrize("state", [S.DISPATCHING, S.RUNNING])
def test_over_its_own_limit_a_task_fails_and_the_job_goes_on(state: TaskState) -> None:
    bench = Bench(plain(runtime=5.0), plain()).submit().grant()
    if state is S.RUNNING:
        bench.run_all()

    bench.end(1, reason=EndReason.TIME_LIMIT, code=143)

    assert bench.state(1) is S.FAILED
    assert bench.note(1)[0] == -2147218985
    assert bench.get("prev", 1) == S.CANCELING
    assert bench.stands(JobState.RUNNING)


def test_finishing_a_running_job_finishes_what_runs_and_cancels_the_rest() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1})

    bench.finish_job("good enough")

    assert bench.stands(JobState.FINISHING)
    assert bench.told(StopTasks)[0][1].grace_ms == 15000
    bench.end(1, code=143)
    bench.end_all()
    assert bench.stands(JobState.FINISHED)
    assert (bench.state(1), bench.state(2)) == (S.FINISHED, S.CANCELED)
    assert bench.state(3) is S.FINISHED
    assert bench.job.error_message == "good enough"


def test_finishing_a_queued_job_ends_it_at_once() -> None:
    bench = Bench(plain()).submit()

    bench.finish_job()

    assert bench.path[-2:] == ["Finishing", "Finished"]
    assert bench.state(1) is S.CANCELED


def test_a_forced_finish_has_no_grace_period_and_no_release() -> None:
    bench = Bench(plain(), release()).start()

    bench.finish_job(force=True)
    bench.end(1)

    assert bench.told(StopTasks)[0][1].grace_ms == 0
    assert bench.stands(JobState.FINISHED)
    assert bench.state(2) is S.CANCELED


def test_force_ends_a_graceful_finish() -> None:
    bench = Bench(plain()).start()
    bench.finish_job("soon", graceful=True)
    bench.refused(c.FinishJob(caller=ANN))

    bench.finish_job("now", force=True)
    bench.end(1)

    assert (bench.job.state, bench.job.error_message) == (JobState.FINISHED, "soon")
    assert bench.state(1) is S.FINISHED


def test_a_lost_node_does_not_keep_a_job_finishing() -> None:
    bench = Bench(plain(), release()).start()
    bench.finish_job()

    bench.lose(1)

    assert bench.stands(JobState.FINISHED)
    assert bench.state(1) is S.FINISHED


def test_a_job_that_is_not_valid_fails_with_its_tasks() -> None:
    bench = Bench(prep())

    refusal = bench.do(c.SubmitJob(caller=ANN, submit_order=1)).refusal

    assert refusal is not None
    assert refusal.hresult == -2147219895
    assert bench.path == ["Submitted", "Validating", "Failed"]
    assert bench.job.error_code == -2147219895
    assert bench.job.error_message == str(refusal)


def test_tasks_of_a_job_that_is_not_valid_fail_with_it() -> None:
    bench = Bench(plain("a", depends_on=("nobody",)), sweep(2))

    bench.do(c.SubmitJob(caller=ANN, submit_order=1))

    assert (bench.state(1), bench.state(2)) == (S.FAILED, S.FAILED)
    assert bench.note(1)[0] == -2147219936


def test_the_first_generations_view_of_every_state() -> None:
    assert [V1_JOB_STATUS[state] for state in JobState] == [
        "NotSubmitted",
        *["Queued"] * 4,
        *["Running"] * 2,
        *("Finished", "Failed", "Cancelled", "Running"),
    ]


def test_a_failed_task_that_its_user_canceled_reads_cancelled_in_the_first() -> None:
    bench = Bench(plain(), plain()).start()
    bench.cancel_tasks((1, 0))
    bench.stop(1).fail(2)

    seen = [
        task_view(bench.job, record, 0, str).v1_canceled for record in bench.job.tasks
    ]

    assert seen == [True, False]


def test_allocated_nodes_are_shown_from_running_on_and_kept() -> None:
    bench = Bench(plain(), plain())
    assert job_view(bench.submit().job, str, bench.settings).allocated_nodes == ()

    bench.grant({3: 1, 5: 1})

    assert job_view(bench.job, str, bench.settings).allocated_nodes == ("3", "5")
    bench.end_all()
    assert job_view(bench.job, str, bench.settings).allocated_nodes == ("3", "5")
