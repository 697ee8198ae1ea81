"""Which cores a process of several has: its node tells, it is kept, it is acted on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpcsched.core.job.codec import decode_event, encode_event
from hpcsched.core.job.cores import occupied_cores
from hpcsched.core.job.show import task_view
from hpcsched.core.reports import LiveAttempt
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import Bench, plain, sweep

S = TaskState


def two_wide(*, told: bool = True, cores: tuple[int, ...] = (0, 3)) -> Bench:
    """Return a job with two processes of two cores each on a node of six."""
    bench = Bench(
        *(plain(min_cores=2) for _ in range(3)), min_cores=2, max_cores=8
    ).submit()
    bench.grant({1: 4})
    run(bench, 1, cores, told=told)
    run(bench, 2, (1, 2), told=told)
    return bench


def run(bench: Bench, task: int, cores: tuple[int, ...], *, told: bool = True) -> None:
    report = bench.started(task, core=cores[0])
    if told:
        report = replace(report, widths=[len(cores)], sets={0: cores})
    bench.report(1, report)


def shown(bench: Bench, task: int) -> tuple[tuple[int, ...], str]:
    view = task_view(bench.job, bench.job.tasks[task - 1], 0, lambda n: f"n{n}")
    return view.cores, view.core_ids


def test_all_cores_of_a_process_are_shown_and_kept_after_its_end() -> None:
    bench = two_wide()
    assert shown(bench, 1) == ((0, 3), "n1 0 3")
    assert shown(bench, 2) == ((1, 2), "n1 1 2")

    bench.end(1)

    assert shown(bench, 1) == ((0, 3), "n1 0 3")


def test_cores_that_follow_each_other_take_no_memory_of_their_own() -> None:
    bench = two_wide()

    assert bench.job.tables[0].sets == {0: (0, 3)}


def test_they_outlive_a_restart_and_are_in_the_log() -> None:
    bench = two_wide()
    job = bench.watcher.stored()

    assert job.tables[0].sets == {0: (0, 3)}
    assert shown(bench, 1)[0] == (0, 3)
    assert bench.last is not None
    for event, changes in bench.last.turn.events:
        again, _ = decode_event(event.time, encode_event(event, changes))
        assert [m.sets for m in again.moves] == [dict(m.sets) for m in event.moves]


def test_another_attempt_knows_nothing_of_the_cores_of_the_one_before() -> None:
    bench = two_wide()
    bench.requeue_tasks((1, 0))
    bench.stop(1)

    assert not bench.job.tables[0].sets
    assert shown(bench, 1)[0] == ()


def test_an_end_whose_start_came_along_tells_its_cores() -> None:
    bench = Bench(plain(min_cores=2), min_cores=2, max_cores=2).submit().grant({1: 4})
    start, end = bench.started(1), replace(bench.ended(1), cores=[1])
    bench.report(1, start, replace(end, widths=[2], sets={0: (1, 3)}))

    assert shown(bench, 1) == ((1, 3), "n1 1 3")


def test_a_node_that_is_back_tells_them_too() -> None:
    bench = Bench(plain(min_cores=2), min_cores=2, max_cores=2).submit().grant({1: 4})
    live = LiveAttempt(7, 1, 0, 1, True, bench.now, 1, (1, 3))
    bench.sync(1, [live])

    assert shown(bench, 1) == ((1, 3), "n1 1 3")


@pytest.mark.parametrize(
    ("widths", "sets"),
    [
        ([3], {}),
        ([2], {0: (0, 1, 2)}),
        ([2], {0: (1, 2)}),
        ([2], {0: (0, 0)}),
        ([2], {0: (0, 70_000)}),
        ([2_000_000_000], {}),
    ],
)
def test_what_cannot_be_is_taken_as_not_told(
    widths: list[int], sets: dict[int, tuple[int, ...]]
) -> None:
    bench = Bench(plain(min_cores=2), min_cores=2, max_cores=2).submit().grant({1: 4})
    bench.report(1, replace(bench.started(1), widths=widths, sets=sets))

    assert bench.state(1) is S.RUNNING
    assert shown(bench, 1)[0] == ()


def test_a_node_with_known_cores_stops_only_as_many_tasks_as_it_must() -> None:
    bench = two_wide()
    bench.preempt({1: 2}, immediate=True, text="preempted by job 9")

    states = [bench.state(1), bench.state(2)]
    assert sorted(states) == [S.RUNNING, S.CANCELING]


def test_idle_cores_beside_a_wide_process_are_given_up_at_once() -> None:
    bench = two_wide(cores=(0, 3))
    bench.end(2)
    assert bench.state(3) is S.DISPATCHING
    run(bench, 3, (1, 2))
    bench.preempt({1: 1})
    bench.end(3)

    assert bench.job.uses[1].cores == (0, 3)


def test_each_core_of_a_node_says_whose_it_is() -> None:
    bench = two_wide()

    assert occupied_cores(bench.job, 1) == {0: (1, 0), 3: (1, 0), 1: (2, 0), 2: (2, 0)}


def test_a_sweep_of_wide_elements_keeps_no_object_for_each() -> None:
    bench = Bench(sweep(4, min_cores=2), min_cores=2, max_cores=8).submit()
    bench.grant({1: 8})
    for i in range(1, 5):
        report = bench.started(1, i, core=2 * i - 2)
        bench.report(1, replace(report, widths=[2]))

    assert not bench.job.tables[1].sets
    view = task_view(bench.job, bench.job.tasks[0], 4, lambda n: f"n{n}")
    assert view.cores == (6, 7)
