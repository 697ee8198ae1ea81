"""What the filters' verdicts do to a job and its tasks (J5 to J7, J9, T20)."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, sweep

FILTERED = Settings(submission_filter="/filter")
J, T = JobState, TaskState


def refusal() -> HpcError:
    return HpcError("SUBMISSION_FILTER_FAILED", job_id=7, problem="too big")


def waiting(*fields: object) -> Bench:
    bench = Bench(plain(), sweep(3), prep(), settings=FILTERED)
    return bench.submit()


def verdict(bench: Bench, refused: HpcError | None = None) -> None:
    validation = bench.job.validation
    bench.do(c.TakeVerdict(validation=validation, refusal=refused))


def state_of(bench: Bench) -> JobState:
    return bench.job.state


def states(bench: Bench) -> list[TaskState]:
    return [record.state for record in bench.job.tasks]


def test_a_valid_job_waits_in_external_validation_with_its_tasks() -> None:
    bench = waiting()

    assert state_of(bench) is J.EXTERNAL_VALIDATION
    assert states(bench) == [T.VALIDATING] * 3
    assert bench.path[-3:] == ["Submitted", "Validating", "ExternalValidation"]


def test_an_invalid_job_never_reaches_the_filter() -> None:
    bench = Bench(plain(depends_on=("x",), name="y"), settings=FILTERED)

    bench.submit()

    assert state_of(bench) is J.FAILED
    assert "ExternalValidation" not in bench.path


def test_an_accepted_job_is_queued_and_runs() -> None:
    bench = waiting()
    verdict(bench)

    assert state_of(bench) is J.QUEUED
    assert states(bench) == [T.QUEUED] * 3
    bench.grant({1: 4}).run_all()
    assert state_of(bench) is J.RUNNING


def test_a_refused_job_fails_with_its_tasks_and_may_be_queued_again() -> None:
    bench = waiting()
    verdict(bench, refusal())

    assert (state_of(bench), bench.job.error_message) == (J.FAILED, "too big")
    assert bench.job.error_code == -2147219902
    assert states(bench) == [T.FAILED] * 3
    bench.do(c.RequeueJob(caller=ANN, submit_order=9))
    verdict(bench)
    assert state_of(bench) is J.QUEUED
    assert states(bench) == [T.QUEUED] * 3


def test_a_verdict_on_an_earlier_submission_changes_nothing() -> None:
    bench = waiting()
    late = bench.job.validation
    bench.cancel("no")
    revision = bench.job.revision
    bench.do(c.TakeVerdict(validation=late))
    assert bench.job.revision == revision

    bench.do(c.RequeueJob(caller=ANN, submit_order=9))
    bench.do(c.TakeVerdict(validation=late, refusal=refusal()))

    assert state_of(bench) is J.EXTERNAL_VALIDATION
    verdict(bench)
    bench.do(c.TakeVerdict(validation=late, refusal=refusal()))
    assert state_of(bench) is J.QUEUED


def test_tasks_that_are_canceled_or_added_meanwhile_keep_their_way() -> None:
    bench = waiting()
    bench.cancel_tasks((1, 0), (2, 2))
    bench.add(plain())
    bench.add(plain(), submit=False)
    assert states(bench)[3:] == [T.VALIDATING, T.CONFIGURING]

    verdict(bench)

    assert states(bench) == [
        *(T.CANCELED, T.QUEUED, T.QUEUED),
        *(T.QUEUED, T.CONFIGURING),
    ]
    assert bench.job.tasks[1].counts[T.CANCELED] == 1


def test_a_job_without_anything_left_to_run_ends_when_it_is_accepted() -> None:
    bench = Bench(plain(), settings=FILTERED).submit()
    bench.cancel_tasks((1, 0))
    verdict(bench)

    assert state_of(bench) is J.CANCELED


def test_a_running_job_that_is_requeued_goes_through_the_filter_again() -> None:
    bench = waiting()
    verdict(bench)
    bench.grant({1: 4}).run_all()

    bench.do(c.RequeueJob(caller=ANN, submit_order=9))
    bench.end_all()

    assert state_of(bench) is J.EXTERNAL_VALIDATION
    verdict(bench)
    assert state_of(bench) is J.QUEUED


def test_tasks_that_are_requeued_during_validation_go_on_with_their_job() -> None:
    bench = waiting()
    bench.cancel("x")
    bench.do(c.RequeueTasks(caller=ANN, tasks=[(1, 0), (2, 0)], submit_order=5))
    assert state_of(bench) is J.EXTERNAL_VALIDATION
    assert states(bench)[:2] == [T.VALIDATING, T.SUBMITTED]

    verdict(bench)

    assert states(bench)[:2] == [T.QUEUED, T.QUEUED]


def test_a_queued_job_that_is_changed_goes_through_the_filter_in_its_place() -> None:
    bench = waiting()
    verdict(bench)
    order = bench.job.order

    bench.do(c.ModifyJob(caller=ANN, changes={"custom_properties": {"a": "b"}}))

    assert state_of(bench) is J.EXTERNAL_VALIDATION
    assert states(bench) == [T.VALIDATING] * 3
    verdict(bench)
    assert state_of(bench) is J.QUEUED
    assert bench.job.order == order


@pytest.mark.parametrize("message", ["", "no licence"])
def test_a_job_that_the_activation_filter_fails_never_starts(message: str) -> None:
    bench = Bench(plain(), sweep(2)).submit()
    bench.cancel_tasks((2, 1))

    bench.do(c.FailActivation(message=message))

    job = bench.job
    assert (job.state, job.error_code) == (J.FAILED, -2147218966)
    assert job.error_message == message or not message
    assert states(bench) == [T.CANCELED, T.CANCELED]
    assert bench.path[-1] == "Failed"


def test_a_job_that_has_started_meanwhile_is_not_failed_by_the_filter() -> None:
    bench = Bench(plain()).submit().grant({1: 1})

    bench.do(c.FailActivation())

    assert state_of(bench) is J.RUNNING
