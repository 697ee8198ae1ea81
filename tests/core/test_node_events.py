"""Nodes that refuse, vanish, leave and come back: T7, T8, T22 to T25, J24, J25, 9.1."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.effects import effects_on_node
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import FailureReason, JobState, NodeLoss
from hpcsched.core.orders import EndJob, StartTasks, StopTasks
from hpcsched.core.reports import EndDetail, LiveAttempt
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, plain, sweep

S = TaskState
BACK = EndDetail(message="was never started", code="recalled")
SYSTEM = [EndReason.NOT_STARTED, EndReason.STATUS_LOST, EndReason.NODE_SHUTDOWN]


@pytest.mark.parametrize("reason", [*SYSTEM, 99, 0])
def test_a_system_error_is_answered_by_another_attempt(reason: int) -> None:
    bench = Bench(plain()).submit().grant()

    bench.end(1, reason=reason, code=-1, ran=False)

    assert bench.state(1) is S.DISPATCHING
    assert (bench.get("attempt", 1), bench.get("auto", 1)) == (2, 1)


def test_system_errors_are_answered_so_often_and_then_the_task_fails() -> None:
    bench = Bench(plain(), settings=Settings(task_retries=2)).submit().grant()

    for _ in range(3):
        assert bench.state(1) is S.DISPATCHING
        bench.refuse(1)

    assert bench.state(1) is S.FAILED
    assert bench.note(1)[0] == codes.NODE_ERROR
    assert bench.get("attempt", 1) == 3


def test_a_task_that_is_not_rerunnable_fails_at_the_first_system_error() -> None:
    bench = Bench(plain(is_rerunnable=False)).submit().grant()

    bench.refuse(1)

    assert bench.state(1) is S.FAILED


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("stdin", -2147218975),
        ("stdout", -2147218974),
        ("stderr", -2147218973),
        ("cwd", -2147218972),
        ("exec", -2147218979),
    ],
)
def test_what_a_task_lacks_is_its_own_error_and_not_retried(
    what: str, code: int
) -> None:
    bench = Bench(plain()).submit().grant()

    bench.end(
        1,
        reason=EndReason.START_FAILED,
        code=-1,
        ran=False,
        detail=EndDetail(code=what, message=f"no {what}"),
    )

    assert bench.state(1) is S.FAILED
    assert bench.note(1) == (code, f"no {what}")


@pytest.mark.parametrize(
    "reason", [EndReason.EXITED, EndReason.SIGNALED, EndReason.TIME_LIMIT]
)
def test_own_failures_are_rerun_as_often_as_the_job_says(reason: EndReason) -> None:
    bench = Bench(plain(), retry_limit=1).start()

    bench.end(1, reason=reason, code=137)
    assert bench.state(1) is S.DISPATCHING
    assert (bench.get("retries", 1), bench.get("auto", 1)) == (1, 0)
    bench.run(1).end(1, reason=reason, code=137)

    assert bench.state(1) is S.FAILED


def test_valid_exit_codes_of_the_task_replace_those_of_the_job() -> None:
    bench = Bench(
        plain(), plain(valid_exit_codes="0,5..6"), plain(), valid_exit_codes="3"
    ).start()

    bench.end(1, code=3).end(2, code=6).end(3, code=0)

    assert [bench.state(t) for t in (1, 2, 3)] == [S.FINISHED, S.FINISHED, S.FAILED]


def test_a_lost_node_queues_rerunnable_tasks_and_fails_others() -> None:
    bench = Bench(plain(), plain(is_rerunnable=False), plain()).start({1: 2, 2: 1})

    bench.lose(1)

    assert bench.state(1) is S.QUEUED
    assert (bench.get("attempt", 1), bench.get("auto", 1)) == (2, 1)
    assert bench.state(2) is S.FAILED
    assert bench.note(2)[0] == -2147218984
    assert bench.state(3) is S.RUNNING
    assert 1 not in bench.job.uses


def test_late_reports_of_a_fenced_attempt_change_nothing() -> None:
    bench = Bench(plain(), plain()).start({1: 1, 2: 1})
    bench.lose(1)
    bench.end(2)
    bench.run_all()
    revision = bench.job.revision

    bench.report(1, bench.ended(1, attempt=1))
    bench.report(1, bench.ended(1, attempt=2))  # right attempt, wrong node

    assert bench.job.revision == revision


def test_doubled_reports_count_once() -> None:
    bench = Bench(sweep(2), plain()).submit().grant()

    start, end = bench.started(1, 1), bench.ended(1, 1)
    bench.report(1, start, start)
    bench.report(1, end, end, start)
    bench.report(1, end)

    assert bench.states(1) == ["Finished", "Dispatching"]


def test_a_job_without_enough_nodes_left_is_queued_again() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1}).run_all()

    bench.lose(1)

    assert bench.path[-1] == "Queued"
    assert bench.job.auto_requeue_count == 1
    assert bench.job.start_time is None
    assert bench.job.requeue_count == 0
    assert bench.told(EndJob)


def test_it_goes_on_while_what_is_left_is_enough() -> None:
    bench = Bench(*(plain() for _ in range(3)), min_cores=1, max_cores=4)
    bench.start({1: 1, 2: 1})

    bench.lose(1)

    assert bench.stands(JobState.RUNNING)


def test_a_job_that_lost_its_nodes_too_often_fails() -> None:
    bench = Bench(plain(), sweep(2), settings=Settings(job_retries=1)).start({1: 1})
    bench.lose(1)
    bench.grant({2: 1}).run_all()

    bench.lose(2)

    assert bench.stands(JobState.FAILED)
    assert bench.job.failure_reason is FailureReason.RESOURCE_FAILURE
    assert bench.job.error_code == -2147218981
    assert bench.state(1) is S.CANCELED
    assert bench.states(2) == ["Canceled"] * 2


def test_a_job_never_starts_over_for_a_node_when_nothing_needs_it() -> None:
    bench = Bench(plain()).start({1: 1, 2: 1})
    assert set(bench.job.uses) == {1}

    bench.lose(2)

    assert bench.state(1) is S.RUNNING


def test_a_node_taken_away_stops_tasks_and_reruns_those_that_may() -> None:
    bench = Bench(plain(), plain(is_rerunnable=False), plain()).start({1: 2, 2: 1})

    bench.evict(1)

    assert (bench.state(1), bench.state(2)) == (S.CANCELING, S.CANCELING)
    assert {s.reason for _, s in bench.told(StopTasks)} == {"NodeNotUsableByJob"}
    bench.stop(1).stop(2)
    assert (bench.state(1), bench.state(2)) == (S.QUEUED, S.FAILED)
    assert bench.note(2)[0] == -2147218967
    assert bench.get("auto", 1) == 0
    assert 1 not in bench.job.uses


def test_what_was_not_rerunnable_and_not_started_fails_on_a_node_taken_away() -> None:
    bench = Bench(plain(is_rerunnable=False), plain()).submit().grant({1: 1, 2: 1})

    bench.evict(1)
    bench.refuse(1)

    assert bench.state(1) is S.FAILED


def test_a_draining_node_lets_what_runs_end_and_gets_nothing_new() -> None:
    bench = Bench(sweep(4)).submit().grant({1: 2}).run(1, 1)

    bench.evict(1, drain=True)

    assert bench.states(1) == ["Running", "Dispatching", "Queued", "Queued"]
    bench.end(1, 2, reason=EndReason.NOT_STARTED, code=-1, ran=False, detail=BACK)
    bench.end(1, 1)
    assert bench.states(1) == ["Finished", "Queued", "Queued", "Queued"]
    assert bench.get("auto", 1, 2) == 0
    assert not bench.job.uses
    assert bench.stands(JobState.QUEUED)


def test_a_graceful_cancel_does_not_keep_a_node_that_is_taken_away() -> None:
    bench = Bench(plain(), plain()).start({1: 1, 2: 1})
    bench.cancel("soon", graceful=True)

    bench.evict(1)

    assert (bench.state(1), bench.state(2)) == (S.CANCELING, S.RUNNING)
    bench.stop(1)
    assert bench.state(1) is S.FAILED


def test_back_with_everything_nothing_changes() -> None:
    bench = Bench(plain(), plain()).submit().grant().run(1)
    revision = bench.job.revision
    live = [a for a in bench.live(1) if a.task_id == 1]

    strangers, known = bench.sync(1, live)

    assert (strangers, known) == ([], True)
    assert bench.job.revision == revision
    assert bench.state(2) is S.DISPATCHING  # its start is sent again
    again = effects_on_node(bench.job, 1, bench.settings, bench.scene)
    starts = [o for o in again if isinstance(o, StartTasks)]
    assert [(o.task_id, list(o.attempts)) for o in starts] == [(2, [1])]


def test_what_ran_and_is_not_there_was_lost() -> None:
    bench = Bench(plain(), plain()).start()

    bench.sync(1, [a for a in bench.live(1) if a.task_id == 1])

    assert bench.state(1) is S.RUNNING
    assert (bench.get("attempt", 2), bench.get("auto", 2)) == (2, 1)


def test_after_a_boot_everything_there_was_lost_and_nothing_is_sent_again() -> None:
    bench = Bench(plain(), plain(), min_cores=1).submit().grant().run(1)

    bench.sync(1, rebooted=True)

    assert [bench.get("attempt", t) for t in (1, 2)] == [2, 2]


def test_a_start_that_was_not_heard_of_is_learned_at_the_sync() -> None:
    bench = Bench(plain()).submit().grant()

    bench.sync(1, bench.live(1))

    assert bench.state(1) is S.RUNNING
    assert bench.get("start", 1) == bench.now


def test_a_cancel_is_repeated_at_the_sync_and_ends_if_nothing_is_there() -> None:
    bench = Bench(plain(), plain()).start()
    bench.cancel("enough")

    bench.sync(1, [a for a in bench.live(1) if a.task_id == 1])

    again = effects_on_node(bench.job, 1, bench.settings, bench.scene)
    assert [type(o) for o in again if isinstance(o, StopTasks)] == [StopTasks]
    assert bench.state(2) is S.FAILED
    assert bench.note(2)[1] == "enough"


def test_old_and_unknown_attempts_are_strangers() -> None:
    bench = Bench(plain(), plain()).start({1: 1, 2: 1})
    bench.lose(1)
    old = LiveAttempt(7, 1, 0, 1, running=True)
    unknown = LiveAttempt(7, 9, 3, 1, running=True)

    strangers, known = bench.sync(1, [old, unknown])

    assert sorted(strangers) == [(1, 0, 1), (9, 3, 1)]
    assert known is False


def test_a_job_that_holds_keeps_what_runs_on_a_lost_node_until_it_is_back() -> None:
    bench = Bench(sweep(4), node_loss=NodeLoss.HOLD).start({1: 1, 2: 1})

    bench.lose(1)

    assert bench.states(1)[0] == "Running"
    assert bench.job.uses[1].phase.lost
    bench.end(1, 2).end(1, 3)
    assert bench.get("node", 1, 4) == 2  # nothing new goes there
    bench.sync(1, bench.live(1))
    assert bench.job.uses[1].phase is UsePhase.READY
    bench.end_all()
    assert bench.stands(JobState.FINISHED)
    assert [bench.get("attempt", 1, i) for i in range(1, 5)] == [1] * 4


def test_a_job_that_holds_is_canceled_without_waiting_for_a_lost_node() -> None:
    bench = Bench(plain(), node_loss=NodeLoss.HOLD).start()
    bench.lose(1)

    bench.cancel("enough")

    assert bench.stands(JobState.CANCELED)
    assert bench.state(1) is S.FAILED


def test_nor_does_a_graceful_cancel_wait_for_what_runs_there() -> None:
    bench = Bench(plain(), node_loss=NodeLoss.HOLD).start()
    bench.lose(1)

    bench.cancel("soon", graceful=True)

    assert bench.stands(JobState.CANCELED)
    assert bench.state(1) is S.FAILED


def test_a_job_that_holds_learns_of_a_loss_when_the_node_is_back() -> None:
    bench = Bench(plain(), node_loss=NodeLoss.HOLD).start()
    bench.lose(1)

    bench.sync(1, rebooted=True)

    assert bench.state(1) is S.DISPATCHING
    assert bench.get("attempt", 1) == 2


def test_a_node_taken_away_while_it_was_lost_is_left_when_it_is_back() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD).start({1: 1})
    bench.lose(1)
    bench.evict(1)

    bench.sync(1, bench.live(1))

    assert bench.job.uses[1].phase is UsePhase.LEAVING
    bench.end(1)
    assert not bench.job.uses


@pytest.mark.parametrize("columns", ["short", "wild"])
def test_malformed_reports_never_break_a_job(columns: str) -> None:
    bench = Bench(sweep(2), plain()).submit().grant()
    ended = bench.ended(1, 1)
    if columns == "short":
        ended.attempts.clear()  # type: ignore[attr-defined]
    else:
        for name, value in {
            "exit_codes": 1 << 40,
            "starts": float("nan"),
            "ends": float("inf"),
            "cores": 1 << 20,
            "user_ms": -5,
            "kernel_ms": 1 << 50,
            "max_rss_kib": 1 << 50,
        }.items():
            getattr(ended, name)[0] = value

    bench.report(1, ended)

    assert bench.states(1)[0] == ("Dispatching" if columns == "short" else "Failed")


def test_a_grant_to_a_job_that_has_ended_is_not_taken() -> None:
    bench = Bench(plain()).submit()
    bench.cancel()

    bench.do(c.GrantCores(cores={1: (0, 1)}))

    assert not bench.job.uses


def test_a_node_without_the_account_is_a_system_error_of_the_node() -> None:
    """node-agent.md 3: StartJobFailedOnNode, rerun within the retry limits."""
    bench = Bench(plain(), settings=Settings(task_retries=1)).start()
    detail = EndDetail(code="user", message="this node runs tasks as root only")

    bench.end(1, reason=EndReason.START_FAILED, code=-1, detail=detail)
    assert bench.state(1) is not S.FAILED
    bench.end(1, reason=EndReason.START_FAILED, code=-1, detail=detail)

    assert bench.state(1) is S.FAILED
    assert bench.note(1) == (-2147218977, detail.message)
