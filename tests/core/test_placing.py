"""Placing tasks in the job's own grant, and giving back what it does not need."""

from __future__ import annotations

import pytest

from hpcsched.core.job.front import joined
from hpcsched.core.job.placing import AHEAD_S, _InOrder, _Placer
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import DefineTask, SetGrant, StartTasks, StopTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import Bench, plain, prep, sweep

S = TaskState


def order_of_starts(bench: Bench) -> list[int]:
    return [order.task_id for _, order in bench.told(StartTasks)]


def test_tasks_start_in_the_order_they_were_added() -> None:
    bench = Bench(plain(), sweep(2), plain()).submit().grant({1: 1})

    for _ in range(4):
        ((record, instance),) = bench.active()
        bench.end(record.task_id, instance)

    assert order_of_starts(bench) == [1, 2, 2, 3]


def test_a_grant_and_a_definition_go_before_the_first_start() -> None:
    bench = Bench(plain()).submit().grant({4: 2})

    kinds = [type(order) for node, order in bench.orders if node == 4]
    first = [SetGrant, DefineTask, StartTasks]
    assert [kind for kind in kinds if kind in first][:3] == first
    grants = [order.cores for _, order in bench.told(SetGrant)]
    assert grants[-1] in ((0,), (0, 1))


def test_a_limit_on_elements_at_once_is_kept_and_others_go_on() -> None:
    bench = Bench(sweep(4, max_concurrent=2), plain(), plain())

    bench.start({1: 4})

    assert bench.states(1) == ["Running", "Running", "Queued", "Queued"]
    assert (bench.state(2), bench.state(3)) == (S.RUNNING, S.RUNNING)
    bench.end(1, 1)
    assert bench.states(1)[2] == "Dispatching"
    bench.end_all()
    assert bench.stands(JobState.FINISHED)


def test_a_task_at_its_limit_stays_among_those_that_may_start() -> None:
    bench = Bench(sweep(9, max_concurrent=2), plain(), plain())
    bench.start({1: 2})  # the sweep's two
    job = bench.job
    before = list(ready_tasks(job))
    spans = _InOrder(job).spans(_Placer(job, []))
    found = next(spans)[0].task_id  # and somebody keeps the generator

    assert found == 2
    assert list(ready_tasks(job)) == before == [3, 2, 1]
    spans.close()
    assert list(ready_tasks(job)) == before


def test_a_wide_task_gets_its_cores_on_one_node_and_is_not_overtaken() -> None:
    bench = Bench(plain(), plain(min_cores=3), plain()).start({1: 3})

    assert [bench.state(t) for t in (1, 2, 3)] == [S.RUNNING, S.QUEUED, S.QUEUED]
    bench.end(1)

    assert [bench.state(t) for t in (2, 3)] == [S.DISPATCHING, S.QUEUED]
    assert [o.cores for _, o in bench.told(StartTasks)] == [1, 3]


def test_a_flexible_task_takes_what_is_there_up_to_its_maximum() -> None:
    bench = Bench(plain(min_cores=1, max_cores=8), min_cores=1, max_cores=8)

    bench.submit().grant({1: 3})

    assert [o.cores for _, o in bench.told(StartTasks)] == [3]
    assert bench.job.uses[1].busy == 3


def test_a_job_whose_nodes_are_too_narrow_for_its_next_task_gets_others() -> None:
    bench = Bench(sweep(2), plain(min_cores=2), min_cores=2, max_cores=2)
    bench.submit().grant({1: 1, 2: 1})
    bench.end(1, 1).end(1, 2)

    assert bench.stands(JobState.QUEUED)
    assert bench.job.auto_requeue_count == 0
    bench.grant({3: 2})
    assert bench.state(2) is S.DISPATCHING


def test_short_tasks_are_sent_ahead_of_free_cores_and_long_ones_are_not() -> None:
    for seconds, ahead in ((0.001, round(AHEAD_S / 0.001) - 1), (10.0, 0)):
        bench = Bench(sweep(200)).submit().grant({1: 1})
        report = bench.ended(1, 1)
        report.ends[0] = report.starts[0] + seconds  # type: ignore[index]

        bench.report(1, report)

        sent = bench.job.counts[S.DISPATCHING]
        assert abs(sent - 1 - ahead) <= 1


def test_a_short_preparation_says_nothing_of_how_long_tasks_run() -> None:
    bench = Bench(sweep(200), prep()).submit().grant({1: 1})
    report = bench.ended(2, 1)
    report.ends[0] = report.starts[0] + 0.001  # type: ignore[index]

    bench.report(1, report)

    assert bench.job.counts[S.DISPATCHING] == 1


def test_a_cancel_calls_back_what_was_sent_ahead() -> None:
    bench = Bench(sweep(50)).submit().grant({1: 1})
    report = bench.ended(1, 1)
    report.ends[0] = report.starts[0] + 0.001  # type: ignore[index]
    bench.report(1, report)
    sent = bench.job.counts[S.DISPATCHING]

    bench.cancel()

    stopped = [i for _, order in bench.told(StopTasks) for i in order.instances]
    assert len(stopped) == sent > 1


def test_cores_that_no_waiting_task_needs_are_given_back() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 2, 2: 4})
    bench.run(1, core=1).run(2, core=0)

    assert set(bench.job.uses) == {1}
    bench.end(2)
    assert bench.job.uses[1].cores == (1,)
    assert bench.told(SetGrant)[-1] == (1, SetGrant(job_id=7, cores=(1,)))


def test_a_job_keeps_its_minimum() -> None:
    bench = Bench(plain(), plain(), min_cores=3, max_cores=6)
    bench.submit().grant({1: 3, 2: 3})
    bench.run(1, core=0).run(2, core=1)

    assert sum(len(use.cores) for use in bench.job.uses.values()) == 3
    bench.end(2)
    assert sum(len(use.cores) for use in bench.job.uses.values()) == 3


def test_nothing_is_given_back_where_shrinking_is_off() -> None:
    bench = Bench(plain(), settings=Settings(shrink=False)).start({1: 2, 2: 2})

    assert {n: use.cores for n, use in bench.job.uses.items()} == {1: (0, 1), 2: (0, 1)}


def test_a_node_that_says_two_tasks_run_on_one_core_is_not_believed() -> None:
    bench = Bench(plain(), plain(), plain()).submit().grant({1: 3})

    bench.run(1, core=0).run(2, core=0).run(3, core=0)

    assert bench.job.uses[1].cores == (0, 1, 2)


def test_growth_is_used_at_once() -> None:
    bench = Bench(sweep(4)).start({1: 1})

    bench.grant({1: 2, 2: 2})

    assert bench.states(1) == ["Running", *["Dispatching"] * 3]


@pytest.mark.parametrize(
    ("spans", "front"),
    [
        ([(1, 0, 0), (2, 0, 0), (1, 0, 0)], [(1, 0, 0), (2, 0, 0)]),
        ([(1, 3, 3), (1, 1, 5)], [(1, 3, 3), (1, 1, 2), (1, 4, 5)]),
        ([(1, 1, 5), (1, 2, 9)], [(1, 1, 5), (1, 6, 9)]),
        ([(1, 4, 6), (1, 8, 8), (1, 1, 9)], None),
        ([(1, 1, 9), (1, 2, 3)], [(1, 1, 9)]),
    ],
)
def test_a_front_never_names_an_element_twice(
    spans: list[tuple[int, int, int]], front: list[tuple[int, int, int]] | None
) -> None:
    if front is None:
        front = [(1, 4, 6), (1, 8, 8), (1, 1, 3), (1, 7, 7), (1, 9, 9)]

    assert list(joined(spans)) == front
