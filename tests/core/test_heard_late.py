"""What was dispatched may run although the head has not heard of it yet.

A start is told a moment after it. Until then the record says Dispatching; but where
what runs may go on, that must not be stopped for it: its node is asked, and knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job.effects import effects_on_node
from hpcsched.core.job.states import JobState, NodeLoss
from hpcsched.core.orders import RecallTasks, StartTasks, StopTasks
from hpcsched.core.reports import EndDetail
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from tests.support.job_bench import Bench, plain, prep, release, service, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

S = TaskState
BACK = EndDetail(message="was never started", code="recalled")


def drain(bench: Bench) -> None:
    bench.evict(1, drain=True)


def cancel(bench: Bench) -> None:
    bench.cancel("soon", graceful=True)


def finish(bench: Bench) -> None:
    bench.finish_job("soon", graceful=True)


LENIENT: dict[str, Callable[[Bench], None]] = {
    "drain": drain,
    "cancel": cancel,
    "finish": finish,
}
lenient = pytest.mark.parametrize("do", LENIENT.values(), ids=LENIENT)


def give_back(bench: Bench, task: int = 1, instance: int = 0) -> None:
    reason = EndReason.NOT_STARTED
    bench.end(task, instance, reason=reason, code=-1, ran=False, detail=BACK)


def asked(bench: Bench) -> list[tuple[int, int, int]]:
    """Return the node, task and instance of everything that was asked for."""
    told = bench.told(RecallTasks)
    return [(n, order.task_id, i) for n, order in told for i in order.instances]


@lenient
@pytest.mark.parametrize("rerunnable", [True, False])
def test_what_has_started_runs_to_its_end_though_its_start_was_not_heard(
    do: Callable[[Bench], None], *, rerunnable: bool
) -> None:
    bench = Bench(plain(is_rerunnable=rerunnable)).submit().grant()

    do(bench)

    assert asked(bench) == [(1, 1, 0)]
    bench.run(1)
    assert bench.state(1) is S.RUNNING
    bench.end(1)
    assert (bench.state(1), bench.get("attempt", 1)) == (S.FINISHED, 1)
    assert bench.get("origin", 1) == CancelOrigin.NONE
    assert bench.note(1) == (0, "")
    assert not bench.told(StopTasks)


@lenient
def test_an_end_that_is_heard_before_its_start_is_the_true_one(
    do: Callable[[Bench], None],
) -> None:
    bench = Bench(plain()).submit().grant()
    do(bench)

    bench.end(1, code=3)

    assert (bench.state(1), bench.get("exit", 1)) == (S.FAILED, 3)


@pytest.mark.parametrize("rerunnable", [True, False])
def test_what_a_draining_node_has_not_started_is_queued_and_nobodys_fault(
    *, rerunnable: bool
) -> None:
    bench = Bench(plain(is_rerunnable=rerunnable)).submit().grant()
    drain(bench)

    give_back(bench)

    assert bench.state(1) is S.QUEUED
    assert (bench.get("attempt", 1), bench.get("auto", 1)) == (2, 0)
    assert bench.stands(JobState.QUEUED)
    assert (bench.job.auto_requeue_count, bench.job.uses) == (0, {})


@pytest.mark.parametrize(
    ("do", "job", "code"),
    [
        (cancel, JobState.CANCELED, codes.TASKS_JOB_CANCELED),
        (finish, JobState.FINISHED, codes.FINISHED_DURING_EXECUTION),
    ],
    ids=["cancel", "finish"],
)
@pytest.mark.parametrize("how", ["given back", "refused", "lost", "boot", "sync"])
def test_what_had_not_started_as_its_job_was_ended_gracefully_is_canceled(
    do: Callable[[Bench], None], job: JobState, code: int, how: str
) -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1, 2: 1}).run(2)
    do(bench)

    if how == "given back":
        give_back(bench)
    elif how == "refused":
        bench.refuse(1)
    elif how == "lost":
        bench.lose(1)
    else:
        bench.sync(1, rebooted=how == "boot")

    assert bench.state(1) is S.CANCELED
    assert bench.get("origin", 1) == CancelOrigin.USER_JOB
    assert bench.note(1) == (code, "soon")
    bench.end(2)
    assert (bench.job.state, bench.state(2)) == (job, S.FINISHED)


def test_force_stops_what_was_only_asked_for() -> None:
    bench = Bench(plain()).submit().grant()
    cancel(bench)

    bench.cancel(force=True)

    assert bench.state(1) is S.CANCELING
    assert [order.grace_ms for _, order in bench.told(StopTasks)] == [0]


def test_the_limit_of_the_job_stops_it_as_well() -> None:
    bench = Bench(plain(), runtime=50.0).submit().grant()
    cancel(bench)

    bench.tick(50)

    assert bench.state(1) is S.CANCELING
    bench.end(1, reason=EndReason.CANCELED, code=143)
    assert bench.state(1) is S.FAILED


def test_a_node_that_did_not_get_the_start_does_not_get_it_after_a_drain() -> None:
    bench = Bench(sweep(2)).submit().grant({1: 2}).run(1, 1)
    drain(bench)

    bench.sync(1, [a for a in bench.live(1) if a.instance_id == 1])

    assert bench.states(1) == ["Running", "Queued"]
    assert (bench.get("attempt", 1, 2), bench.get("auto", 1, 2)) == (2, 0)
    again = effects_on_node(bench.job, 1, bench.settings, bench.scene)
    assert not [order for order in again if isinstance(order, StartTasks)]


@pytest.mark.parametrize("drain", [True, False], ids=["drain", "offline"])
def test_a_node_that_was_taken_away_while_it_was_lost_gets_no_start(
    *, drain: bool
) -> None:
    bench = Bench(sweep(2), node_loss=NodeLoss.HOLD).submit().grant({1: 2}).run(1, 1)
    bench.lose(1)
    bench.evict(1, drain=drain)

    bench.sync(1, [a for a in bench.live(1) if a.instance_id == 1])

    assert bench.states(1) == ["Running", "Queued"]
    again = effects_on_node(bench.job, 1, bench.settings, bench.scene)
    assert not [order for order in again if isinstance(order, StartTasks)]


def test_a_node_that_comes_back_with_what_waits_there_is_asked_again() -> None:
    bench = Bench(plain()).submit().grant()
    drain(bench)
    (waiting,) = bench.live(1)

    bench.sync(1, [waiting.__class__(7, 1, 0, 1, running=False)])

    assert bench.state(1) is S.DISPATCHING
    again = effects_on_node(bench.job, 1, bench.settings, bench.scene)
    assert [type(order) for order in again][-1] is RecallTasks


def test_a_drain_asks_once() -> None:
    bench = Bench(plain()).submit().grant()
    drain(bench)

    drain(bench)

    assert len(bench.told(RecallTasks)) == 1


def test_what_can_run_nowhere_else_is_left_to_its_node_while_that_drains() -> None:
    bench = Bench(plain(node="n1"), prep()).submit().grant()

    drain(bench)

    assert not bench.told(RecallTasks)
    assert not bench.told(StopTasks)


def test_a_task_of_several_nodes_is_asked_for_where_it_was_sent() -> None:
    bench = Bench(plain(min_cores=6), min_cores=6, max_cores=6)
    bench.largest = 4
    bench.submit().grant({1: 4, 2: 4})
    assert bench.state(1) is S.DISPATCHING
    (home,) = {node for node, _ in bench.told(StartTasks)}

    bench.evict(3 - home, drain=True)

    assert asked(bench) == [(home, 1, 0)]


def test_an_instance_of_a_service_is_followed_by_one_elsewhere_without_a_pause() -> (
    None
):
    bench = Bench(service(), min_cores=1, max_cores=2).submit().grant({1: 1, 2: 1})
    bench.run(1, 2)
    drain(bench)

    give_back(bench, 1, 1)

    assert bench.states(1) == ["Canceled", "Running"]
    assert bench.get("origin", 1, 1) == CancelOrigin.NODE
    assert bench.job.tasks[0].strikes == 0


def test_a_graceful_end_asks_for_preparations_that_have_not_begun() -> None:
    bench = Bench(plain(), prep(), release()).submit().grant({1: 1})
    cancel(bench)
    assert asked(bench) == [(1, 2, 1)]

    give_back(bench, 2, 1)

    assert bench.stands(JobState.CANCELED)
    assert not bench.job.tasks[2].count, "nothing was prepared"


# -- preemption


def test_what_must_not_run_twice_is_preempted_last_even_if_it_seems_to_wait() -> None:
    bench = Bench(plain(is_rerunnable=False), plain(), min_cores=1, max_cores=2)
    bench.submit().grant({1: 2}).run(2)

    bench.preempt({1: 1}, immediate=True)

    assert (bench.state(1), bench.state(2)) == (S.DISPATCHING, S.CANCELING)


@pytest.mark.parametrize(
    ("how", "after"),
    [("lost", S.FAILED), ("boot", S.FAILED), ("sync", S.QUEUED), ("said", S.QUEUED)],
)
def test_what_may_have_started_before_its_node_was_lost_does_not_run_twice(
    how: str, after: TaskState
) -> None:
    tasks = (plain(is_rerunnable=False), plain())
    bench = Bench(*tasks, node_loss=NodeLoss.RERUN, min_cores=1, max_cores=2)
    bench.submit().grant({1: 1, 2: 1}).run(2)
    bench.preempt({1: 1}, immediate=True)
    assert bench.state(1) is S.CANCELING

    if how == "said":
        bench.refuse(1)
    elif how == "lost":
        bench.lose(1)
    else:
        bench.sync(1, rebooted=how == "boot")

    assert bench.state(1) is after
