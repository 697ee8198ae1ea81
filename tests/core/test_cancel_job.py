"""CancelJob: S3, rows J17 to J21, and what a second stop may still change (5.5)."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import CancelRequest, JobState, JobType
from hpcsched.core.orders import EndJob, StartTasks, StopTasks
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from tests.support.job_bench import (
    ANN,
    BOB,
    ROOT,
    Bench,
    plain,
    prep,
    release,
    sweep,
)

S = TaskState


def mixed() -> Bench:
    """A running job: finished, failed, running, queued, canceled by name."""
    bench = Bench(*(plain() for _ in range(6))).start({1: 4})
    bench.end(1).fail(2)  # 5 and 6 follow
    bench.run_all()
    bench.add(plain(), plain(), plain())
    bench.cancel_tasks((8, 0), message="not this one")
    return bench


def test_the_message_is_kept_with_the_job_word_for_word() -> None:
    bench = Bench(plain()).submit()

    bench.cancel("  no longer needed: é 😀 ")

    assert bench.stands(JobState.CANCELED)
    assert bench.job.error_message == "  no longer needed: é 😀 "
    assert bench.job.error_code == codes.CANCELED_BY_USER
    assert bench.job.request_cancel is CancelRequest.CANCEL_BY_USER


def test_the_message_may_be_empty() -> None:
    bench = Bench(plain()).submit()

    bench.cancel("")

    assert (bench.job.state, bench.job.error_message) == (JobState.CANCELED, "")


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_a_message_has_320_characters_at_most(character: str) -> None:
    bench = Bench(plain()).submit()

    refusal = bench.refused(c.CancelJob(caller=ANN, message=character * 321))

    assert refusal.reason == "CANCEL_MESSAGE_TOO_LONG"
    assert refusal.hresult == -2147220781
    assert refusal.facts == {"field": "message", "length": "321", "limit": "320"}
    assert bench.stands(JobState.QUEUED)
    bench.cancel(character * 320)
    assert bench.job.error_message == character * 320


@pytest.mark.parametrize("state", ["configuring", "queued"])
@pytest.mark.parametrize("force", [False, True])
def test_a_job_that_does_not_run_is_canceled_at_once(state: str, force: bool) -> None:
    bench = Bench(plain(), sweep(3))
    if state == "queued":
        bench.submit()

    bench.cancel("enough", force=force)

    assert bench.path[-1] == "Canceled"
    assert bench.states(2) == ["Canceled"] * 3
    assert bench.get("origin", 1) == CancelOrigin.USER_JOB
    assert not bench.orders


def test_running_tasks_are_stopped_and_marked_failed() -> None:
    bench = mixed()

    bench.cancel("enough")

    assert bench.stands(JobState.CANCELING)
    assert bench.state(3) is S.CANCELING
    bench.end_all()
    assert bench.path[-2:] == ["Canceling", "Canceled"]
    assert bench.state(3) is S.FAILED
    assert bench.note(3)[0] == codes.TASKS_JOB_CANCELED
    assert bench.get("origin", 3) == CancelOrigin.USER_JOB


def test_waiting_tasks_are_canceled_and_ended_ones_are_untouched() -> None:
    bench = mixed()

    bench.cancel("enough")

    assert bench.state(7) is S.CANCELED
    assert bench.get("origin", 7) == CancelOrigin.USER_JOB
    assert bench.state(1) is S.FINISHED
    assert bench.state(2) is S.FAILED
    assert bench.note(2)[1] == "exited with code 1"
    assert bench.state(8) is S.CANCELED
    assert bench.get("origin", 8) == CancelOrigin.USER_TASK
    assert bench.note(8)[1] == "not this one"


@pytest.mark.parametrize("code", [0, 1, 143])
def test_the_exit_code_of_a_canceled_task_does_not_matter(code: int) -> None:
    bench = Bench(plain()).start()
    bench.cancel("enough")

    bench.end(1, reason=EndReason.EXITED, code=code)

    assert bench.state(1) is S.FAILED
    assert bench.get("exit", 1) == code


def test_the_grace_period_is_honoured_and_release_runs_on_every_node() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1, 2: 1})

    bench.cancel("enough")

    stops = bench.told(StopTasks)
    assert {node for node, _ in stops} == {1, 2}
    assert {stop.grace_ms for _, stop in stops} == {15000}
    bench.end(1).end(2)
    starts = [node for node, start in bench.told(StartTasks) if start.task_id == 3]
    assert sorted(starts) == [1, 2]
    assert bench.stands(JobState.CANCELING)
    assert not bench.told(EndJob)
    bench.end_all()
    assert bench.stands(JobState.CANCELED)
    assert sorted(node for node, _ in bench.told(EndJob)) == [1, 2]


def test_a_tasks_own_grace_period_goes_before_the_clusters() -> None:
    bench = Bench(plain(grace=2.5)).start()

    bench.cancel()

    assert [stop.grace_ms for _, stop in bench.told(StopTasks)] == [2500]


def test_a_forced_cancel_has_no_grace_period_and_no_release() -> None:
    bench = Bench(plain(), release()).start()

    bench.cancel("now", force=True)

    assert [stop.grace_ms for _, stop in bench.told(StopTasks)] == [0]
    bench.end_all()
    assert bench.stands(JobState.CANCELED)
    assert 2 not in {start.task_id for _, start in bench.told(StartTasks)}
    assert bench.told(EndJob)


def test_force_cuts_short_a_cancel_under_way_and_keeps_its_reason() -> None:
    bench = Bench(plain(), release()).start()
    bench.cancel("first")

    bench.cancel("second", force=True)

    assert [stop.grace_ms for _, stop in bench.told(StopTasks)] == [15000, 0]
    bench.end(1)
    assert bench.stands(JobState.CANCELED)
    assert bench.job.error_message == "first"


def test_force_kills_a_release_task_that_runs() -> None:
    bench = Bench(plain(), release()).start()
    bench.cancel("first")
    bench.end(1).run_all()

    bench.cancel("", force=True)

    stop = bench.told(StopTasks)[-1][1]
    assert (stop.task_id, stop.grace_ms) == (2, 0)
    assert bench.stands(JobState.CANCELING)
    bench.end_all()
    assert bench.stands(JobState.CANCELED)


def test_force_stops_a_node_preparation_that_runs() -> None:
    bench = Bench(plain(), prep(), release()).start()

    bench.cancel("", force=True)

    bench.end_all()
    assert bench.stands(JobState.CANCELED)
    assert bench.state(2) is S.FAILED
    assert bench.job.excluded == ()


def test_a_cancel_without_force_is_refused_while_the_job_is_being_canceled() -> None:
    bench = Bench(plain()).start()
    bench.cancel("first")

    assert bench.refused(c.CancelJob(caller=ANN)).hresult == -2147220984


def test_a_finishing_job_cannot_be_canceled_not_even_by_force() -> None:
    bench = Bench(plain(), release()).start()
    bench.end(1)
    assert bench.stands(JobState.FINISHING)

    for force in (False, True):
        refusal = bench.refused(c.CancelJob(caller=ANN, force=force))
        assert refusal.reason == "INVALID_CANCEL_JOB_STATE"


@pytest.mark.parametrize("end", [0, 1, "cancel"])
def test_an_ended_job_cannot_be_canceled(end: int | str) -> None:
    bench = Bench(plain()).start()
    if end == "cancel":
        bench.cancel("first")
    bench.end(1, code=1 if end == 1 else 0)

    for force in (False, True):
        bench.refused(c.CancelJob(caller=ANN, force=force, message="again"))


def test_a_graceful_cancel_lets_running_tasks_end_by_themselves() -> None:
    bench = Bench(sweep(3), plain(), release()).submit().grant({1: 2})
    bench.run(1, 1)

    bench.cancel("soon", graceful=True)

    assert bench.states(1) == ["Running", "Dispatching", "Canceled"]
    assert bench.stands(JobState.CANCELING)
    assert not bench.told(StopTasks)
    bench.refuse(1, 2)
    bench.end(1, 1)
    assert bench.states(1) == ["Finished", "Canceled", "Canceled"]
    assert bench.stands(JobState.CANCELING)  # the release runs
    bench.end_all()
    assert (bench.job.state, bench.job.error_message) == (JobState.CANCELED, "soon")


def test_nothing_is_rerun_once_a_graceful_cancel_is_under_way() -> None:
    bench = Bench(plain(), retry_limit=3).start()
    bench.cancel(graceful=True)

    bench.end(1, reason=EndReason.STATUS_LOST, code=-1)

    assert bench.state(1) is S.FAILED
    assert bench.stands(JobState.CANCELED)


def test_force_ends_a_graceful_cancel() -> None:
    bench = Bench(plain()).start()
    bench.cancel("soon", graceful=True)

    bench.cancel(force=True)

    assert bench.state(1) is S.CANCELING
    bench.end(1)
    assert bench.state(1) is S.FAILED
    assert bench.job.error_message == "soon"


def test_force_and_graceful_exclude_each_other() -> None:
    bench = Bench(plain()).start()

    refusal = bench.refused(c.CancelJob(caller=ANN, force=True, graceful=True))

    assert (refusal.reason, refusal.facts["field"]) == ("INVALID_FIELD", "graceful")


@pytest.mark.parametrize("force", [False, True])
def test_a_cancel_replaces_a_requeue_under_way(force: bool) -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1}).run_all()
    bench.requeue()

    bench.cancel("stop it", force=force)
    bench.end(1, reason=EndReason.CANCELED, code=143)

    assert bench.stands(JobState.CANCELED)
    assert (bench.state(1), bench.state(2)) == (S.FAILED, S.CANCELED)
    assert {bench.get("origin", task) for task in (1, 2)} == {CancelOrigin.USER_JOB}
    assert bench.job.error_message == "stop it"
    assert bench.job.requeue_count == 0


def test_a_forced_cancel_does_not_change_the_end_of_a_job_that_fails_fast() -> None:
    bench = Bench(plain(critical=True), plain(), release()).start()
    bench.fail(1)
    assert bench.stands(JobState.CANCELING)
    message = bench.job.error_message

    bench.cancel("mine", force=True)
    bench.end(2)

    assert (bench.job.state, bench.job.error_message) == (JobState.FAILED, message)


@pytest.mark.parametrize("started", [False, True])
def test_a_task_that_was_being_sent_ends_by_what_its_node_answers(
    started: bool,
) -> None:
    bench = Bench(plain()).submit().grant()
    bench.cancel("enough")

    bench.end(1, reason=EndReason.CANCELED, code=-1, ran=started)

    assert bench.state(1) is (S.FAILED if started else S.CANCELED)


def test_a_start_that_crosses_a_cancel_makes_it_failed_even_if_the_node_is_lost() -> (
    None
):
    bench = Bench(plain()).submit().grant()
    bench.cancel("enough")
    bench.run(1)
    assert bench.state(1) is S.CANCELING

    bench.lose(1)

    assert bench.state(1) is S.FAILED
    assert bench.stands(JobState.CANCELED)


def test_what_happens_while_a_job_is_stopped_never_overwrites_the_reason() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1, 2: 1})
    bench.cancel("the reason")

    bench.end(1, reason=EndReason.STATUS_LOST, code=-1)
    bench.lose(2)
    bench.end_all(code=1)

    assert bench.job.error_message == "the reason"
    assert bench.note(1)[1] == "the reason"
    assert bench.note(2)[1] == "the reason"


def test_only_the_owner_and_administrators_may_cancel() -> None:
    bench = Bench(plain()).submit()

    assert bench.refused(c.CancelJob(caller=BOB)).hresult == -2147220981
    bench.cancel(caller=ROOT)
    assert bench.stands(JobState.CANCELED)


def test_only_administrators_may_cancel_a_command_even_if_it_is_their_own() -> None:
    bench = Bench(plain(node="n1"), job_type=JobType.ADMIN)
    bench.do(c.StartCommand(caller=ROOT, nodes={1: 1}))

    assert bench.refused(c.CancelJob(caller=ANN)).reason == "PERMISSION_DENIED"
    bench.cancel("enough", caller=ROOT)
    bench.end_all()
    assert bench.stands(JobState.CANCELED)


def test_a_lost_node_does_not_keep_a_job_canceling() -> None:
    bench = Bench(plain(), release()).start()
    bench.cancel("enough")

    bench.lose(1)

    assert bench.stands(JobState.CANCELED)
    assert bench.state(1) is S.FAILED
    assert 2 not in {start.task_id for _, start in bench.told(StartTasks)}
