"""What the filters' verdicts do to a job and its tasks (J5 to J7, J9, T20)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, sweep

FILTERED = Settings(submission_filter="/filter")
if TYPE_CHECKING:
    from hpcsched.core.task.spec import TaskSpec

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


def rewritten(bench: Bench, *added: TaskSpec, **tasks: Any) -> None:
    """Accept a job with other tasks (``t2=…``) and properties (``spec=…``)."""
    spec = tasks.pop("spec", bench.job.spec)
    numbered = {int(name[1:]): task for name, task in tasks.items()}
    wanted = c.Rewrite(spec=spec, tasks=numbered, added=added)
    validation = bench.job.validation
    bench.do(c.TakeVerdict(validation=validation, rewrite=wanted))


def test_an_accepted_job_is_what_the_filter_has_made_of_it() -> None:
    bench = waiting()
    spec = replace(bench.job.spec, priority=3000, project="p")

    rewritten(bench, spec=spec, t1=plain("renamed"))

    assert state_of(bench) is J.QUEUED
    assert (bench.job.spec.priority, bench.job.spec.project) == (3000, "p")
    assert bench.job.tasks[0].spec.name == "renamed"
    assert states(bench) == [T.QUEUED] * 3


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_filter_may_change_the_range_of_a_sweep(count: int) -> None:
    bench = waiting()

    rewritten(bench, t2=sweep(count))

    assert bench.job.tasks[1].counts[T.QUEUED] == bench.job.tasks[1].count == count
    bench.grant({1: 8}).run_all()
    bench.end_all()
    assert state_of(bench) is J.FINISHED


def test_a_filter_may_add_tasks_and_make_a_sweep_of_a_plain_one() -> None:
    bench = waiting()

    rewritten(bench, plain("new"), sweep(2, "more"), t1=sweep(4))

    assert states(bench) == [T.QUEUED] * 5
    assert [record.count for record in bench.job.ordinary()] == [4, 3, 1, 2]
    bench.grant({1: 9}).run_all()
    bench.end_all()
    assert state_of(bench) is J.FINISHED


def test_a_filter_that_makes_the_job_invalid_has_refused_it() -> None:
    bench = waiting()

    rewritten(bench, t1=plain("a", depends_on=("nobody",)))

    assert state_of(bench) is J.FAILED
    assert bench.job.error_code == -2147219902
    assert "no task of this job is called nobody" in bench.job.error_message
    assert bench.job.tasks[0].spec.name == ""


def test_a_filter_cannot_change_what_has_ended() -> None:
    bench = Bench(plain(), sweep(3), settings=FILTERED).submit()
    verdict(bench)
    bench.grant({1: 9}).run_all()
    bench.end(1)
    bench.end(2, 3)
    bench.cancel("x")
    bench.end_all()
    bench.do(c.RequeueJob(caller=ANN, submit_order=9))

    rewritten(bench, t2=sweep(2))

    assert state_of(bench) is J.FAILED
    assert "7.2: end_value cannot change" in bench.job.error_message
    bench.do(c.RequeueJob(caller=ANN, submit_order=9))
    rewritten(bench, t2=sweep(5))
    assert bench.job.tasks[1].counts[T.FINISHED] == 1
    assert bench.job.tasks[1].counts[T.QUEUED] == 4


def test_a_task_that_was_never_submitted_stays_so_whatever_the_filter_adds() -> None:
    bench = waiting()
    bench.add(plain("draft"), submit=False)

    rewritten(bench, plain("new"))

    assert states(bench)[3:] == [T.CONFIGURING, T.QUEUED]


def test_a_filter_may_hold_the_job() -> None:
    bench = waiting()
    spec = replace(bench.job.spec, hold_until=bench.now + 50)

    rewritten(bench, spec=spec)

    assert bench.job.hold_until == bench.now + 50
    assert bench.job.held_by


def test_a_task_that_was_never_submitted_goes_with_a_refused_job() -> None:
    bench = waiting()
    bench.add(plain(), submit=False)

    verdict(bench, refusal())

    assert state_of(bench) is J.FAILED
    assert bench.state(4) is T.CANCELED
    assert bench.note(4)[1] == "the job ended before the task was submitted"
