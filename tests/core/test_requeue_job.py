"""RequeueJob and ConfigureJob: S1, S3 8 to 10, section 4.1, J26, J27, D6, D22."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import CancelRequest, FailureReason, JobState
from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.elements import EARLIER
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from tests.support.job_bench import (
    ANN,
    BOB,
    Bench,
    plain,
    prep,
    release,
    sweep,
)

S = TaskState


def ended() -> Bench:
    """A canceled job with one task in each of the ways a task can end."""
    bench = Bench(*(plain() for _ in range(7))).start({1: 4})
    bench.cancel_tasks((6, 0), message="by name")  # before it ran
    bench.end(1).fail(2)
    bench.run_all()
    bench.cancel_tasks((3, 0), message="by name, running")
    bench.stop(3)
    bench.run_all()
    bench.do(c.AddTasks(caller=ANN, tasks=[plain(), plain()]))
    bench.cancel("enough")
    return bench.end_all()


@pytest.mark.parametrize(
    ("task", "before", "after"),
    [
        pytest.param(1, S.FINISHED, S.FINISHED, id="finished stays finished"),
        pytest.param(2, S.FAILED, S.QUEUED, id="failed by itself"),
        pytest.param(3, S.FAILED, S.QUEUED, id="canceled by name while it ran"),
        pytest.param(4, S.FAILED, S.QUEUED, id="ran when the job was canceled"),
        pytest.param(6, S.CANCELED, S.CANCELED, id="canceled by name before it ran"),
        pytest.param(8, S.CANCELED, S.QUEUED, id="added, swept by the job's cancel"),
    ],
)
def test_the_three_way_table(task: int, before: TaskState, after: TaskState) -> None:
    bench = ended()
    assert bench.state(task) is before

    bench.requeue()

    assert bench.state(task) is after


def test_each_row_of_the_table_for_elements_of_a_sweep() -> None:
    bench = Bench(sweep(6)).start({1: 3})
    bench.cancel_tasks((1, 6))
    bench.end(1, 1).fail(1, 2)
    bench.cancel("enough")
    bench.end_all()
    assert bench.states(1) == [
        *("Finished", "Failed", "Failed"),
        *("Canceled", "Canceled", "Canceled"),
    ]

    bench.requeue()

    assert bench.states(1) == ["Finished", *["Queued"] * 4, "Canceled"]
    assert bench.state(1) is S.QUEUED
    assert bench.get("origin", 1, 6) == CancelOrigin.USER_TASK


def test_a_master_canceled_by_name_runs_again_only_what_had_started() -> None:
    bench = Bench(sweep(3), plain()).submit().grant({1: 2})
    bench.run(1, 1)
    bench.cancel_tasks((1, 0))
    bench.stop(1, 1).stop(1, 2)
    bench.cancel()
    bench.end_all()
    assert bench.states(1) == ["Failed", "Canceled", "Canceled"]

    bench.requeue()

    assert bench.states(1) == ["Queued", "Canceled", "Canceled"]
    assert bench.state(1) is S.QUEUED


def test_a_master_of_which_nothing_runs_again_is_unchanged() -> None:
    bench = Bench(sweep(3), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.cancel()

    bench.requeue()

    assert bench.state(1) is S.CANCELED
    assert bench.state(2) is S.QUEUED


def test_the_job_passes_submitted_and_validating_and_goes_first() -> None:
    bench = ended()
    revision = bench.job.requeue_count

    bench.requeue()

    assert bench.path[-3:] == ["Submitted", "Validating", "Queued"]
    assert bench.job.requeue_count == revision + 1
    assert bench.job.requeued
    other = Bench(plain()).submit()
    assert bench.job.order < other.job.order


def test_results_of_the_last_run_are_cleared() -> None:
    bench = Bench(plain()).start()
    bench.fail(1)

    bench.requeue()

    job = bench.job
    assert (job.error_code, job.error_message) == (0, "")
    assert (job.start_time, job.end_time) == (None, None)
    assert job.failure_reason is FailureReason.NONE
    assert job.request_cancel is CancelRequest.NONE
    for column in ("exit", "start", "end", "node", "note", "reason"):
        assert bench.get(column, 1) == 0
    assert bench.get("flags", 1) == EARLIER
    assert bench.get("attempt", 1) == 2
    assert bench.get("requeues", 1) == 0


def test_the_attempt_grows_only_for_tasks_that_were_sent() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1})
    bench.cancel()
    bench.end_all()

    bench.requeue()

    assert [bench.get("attempt", task) for task in (1, 2)] == [2, 1]


def test_automatic_reruns_are_counted_afresh() -> None:
    bench = Bench(plain(), plain()).submit().grant()
    bench.refuse(1)
    assert bench.get("auto", 1) == 1
    bench.cancel()
    bench.end_all()

    bench.requeue()

    assert bench.get("auto", 1) == 0
    assert bench.job.auto_requeue_count == 0


def test_running_tasks_are_canceled_first_and_none_is_left_failed() -> None:
    bench = Bench(plain(), plain(), plain(), release()).start({1: 2})
    bench.end(1)  # the third is sent

    bench.requeue()

    assert bench.stands(JobState.CANCELING)
    assert bench.job.request_cancel is CancelRequest.TASK_CANCEL_ON_REQUEUE
    assert {stop.grace_ms for _, stop in bench.told(StopTasks)} == {15000}
    assert bench.get("origin", 2) == CancelOrigin.REQUEUE
    bench.stop(2).stop(3)
    assert 4 in {start.task_id for _, start in bench.told(StartTasks)}
    bench.end_all()
    assert bench.stands(JobState.QUEUED)
    assert [bench.state(task) for task in (1, 2, 3)] == [
        *(S.FINISHED, S.QUEUED, S.QUEUED)
    ]
    assert bench.path[-4:] == ["Canceling", "Submitted", "Validating", "Queued"]


def test_a_lost_node_does_not_keep_a_requeue_waiting() -> None:
    bench = Bench(plain()).start()
    bench.requeue()

    bench.lose(1)

    assert bench.stands(JobState.QUEUED)
    assert bench.state(1) is S.QUEUED
    assert bench.get("auto", 1) == 0


def test_a_preparation_under_way_does_not_keep_a_requeue_waiting() -> None:
    bench = Bench(plain(), prep()).submit().grant()
    bench.run(2, 1)

    bench.requeue()
    bench.stop(2, 1)

    assert bench.stands(JobState.QUEUED)
    assert bench.state(2) is S.QUEUED


def test_prep_and_release_start_afresh() -> None:
    bench = Bench(plain(), prep(), release()).submit().grant()
    bench.run_all().end(2, 1).run_all().fail(1).end_all()
    assert bench.stands(JobState.FAILED)

    bench.requeue()

    assert (bench.state(2), bench.state(3)) == (S.QUEUED, S.QUEUED)
    bench.refused(c.CancelTasks(caller=ANN, tasks=[(2, 1)]))
    bench.grant()
    assert bench.state(2, 2) is S.DISPATCHING


@pytest.mark.parametrize(
    "state", [s for s in JobState if s.label not in ("Running", "Failed", "Canceled")]
)
def test_in_other_states_it_is_refused(state: JobState) -> None:
    bench = Bench(plain())
    bench.job.state = bench.watcher.shadow.state = state

    before = bench.job.revision
    with pytest.raises(Exception, match="is not possible") as refused:
        bench.requeue()

    assert refused.value.hresult == -2147220977  # type: ignore[attr-defined]
    assert bench.job.revision == before


def test_every_task_must_be_rerunnable_whatever_its_state() -> None:
    bench = Bench(plain(is_rerunnable=False), plain()).start()
    bench.end(1).fail(2)

    command = c.RequeueJob(caller=ANN, submit_order=9)
    refusal = bench.refused(command)

    assert (refusal.hresult, refusal.facts["task"]) == (-2147219950, "7.1")


def test_only_the_owner_may_requeue() -> None:
    bench = Bench(plain()).start()

    refusal = bench.refused(c.RequeueJob(caller=BOB, submit_order=9))

    assert refusal.hresult == -2147220981


def test_an_explicit_cancel_holds_through_any_number_of_rounds() -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel_tasks((1, 0), message="never")

    for _ in range(3):
        bench.cancel("round")
        bench.requeue()
        assert (bench.state(1), bench.state(2)) == (S.CANCELED, S.QUEUED)

    assert bench.note(1)[1] == "never"
    assert bench.job.requeue_count == 3


def test_canceled_by_name_then_requeued_then_swept_counts_as_swept() -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel_tasks((1, 0))
    bench.requeue_tasks((1, 0))
    bench.cancel("sweep")

    bench.requeue()

    assert bench.state(1) is S.QUEUED


def test_swept_then_requeued_then_canceled_by_name_stays_canceled() -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel("sweep")
    bench.requeue_tasks((1, 0))
    bench.cancel_tasks((1, 0))
    assert bench.stands(JobState.CANCELED)

    bench.requeue()

    assert (bench.state(1), bench.state(2)) == (S.CANCELED, S.QUEUED)


def test_a_requeued_job_that_is_no_longer_valid_fails_and_keeps_what_was_kept() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1})
    bench.end(1).run_all().fail(2).end_all()
    assert bench.stands(JobState.FAILED)
    bench.settings = Settings(release_s=0)

    refusal = bench.requeue().refusal

    assert refusal is not None
    assert refusal.hresult == -2147219893
    assert bench.path[-3:] == ["Submitted", "Validating", "Failed"]
    assert (bench.state(1), bench.state(2)) == (S.FINISHED, S.FAILED)
    assert "release tasks are disabled" in bench.note(2)[1]


@pytest.mark.parametrize("state", ["Canceled", "Failed", "Queued"])
def test_configure_takes_a_job_back_and_keeps_what_a_requeue_keeps(state: str) -> None:
    bench = Bench(plain(), sweep(2), plain()).submit()
    bench.cancel_tasks((3, 0))
    if state != "Queued":
        bench.grant({1: 1}).run_all().end(1)
        if state == "Canceled":
            bench.cancel()
            bench.end_all()
        else:
            bench.end_all(code=1)
    assert bench.job.state.label == state

    bench.configure()

    assert bench.path[-1] == "Configuring"
    assert bench.states(2) == ["Configuring"] * 2
    assert bench.state(3) is S.CANCELED
    assert bench.state(1) is (S.CONFIGURING if state == "Queued" else S.FINISHED)
    assert bench.job.requeue_count == 1
    bench.submit()
    assert bench.states(2) == ["Queued"] * 2
    assert bench.state(3) is S.CANCELED


def test_configure_is_refused_elsewhere() -> None:
    bench = Bench(plain()).start()

    assert bench.refused(c.ConfigureJob(caller=ANN)).hresult == -2147220982
    bench.end(1)
    assert bench.refused(c.ConfigureJob(caller=ANN)).hresult == -2147220982


def test_a_resubmission_fails_if_a_task_that_ran_before_is_not_rerunnable() -> None:
    bench = Bench(plain(is_rerunnable=False), plain()).start({1: 1})
    bench.fail(1).run_all().end_all()
    bench.configure()

    refusal = bench.do(c.SubmitJob(caller=ANN, submit_order=2)).refusal

    assert refusal is not None
    assert (refusal.hresult, refusal.facts["task"]) == (-2147219950, "7.1")
    assert bench.stands(JobState.FAILED)
    assert (bench.state(1), bench.state(2)) == (S.FAILED, S.FINISHED)


def test_a_resubmission_may_run_what_is_not_rerunnable_and_never_ran() -> None:
    bench = Bench(plain(is_rerunnable=False), plain()).submit().grant()
    bench.cancel()
    bench.end(1, reason=EndReason.NOT_STARTED, code=-1, ran=False)
    bench.end_all()
    bench.configure()

    bench.submit()

    assert bench.stands(JobState.QUEUED)
    assert bench.state(1) is S.QUEUED
