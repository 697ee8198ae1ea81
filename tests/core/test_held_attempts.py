"""What a job holds on a lost node (node_loss), and who may end that.

Attempts of one task never live at once: whatever has ended a task on a lost node, no
other attempt begins before the node, or an administrator, has said that it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codec
from hpcsched.core.job import commands as c
from hpcsched.core.job.show import waiting_for
from hpcsched.core.job.states import JobState, NodeLoss, PendingReason
from hpcsched.core.job.waiting import held_back
from hpcsched.core.reports import LiveAttempt
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, plain

if TYPE_CHECKING:
    from collections.abc import Callable

S = TaskState
LIVES = LiveAttempt(7, 1, 0, 1, running=True)
AWAITED = PendingReason.ATTEMPT_MAY_LIVE


def held() -> Bench:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD).start({1: 1})
    bench.lose(1)
    return bench


def test_a_task_held_on_a_lost_node_is_queued_again_only_when_it_is_known_gone() -> (
    None
):
    """I3: its owner may ask for it at any time, and gets it when the node is back."""
    bench = held()

    bench.requeue_tasks((1, 0))
    assert bench.state(1) is S.CANCELING
    bench.do(c.GrantCores(cores={2: (0, 1, 2, 3)}))
    assert bench.state(1) is S.CANCELING

    bench.sync(1, [])
    assert bench.get("attempt", 1) == 2
    assert bench.state(1) in {S.QUEUED, S.DISPATCHING}


def test_what_is_held_on_a_lost_node_runs_again_when_the_node_is_fenced() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD).start({1: 1})
    bench.lose(1)
    bench.evict(1)  # as the node is taken offline with it

    bench.do(c.LoseNode(node_id=1, node="n1", fenced=True))

    assert bench.state(1) is S.QUEUED
    assert (bench.get("attempt", 1), bench.get("auto", 1)) == (2, 1)
    assert not bench.job.uses


ENDS: dict[str, Callable[[Bench], object]] = {
    "canceled": lambda b: b.cancel("enough"),
    "canceled by force": lambda b: b.cancel("now", force=True),
    "canceled gracefully": lambda b: b.cancel("soon", graceful=True),
    "task by task": lambda b: b.cancel_tasks((1, 0), (2, 0)),
    "by its run-time limit": lambda b: (b.modify(runtime=1.0), b.tick(1e6)),
    "requeued": lambda b: b.requeue(),
    "preempted": lambda b: b.preempt(whole=True, immediate=True),
}


def again(bench: Bench) -> None:
    """Queue it again, whatever it has come to: all of it that did not finish."""
    if bench.job.state is not JobState.QUEUED:
        bench.configure()
        bench.submit()


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ended_a_job_no_attempt_begins_beside_one_that_may_live(
    how: str,
) -> None:
    """I3, with node_loss HOLD."""
    bench = held()
    ENDS[how](bench)
    again(bench)
    assert bench.stands(JobState.QUEUED)
    assert held_back(bench.job) is AWAITED
    assert "lost node" in waiting_for(bench.job, bench.job.tasks[0])
    bench.grant({2: 4})
    assert bench.stands(JobState.QUEUED)
    assert not bench.job.uses

    bench.lose(1)
    assert held_back(bench.job) is AWAITED, "that is known"
    strangers, _ = bench.sync(1, [LIVES])
    assert strangers == [(1, 0, 1)]
    assert held_back(bench.job) is AWAITED, "it lives until its end is reported"
    bench.report(1, bench.ended(1, attempt=1))
    assert not held_back(bench.job)
    bench.grant({2: 4}).run_all()
    assert bench.get("attempt", 1) > 1


@pytest.mark.parametrize("how", ["fenced", "rebooted", "not there"])
def test_the_wait_ends_when_the_attempt_cannot_live_any_more(how: str) -> None:
    bench = held()
    bench.cancel("enough")
    bench.requeue()
    assert held_back(bench.job) is AWAITED

    if how == "fenced":
        bench.do(c.LoseNode(node_id=1, node="n1", fenced=True))
    else:
        bench.sync(1, [], rebooted=how == "rebooted")

    assert not held_back(bench.job)
    assert not bench.job.doubts
    assert bench.grant({2: 4}).stands(JobState.RUNNING)


def test_a_running_job_takes_no_task_back_of_which_an_attempt_may_live() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD)
    bench.start({1: 1, 2: 1})
    bench.lose(1)
    bench.cancel_tasks((1, 0))
    assert bench.state(1) is S.FAILED
    assert bench.stands(JobState.RUNNING)

    with pytest.raises(HpcError) as caught:
        bench.requeue_tasks((1, 0))
    assert caught.value.reason == "ATTEMPT_MAY_LIVE"
    assert caught.value.facts["task"] == "7.1"

    bench.sync(1, [])
    bench.requeue_tasks((1, 0))
    assert bench.get("attempt", 1) == 2


def test_what_is_not_to_run_again_keeps_nothing_waiting() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD)
    bench.start({1: 1, 2: 1})
    bench.lose(1)
    bench.cancel("enough")
    bench.stop(2)

    bench.requeue_tasks((2, 0))

    assert not held_back(bench.job)
    bench.grant({3: 4})
    assert bench.state(2) is S.DISPATCHING


def test_a_job_that_may_run_twice_waits_for_no_lost_node() -> None:
    """P4's default: nothing is kept of what was lost."""
    bench = Bench(plain(), plain()).start({1: 1})
    bench.cancel("enough")
    bench.lose(1)
    bench.requeue()

    assert not bench.job.doubts
    assert not held_back(bench.job)


def test_an_owner_who_lets_it_run_twice_waits_no_longer() -> None:
    bench = held()
    bench.cancel("enough")
    bench.configure()
    bench.modify(node_loss=NodeLoss.RERUN)
    bench.submit()

    assert not held_back(bench.job)


def test_what_may_live_is_stored() -> None:
    bench = held()
    bench.cancel("enough")

    body = codec.unpack(codec.encode_job(bench.job))

    assert body["doubts"] == {1: ((1, 0, 1),)}


def test_other_news_of_the_node_ends_no_wait() -> None:
    bench = held()
    bench.cancel("enough")
    bench.requeue()

    bench.report(1, bench.ended(2, attempt=1), bench.ended(1, attempt=9))
    bench.report(2, bench.ended(1, attempt=1, reason=EndReason.EXITED))

    assert held_back(bench.job) is AWAITED
