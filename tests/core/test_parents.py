"""Parent jobs: lifecycle.md 3.4, properties.md 3.3."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import CancelRequest, JobState, PendingReason, UnitType
from hpcsched.core.job.waiting import awaited_parents, held_back
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import ANN, Bench, plain

J, R = JobState, PendingReason


def child(*states: JobState | None, ancestors: frozenset[int] = frozenset()) -> Bench:
    """A submitted job whose parents 1, 2, … are in these states; None: not there."""
    numbers = range(1, len(states) + 1)
    bench = Bench(plain(), parent_job_ids=tuple(numbers))
    known = {n: s for n, s in zip(numbers, states, strict=True) if s is not None}
    kin = c.Kin(states=known, ancestors=ancestors)
    bench.do(c.SubmitJob(caller=ANN, submit_order=1, kin=kin))
    return bench


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ([J.FINISHED], R.NONE),
        ([J.FINISHED, J.FINISHED], R.NONE),
        ([J.QUEUED], R.PARENT_JOBS_NOT_FINISHED),
        ([J.RUNNING, J.FINISHED], R.PARENT_JOBS_NOT_FINISHED),
        ([J.FAILED], R.PARENT_JOBS_CANCELED_OR_FAILED),
        ([J.CANCELED, J.RUNNING], R.PARENT_JOBS_CANCELED_OR_FAILED),
    ],
)
def test_a_child_waits_until_every_parent_has_finished(
    states: list[JobState | None], reason: PendingReason
) -> None:
    bench = child(*states)

    assert bench.stands(J.QUEUED)
    assert held_back(bench.job) is reason
    wants = demand_of(bench.job, Settings(), {UnitType.CORE: 100}) is not None
    assert wants == (reason is R.NONE)


@pytest.mark.parametrize(
    ("state", "number"), [(None, -2147219976), (J.CONFIGURING, -2147219975)]
)
def test_a_parent_exists_and_was_submitted(state: JobState | None, number: int) -> None:
    bench = child(J.FINISHED, state)

    assert bench.stands(J.FAILED)
    assert bench.job.error_code == number
    assert bench.last is not None
    assert bench.last.refusal is not None
    assert bench.last.refusal.facts["parent"] == "2"


def test_jobs_that_would_wait_for_each_other_are_refused() -> None:
    bench = child(J.QUEUED, ancestors=frozenset({3, 7}))

    assert bench.stands(J.FAILED)
    assert bench.job.error_code == -2147220567


def test_a_parent_that_failed_may_still_finish() -> None:
    bench = child(J.RUNNING)

    bench.parent(1, J.FAILED)
    assert held_back(bench.job) is R.PARENT_JOBS_CANCELED_OR_FAILED
    bench.parent(1, J.QUEUED)
    assert held_back(bench.job) is R.PARENT_JOBS_NOT_FINISHED
    bench.parent(1, J.FINISHED)

    assert held_back(bench.job) is R.NONE
    bench.grant().run_all().end(1)
    assert bench.stands(J.FINISHED)


def test_a_parent_that_was_deleted_before_it_finished_ends_the_child() -> None:
    bench = child(J.FAILED)

    bench.parent(1, None)

    assert bench.stands(J.CANCELED)
    assert bench.job.error_code == -2147220563
    assert bench.job.request_cancel is CancelRequest.PARENT_JOBS_DELETED
    assert bench.state(1) is TaskState.CANCELED


def test_a_parent_that_finished_may_be_deleted() -> None:
    bench = child(J.FINISHED, J.RUNNING)

    bench.parent(1, None)

    assert bench.stands(J.QUEUED)
    assert awaited_parents(bench.job) == {2}


def test_a_parent_that_finished_and_is_gone_does_not_fail_a_resubmission() -> None:
    bench = child(J.FINISHED)
    bench.grant().run_all().fail(1)
    bench.configure()

    bench.do(c.SubmitJob(caller=ANN, submit_order=2, kin=c.Kin()))

    assert bench.stands(J.QUEUED)
    assert held_back(bench.job) is R.NONE


def test_hearing_it_twice_changes_nothing() -> None:
    bench = child(J.RUNNING)
    bench.parent(1, J.FAILED)
    revision = bench.job.revision

    bench.parent(1, J.FAILED)

    assert bench.job.revision == revision


@pytest.mark.parametrize("number", [1, 99])
def test_who_does_not_wait_does_not_listen(number: int) -> None:
    bench = child(J.FINISHED)
    if number == 1:
        bench.grant()
    revision = bench.job.revision

    bench.parent(number, J.FAILED)

    assert bench.job.revision == revision


def test_an_empty_child_ends_after_its_parents() -> None:
    bench = Bench(parent_job_ids=(1,))
    kin = c.Kin(states={1: J.RUNNING})
    bench.do(c.SubmitJob(caller=ANN, submit_order=1, kin=kin))
    assert bench.stands(J.QUEUED)

    bench.parent(1, J.FINISHED)

    assert bench.stands(J.FINISHED)


def test_a_child_that_waits_can_be_canceled_and_requeued() -> None:
    bench = child(J.FAILED)
    bench.cancel("no more")
    assert bench.stands(J.CANCELED)

    bench.requeue()

    assert held_back(bench.job) is R.PARENT_JOBS_CANCELED_OR_FAILED


@pytest.mark.parametrize(
    ("kin", "reason"),
    [
        (c.Kin(), "PARENT_NOT_FOUND"),
        (c.Kin(states={1: J.CONFIGURING}), "PARENT_NOT_SUBMITTED"),
        (c.Kin(states={1: J.QUEUED}, ancestors=frozenset({7})), "INVALID_PARENT"),
    ],
)
@pytest.mark.parametrize("tasks", [(), ((1, 0),)])
def test_a_requeue_validates_the_parents_again(
    kin: c.Kin, reason: str, tasks: tuple[c.TaskKey, ...]
) -> None:
    bench = child(J.FAILED)
    bench.cancel("no more")
    again = c.RequeueJob(caller=ANN, submit_order=2, kin=kin)
    some = c.RequeueTasks(caller=ANN, submit_order=2, tasks=tasks, kin=kin)

    refusal = bench.do(some if tasks else again).refusal

    assert refusal is not None
    assert refusal.reason == reason
    assert bench.stands(J.FAILED)


def test_a_requeued_child_knows_where_its_parents_stand_now() -> None:
    bench = child(J.FAILED, J.FINISHED)
    bench.cancel("no more")
    kin = c.Kin(states={1: J.RUNNING})

    bench.do(c.RequeueJob(caller=ANN, submit_order=2, kin=kin))

    assert held_back(bench.job) is R.PARENT_JOBS_NOT_FINISHED


def test_cores_that_were_on_their_way_do_not_start_a_child() -> None:
    bench = child(J.RUNNING)

    bench.grant()

    assert bench.stands(J.QUEUED)
