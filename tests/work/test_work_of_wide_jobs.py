"""A job on many nodes costs no more for each of them than one on few, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job.states import UnitType
from tests.support.head_bench import Bench, a_sweep, a_task
from tests.support.manual_clock import settle
from tests.support.work_count import Steps

if TYPE_CHECKING:
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

FEW, MANY = 20, 80
GROWTH = 1.1
"""What is sorted or copied is not counted, and the rest must not grow at all."""
RUN_S = 5.0


async def steps_per_node(
    clock: ManualClock, ids: SeededIds, nodes: int, tasks: list[Any], **spec: Any
) -> float:
    """Return the lines of the head run for each node, from submit to the end."""
    async with Bench(clock, ids) as bench:
        for number in range(nodes):
            agent = await bench.node(f"n{number:03}", cores=2)
            agent.plan = lambda _: (RUN_S, 0)
        steps = Steps()
        with steps.counted():
            job_id = await bench.submit(*tasks, **spec)
            await settle()
            assert (await bench.job(job_id)).allocated_cores == 2 * nodes
            await bench.clock.advance(RUN_S + 1)
        assert await bench.state(job_id) == "Finished"
    return steps.count / nodes


def a_task_on_each(nodes: int) -> dict[str, Any]:
    return {
        "tasks": [a_sweep(nodes)],
        "unit_type": UnitType.NODE,
        "min_nodes": nodes,
        "max_nodes": nodes,
    }


def a_task_on_each_that_shrinks(nodes: int) -> dict[str, Any]:
    return {"tasks": [a_sweep(nodes)], "unit_type": UnitType.NODE, "max_nodes": nodes}


def a_task_on_each_core(nodes: int) -> dict[str, Any]:
    return {
        "tasks": [a_sweep(2 * nodes)],
        "min_cores": 2 * nodes,
        "max_cores": 2 * nodes,
    }


def pairs_of_nodes(nodes: int) -> dict[str, Any]:
    return {
        "tasks": [a_task(min_nodes=2, max_nodes=2)] * (nodes // 2),
        "unit_type": UnitType.NODE,
        "min_nodes": nodes,
        "max_nodes": nodes,
    }


@pytest.mark.parametrize(
    "kind",
    [a_task_on_each, a_task_on_each_that_shrinks, a_task_on_each_core, pairs_of_nodes],
    ids=lambda kind: kind.__name__,
)
async def test_a_node_of_a_wide_job_costs_what_one_of_a_narrow_job_costs(
    clock: ManualClock, ids: SeededIds, kind: Any
) -> None:
    few = await steps_per_node(clock, ids, FEW, **kind(FEW))
    many = await steps_per_node(clock, ids, MANY, **kind(MANY))

    assert many <= few * GROWTH, f"{few:.0f} steps for a node, and {many:.0f} of many"
