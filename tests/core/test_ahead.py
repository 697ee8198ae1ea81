"""A queued job that waits on a node before a core is free there (core/job/ahead.py)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.effects import effects_on_node
from hpcsched.core.job.states import JobState, NodeLoss
from hpcsched.core.orders import (
    DefineTask,
    EndJob,
    RecallTasks,
    SetGrant,
    StartTasks,
)
from hpcsched.core.reports import LiveAttempt
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, plain, prep, sweep

S = TaskState


def ahead(*tasks: TaskSpec, **spec: object) -> Bench:
    """Return a queued job that waits on node 2 for core 1 or 3."""
    bench = Bench(*(tasks or (plain(),)), **spec).submit()  # type: ignore[arg-type]
    bench.do(c.SendAhead(node_id=2, cores=(1, 3), shape=(4, 1)), after=1.0)
    return bench


def back(bench: Bench, reason: int = EndReason.NOT_STARTED) -> None:
    bench.report(2, bench.ended(1, reason=reason, code=-1, ran=False))


def test_it_is_queued_and_holds_nothing_until_its_node_has_started_it() -> None:
    bench = ahead()

    assert bench.job.state is JobState.QUEUED
    assert bench.state(1) is S.QUEUED
    assert not bench.job.uses
    assert bench.told(SetGrant) == [(2, SetGrant(job_id=7, cores=(1, 3)))]
    assert [node for node, _ in bench.told(DefineTask)] == [2]
    assert [order.attempts for _, order in bench.told(StartTasks)] == [[1]]


def test_it_has_started_when_and_where_its_task_has() -> None:
    bench = ahead()
    started = bench.started(1, core=3)
    bench.now += 0.5
    bench.report(2, started)

    assert bench.job.state is JobState.RUNNING
    assert bench.job.start_time == bench.now - 0.5
    assert bench.job.uses[2].cores == (3,)
    assert bench.state(1) is S.RUNNING
    assert bench.path[-2:] == ["Queued", "Running"]


@pytest.mark.parametrize("wrong", [-5.0, 50.0, 1e12])
def test_a_clock_of_the_node_that_is_wrong_does_not_move_its_start(
    wrong: float,
) -> None:
    bench = ahead()
    sent = bench.now
    started = bench.started(1, core=3)
    started = type(started)(
        job_id=7, task_id=1, instances=[0], attempts=[1], times=[wrong], cores=[3]
    )
    bench.now += 0.5
    bench.report(2, started)

    assert bench.job.start_time is not None
    assert sent <= bench.job.start_time <= bench.now


def test_start_and_end_in_one_report_are_its_whole_life_with_every_state() -> None:
    bench = ahead()
    start = bench.now + 0.1
    bench.now += 1.0
    ended = bench.ended(1)
    told = {"starts": [start], "ends": [bench.now], "cores": [1]}
    bench.report(2, type(ended)(**{**_fields(ended), **told}))

    assert bench.job.state is JobState.FINISHED
    assert bench.path[-4:] == ["Queued", "Running", "Finishing", "Finished"]
    assert bench.job.start_time == start
    assert bench.last is not None
    (held,) = bench.last.turn.held
    assert (held.cores, held.start, held.end) == ((1,), start, bench.now)
    assert bench.told(EndJob) == [(2, EndJob(job_id=7))]


@pytest.mark.parametrize("wrong", [-30.0, -0.2, 0.0, 0.2, 30.0])
def test_what_ran_is_charged_in_full_whatever_clock_its_node_has(wrong: float) -> None:
    bench = ahead()
    bench.now += 2.0
    start, end = bench.now - 1.5 + wrong, bench.now - 0.1 + wrong
    told = {"starts": [start], "ends": [end], "cores": [1]}
    ended = bench.ended(1)
    bench.report(2, type(ended)(**{**_fields(ended), **told}))

    assert bench.job.state is JobState.FINISHED
    assert bench.last is not None
    (held,) = bench.last.turn.held
    assert held.end == bench.now
    assert 1.4 - 1e-6 <= held.end - held.start <= 2.0


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__slots__}


def test_what_was_asked_for_and_given_back_is_queued_as_another_attempt() -> None:
    bench = ahead()
    bench.do(c.RecallAhead())
    assert bench.told(RecallTasks)[-1][1].attempts == [1]

    back(bench)

    assert (bench.job.state, bench.job.ahead) == (JobState.QUEUED, ())
    assert bench.get("attempt", 1) == 2
    assert bench.job.auto_requeue_count == bench.get("auto", 1) == 0
    assert bench.told(EndJob) == [(2, EndJob(job_id=7))]
    bench.grant({1: 1})
    assert bench.told(StartTasks)[-1][1].attempts == [2]


def test_what_was_asked_for_and_has_started_meanwhile_just_runs() -> None:
    bench = ahead()
    bench.do(c.RecallAhead())
    bench.report(2, bench.started(1, core=1))

    assert bench.state(1) is S.RUNNING
    back(bench, EndReason.STATUS_LOST)
    assert bench.get("auto", 1) == 1  # as any that ran


def test_it_is_asked_for_once() -> None:
    bench = ahead()
    bench.do(c.RecallAhead())
    bench.do(c.RecallAhead())

    assert len(bench.told(RecallTasks)) == 1


def test_a_failed_start_is_the_task_s_own_fault_as_ever() -> None:
    bench = ahead()
    back(bench, EndReason.START_FAILED)

    assert bench.job.state is JobState.FAILED


def test_reports_of_other_attempts_and_other_nodes_change_nothing() -> None:
    bench = ahead()
    bench.report(1, bench.started(1), bench.ended(1))
    bench.report(2, bench.started(1, attempt=9), bench.ended(1, attempt=9))

    assert (bench.job.state, bench.job.ahead[0]) == (JobState.QUEUED, 2)


def test_a_lost_node_leaves_it_queued_and_its_late_reports_count_no_more() -> None:
    bench = ahead()
    late = bench.ended(1)
    bench.lose(2)
    bench.report(2, late)

    assert (bench.job.state, bench.get("attempt", 1)) == (JobState.QUEUED, 2)


@pytest.mark.parametrize("running", [True, False])
def test_a_node_that_is_back_and_has_it_is_believed(running: bool) -> None:
    bench = ahead()
    live = LiveAttempt(7, 1, 0, 1, running=running, start_time=bench.now, core=1)

    assert bench.sync(2, [live]) == ([], True)
    assert bench.job.state is (JobState.RUNNING if running else JobState.QUEUED)


def test_a_node_that_is_back_without_it_is_sent_it_again() -> None:
    bench = ahead()

    assert bench.sync(2) == ([], True)
    again = effects_on_node(bench.job, 2, bench.settings, bench.scene)
    assert [type(one) for one in again] == [SetGrant, DefineTask, StartTasks]


def test_another_boot_of_its_node_is_never_sent_the_same_attempt() -> None:
    bench = ahead()

    assert bench.sync(2, rebooted=True) == ([], False)
    assert (bench.job.ahead, bench.get("attempt", 1)) == ((), 2)
    assert not effects_on_node(bench.job, 2, bench.settings, bench.scene)


def test_a_restart_knows_where_it_waits_and_that_it_was_asked_for() -> None:
    bench = ahead()
    bench.do(c.RecallAhead())
    loaded = bench.watcher.stored()

    assert loaded.ahead == (2, (1, 3), 4, 1)
    again = effects_on_node(loaded, 2, bench.settings, bench.scene)
    assert [type(one) for one in again][-1] is RecallTasks


UNFIT: dict[str, tuple[tuple[TaskSpec, ...], dict[str, object]]] = {
    "a sweep": ((sweep(1),), {}),
    "two tasks": ((plain(), plain()), {}),
    "a wide task": ((plain(min_cores=2),), {}),
    "a task that may not run twice": ((plain(is_rerunnable=False),), {}),
    "a prepared node": ((plain(), prep()), {}),
    "a task for certain nodes": ((plain(required_nodes=("n1",)),), {}),
    "an exclusive job": ((plain(),), {"is_exclusive": True}),
    "excluded nodes": ((plain(),), {"excluded_nodes": ("n2",)}),
    "a job that never overlaps": ((plain(),), {"node_loss": NodeLoss.HOLD}),
    "a job that is held": ((plain(),), {"hold_until": 1e6}),
    "a job with parents": ((plain(),), {"parent_job_ids": (1,)}),
}


@pytest.mark.parametrize("what", UNFIT)
def test_only_one_small_task_that_may_run_anywhere_and_twice_waits_there(
    what: str,
) -> None:
    tasks, spec = UNFIT[what]
    bench = ahead(*tasks, **spec)

    assert not bench.job.ahead
    assert not bench.told(StartTasks)


def test_one_whose_node_cannot_be_asked_counts_as_started_there() -> None:
    bench = ahead()
    bench.do(c.StartAhead())
    assert (bench.job.state, bench.state(1)) == (JobState.RUNNING, S.DISPATCHING)

    bench.cancel()
    back(bench)

    assert (bench.job.state, bench.state(1)) == (JobState.CANCELED, S.CANCELED)
