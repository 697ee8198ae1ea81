"""Tasks that span nodes, and tasks that are choosy about them (T5)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import CancelRequest, JobState, NodeLoss, UnitType
from hpcsched.core.orders import SetGrant, StartTasks, StopTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, release, sweep

S = TaskState
UNREACHABLE = -2147218984


def bench_of(*tasks: Any, largest: int = 4, **spec: Any) -> Bench:
    bench = Bench(*tasks, **spec)
    bench.largest = largest
    return bench


def place(bench: Bench, task: int, instance: int = 0) -> dict[int, int]:
    """Return how many cores an attempt has on each node, its own first."""
    record = bench.job.tasks[task - 1]
    table, row = bench.job.table_of(record), record.row(instance)
    beside = {node: len(cores) for node, cores in table.places.get(row, ())}
    return {table.get("node", row): record.width(table, row), **beside}


def grants(bench: Bench, node: int) -> list[tuple[int, ...]]:
    return [order.cores for at, order in bench.told(SetGrant) if at == node]


def spanned(largest: int = 4, **fields: Any) -> Bench:
    """A task of 6 cores that runs on nodes 1 and 2, which have 4 each."""
    fields = {"min_cores": 6, **fields}
    return bench_of(plain(**fields), largest=largest).start({1: 4, 2: 4})


# -- placing --


def test_a_task_wider_than_any_node_gets_cores_of_several() -> None:
    bench = spanned()

    assert bench.state(1) is S.RUNNING
    assert place(bench, 1) == {1: 4, 2: 2}
    ((node, start),) = bench.told(StartTasks)
    assert (node, start.cores) == (1, 4)
    assert list(start.allocation) == [("#1", 4), ("#2", 2)]


def test_one_that_a_node_of_the_cluster_is_wide_enough_for_never_spans() -> None:
    bench = bench_of(plain(min_cores=6), largest=8, min_cores=8, max_cores=8)

    bench.submit().grant({1: 4, 2: 4})

    assert bench.stands(JobState.QUEUED)  # it gets other nodes
    bench.grant({3: 8})
    assert place(bench, 1) == {3: 6}


def test_all_cores_are_taken_at_once_or_none() -> None:
    bench = bench_of(sweep(3), plain(min_cores=6), plain())
    bench.submit().grant({1: 4, 2: 4})
    for core in range(3):
        bench.run(1, core + 1, core=core)

    assert [bench.state(t) for t in (2, 3)] == [S.QUEUED, S.QUEUED]
    assert bench.job.uses[2].busy == 0
    bench.end(1, 1)
    assert bench.state(2) is S.DISPATCHING
    assert sum(place(bench, 2).values()) == 6


def test_it_gets_up_to_its_maximum() -> None:
    bench = spanned(max_cores=7)
    assert sum(place(bench, 1).values()) == 7


def test_elements_of_a_sweep_span_nodes_one_after_the_other() -> None:
    bench = bench_of(sweep(2, min_cores=6, max_cores=8)).start({1: 4, 2: 4})

    assert place(bench, 1, 1) == {1: 4, 2: 2}
    assert bench.state(1, 2) is S.QUEUED
    bench.end(1, 1)
    assert bench.state(1, 2) is S.DISPATCHING
    bench.end_all()
    assert bench.stands(JobState.FINISHED)


def test_the_node_that_is_held_starts_nothing_on_the_held_cores() -> None:
    bench = bench_of(plain(min_cores=6), sweep(4)).start({1: 4, 2: 4})

    assert grants(bench, 2)[-1] == (0, 1)
    running = [i for i in range(1, 5) if bench.state(2, i) is S.RUNNING]
    assert len(running) == 2
    bench.end(1)
    assert grants(bench, 2)[-1] == (0, 1, 2, 3)
    assert bench.job.holds == {}


def test_nothing_is_held_beside_processes_whose_cores_are_not_known_yet() -> None:
    bench = bench_of(plain(), plain(min_cores=5)).submit().grant({1: 2, 2: 4})
    assert bench.state(2) is S.QUEUED  # task 1 is on its way to node 1

    bench.run(1, core=1)

    assert bench.state(2) is S.DISPATCHING
    assert place(bench, 2) == {2: 4, 1: 1}
    assert bench.job.holds[1] == {(2, 1): (0,)}


def test_it_waits_until_every_node_of_its_own_is_prepared() -> None:
    bench = bench_of(plain(min_cores=6), prep()).submit().grant({1: 4, 2: 4})
    bench.end(2, 1)

    assert bench.state(1) is S.QUEUED
    bench.end(2, 2)
    assert bench.state(1) is S.DISPATCHING


def test_a_node_is_released_only_when_what_is_held_there_has_ended() -> None:
    bench = bench_of(plain(min_cores=6), release()).start({1: 4, 2: 4})
    bench.evict(2, drain=True)
    assert not bench.told(StopTasks)
    assert bench.job.tasks[1].count == 0

    bench.end(1)

    nodes = {bench.get("node", 2, i + 1) for i in range(bench.job.tasks[1].count)}
    assert nodes == {1, 2}


def test_cores_that_are_held_are_not_given_back() -> None:
    bench = spanned()
    held = {node: use.cores for node, use in bench.job.uses.items()}
    assert {node: len(cores) for node, cores in held.items()} == {1: 4, 2: 2}


# -- required nodes, groups, exclusive tasks, units --


def test_a_task_gets_cores_on_each_of_its_required_nodes() -> None:
    task = plain(required_nodes=("n3", "n1"), min_cores=4)
    bench = bench_of(task, largest=0, min_cores=4).start({1: 4, 2: 4, 3: 4})

    assert place(bench, 1) == {3: 2, 1: 2}


def test_more_cores_than_required_nodes_have_come_from_others() -> None:
    task = plain(required_nodes=("n2",), min_cores=6, max_cores=8)
    bench = bench_of(task, min_cores=6).start({1: 4, 2: 4})

    assert place(bench, 1) == {2: 4, 1: 2}


def test_a_task_whose_nodes_the_job_has_not_is_passed_over_by_others() -> None:
    tasks = (plain(required_nodes=("n2",)), plain(), plain())
    bench = bench_of(*tasks, min_cores=1).start({1: 1})

    assert [bench.state(t) for t in (1, 2, 3)] == [S.QUEUED, S.RUNNING, S.QUEUED]
    bench.end(2).end(3)

    assert bench.stands(JobState.QUEUED)  # it needs other nodes now
    bench.grant({2: 1})
    assert bench.state(1) is S.DISPATCHING


def test_a_task_runs_on_nodes_of_its_group_only() -> None:
    bench = bench_of(sweep(4, requested_node_group="gpu"), plain())
    bench.groups = {2: ("gpu", "big")}

    bench.start({1: 4, 2: 2})

    nodes = {bench.get("node", 1, i) for i in (1, 2)}
    assert nodes == {2}
    assert bench.states(1) == ["Running", "Running", "Queued", "Queued"]


def test_an_exclusive_task_shares_its_node_with_no_other_of_its_job() -> None:
    task = plain(is_exclusive=True)
    bench = bench_of(
        plain(), task, sweep(3), is_exclusive=True, min_cores=4, max_cores=4
    ).start({1: 4})

    assert [bench.state(t) for t in (1, 2)] == [S.RUNNING, S.QUEUED]
    bench.end(1)
    assert bench.state(2) is S.DISPATCHING
    assert bench.states(3) == ["Queued"] * 3
    bench.end(2)
    assert bench.states(3) == ["Dispatching"] * 3


def test_nothing_is_sent_ahead_to_the_node_of_an_exclusive_task() -> None:
    size = {"min_cores": 1, "max_cores": 8}
    tasks = (plain(), plain(is_exclusive=True), sweep(9))
    bench = bench_of(*tasks, is_exclusive=True, **size).start({1: 4})
    bench.job.mean_run = 0.001

    bench.end(1)

    assert bench.states(3) == ["Queued"] * 9


def test_in_whole_nodes_a_task_gets_all_cores_of_each() -> None:
    bench = bench_of(
        plain(min_nodes=2, max_nodes=2), plain(), unit_type=UnitType.NODE
    ).start({1: 4, 2: 2, 3: 8})

    assert place(bench, 1) == {1: 4, 2: 2}
    assert place(bench, 2) == {3: 8}


def test_requiring_nodes_and_cores_on_one_of_them_only_is_no_place_beside() -> None:
    task = plain(required_nodes=("n1",), min_cores=2)
    bench = bench_of(task, min_cores=2).start({1: 4, 2: 4})

    assert place(bench, 1) == {1: 2}
    assert not bench.job.tables[0].places


# -- ends, stops, losses --


def test_an_end_frees_all_of_its_nodes() -> None:
    bench = bench_of(plain(min_cores=6), plain(min_cores=8)).start({1: 4, 2: 4})

    bench.end(1)

    assert place(bench, 2) == {1: 4, 2: 4}
    bench.run_all().end(2)
    assert bench.stands(JobState.FINISHED)


def test_where_it_ran_stays_known_after_the_end() -> None:
    bench = spanned()
    bench.end(1)

    assert bench.stands(JobState.FINISHED)
    assert place(bench, 1) == {1: 4, 2: 2}


def test_a_requeue_forgets_where_it_ran() -> None:
    bench = spanned()
    bench.fail(1)
    bench.requeue()

    assert bench.state(1) is S.QUEUED
    assert not bench.job.tables[0].places


@pytest.mark.parametrize("rerunnable", [True, False])
def test_a_lost_node_beside_stops_the_process_and_then_runs_it_again_or_fails(
    rerunnable: bool,
) -> None:
    bench = spanned(is_rerunnable=rerunnable)

    bench.lose(2)

    assert bench.state(1) is S.CANCELING
    ((node, stop),) = bench.told(StopTasks)
    assert (node, stop.reason) == (1, "ResourceFailure")
    assert bench.get("origin", 1) == CancelOrigin.NODE
    assert set(bench.job.uses) == {1}
    bench.stop(1)
    if rerunnable:
        assert bench.get("auto", 1) == 1
        assert bench.get("attempt", 1) == 2
        assert bench.stands(JobState.QUEUED)  # the node that is left does not do
        bench.grant({1: 4, 3: 4})
        assert place(bench, 1) == {1: 4, 3: 2}
    else:
        assert bench.state(1) is S.FAILED
        assert bench.note(1)[0] == UNREACHABLE
        assert bench.stands(JobState.FAILED)


def test_losses_beside_count_against_the_limit_of_reruns() -> None:
    bench = spanned()
    for _ in range(bench.settings.task_retries):
        bench.lose(2)
        bench.stop(1)
        bench.job.auto_requeue_count = 0
        bench.watcher.shadow.auto_requeue_count = 0
        bench.grant({1: 4, 2: 4}).run_all()
        assert bench.state(1) is S.RUNNING

    bench.lose(2)
    bench.stop(1)

    assert bench.state(1) is S.FAILED


def test_the_loss_of_its_own_node_frees_those_beside_at_once() -> None:
    bench = spanned()

    bench.lose(1)

    assert bench.state(1) is S.QUEUED
    assert bench.job.holds == {}


def test_the_node_that_was_lost_may_be_back_before_the_stop_is_over() -> None:
    bench = spanned()
    bench.settings = Settings(shrink=False)
    bench.lose(2)
    bench.grant({2: 4})

    assert bench.state(1) is S.CANCELING
    assert bench.job.uses[2].busy == 0
    bench.stop(1)
    assert place(bench, 1) == {1: 4, 2: 2}


def test_a_loss_while_it_is_being_stopped_keeps_the_end() -> None:
    bench = spanned()
    bench.cancel_tasks((1, 0))
    bench.lose(2)

    assert bench.state(1) is S.CANCELING
    assert bench.get("request", 1) == CancelRequest.CANCEL_BY_USER
    bench.stop(1)
    assert bench.state(1) is S.FAILED
    assert bench.get("origin", 1) == CancelOrigin.USER_TASK


@pytest.mark.parametrize("rerunnable", [True, False])
def test_a_node_beside_that_is_taken_away_ends_the_attempt(rerunnable: bool) -> None:
    bench = spanned(is_rerunnable=rerunnable)

    bench.evict(2)

    assert bench.state(1) is S.CANCELING
    assert [node for node, _ in bench.told(StopTasks)] == [1]
    bench.stop(1)
    assert bench.state(1) is (S.QUEUED if rerunnable else S.FAILED)
    assert bench.get("auto", 1) == 0
    assert 2 not in bench.job.uses


def test_a_node_beside_that_has_booted_ends_the_attempt() -> None:
    bench = spanned()

    assert bench.sync(2) == ([], True)
    assert bench.state(1) is S.RUNNING
    bench.sync(2, rebooted=True)
    assert bench.state(1) is S.CANCELING


def test_a_job_that_holds_keeps_it_until_the_node_beside_is_back() -> None:
    bench = bench_of(plain(min_cores=6), node_loss=NodeLoss.HOLD)
    bench.start({1: 4, 2: 4})

    bench.lose(2)
    assert bench.state(1) is S.RUNNING
    bench.sync(2)
    assert bench.job.uses[2].live == 1
    bench.lose(2)
    bench.end(1)
    assert bench.stands(JobState.FINISHED)


def test_canceling_such_a_job_with_a_lost_node_waits_for_the_process_alone() -> None:
    bench = bench_of(plain(min_cores=6), node_loss=NodeLoss.HOLD)
    bench.start({1: 4, 2: 4})
    bench.lose(2)

    bench.cancel()
    assert set(bench.job.uses) == {1}
    bench.stop(1)

    assert bench.stands(JobState.CANCELED)


def test_preemption_counts_what_is_held_on_a_node() -> None:
    other = plain(is_rerunnable=False)
    bench = bench_of(plain(min_cores=6), other, can_preempt=True)
    bench.start({1: 4, 2: 4})

    bench.do(c.PreemptCores(cores={2: 1}, immediate=True))

    assert bench.state(1) is S.CANCELING
    assert bench.state(2) is S.RUNNING


def test_a_cancel_of_the_job_stops_it_on_its_own_node_alone() -> None:
    bench = spanned()
    bench.do(c.CancelJob(caller=ANN))

    assert [node for node, _ in bench.told(StopTasks)] == [1]
    bench.stop(1)
    assert bench.stands(JobState.CANCELED)
    assert bench.state(1) is S.FAILED
