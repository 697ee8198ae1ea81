"""What is dispatched and stopped within one commit is known to its node, and ends."""

from __future__ import annotations

from hpcsched.core.job.effects import effects_of_turn
from hpcsched.core.orders import StartTasks, StopTasks
from tests.support.job_bench import Bench, sweep


def test_a_node_is_told_to_stop_it_then_to_start_it_so_that_it_refuses() -> None:
    bench = Bench(sweep(2)).submit().grant({1: 2})
    granted = bench.last
    assert granted is not None
    bench.cancel_tasks((1, 2))

    # Effects are those of the state after a commit, which may be that of both turns.
    orders = [order for _, order in effects_of_turn(granted.turn, bench.scene)]

    told = [
        (type(order), list(order.instances))
        for order in orders
        if isinstance(order, StartTasks | StopTasks)
    ]
    assert told == [(StartTasks, [1]), (StopTasks, [2]), (StartTasks, [2])]


def test_what_was_dispatched_before_is_only_stopped() -> None:
    bench = Bench(sweep(2)).submit().grant({1: 2})

    bench.cancel_tasks((1, 2))

    assert [list(order.instances) for _, order in bench.told(StopTasks)] == [[2]]
    assert [list(order.instances) for _, order in bench.told(StartTasks)] == [[1, 2]]
