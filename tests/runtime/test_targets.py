"""TargetResourceCount: lowered, a running job gives up what is above it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.commands import ModifyJob
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.head_bench import ANN, Bench, a_sweep, a_task

if TYPE_CHECKING:
    from collections.abc import Mapping

NODES = [{"n1": 8}, {"n1": 4, "n2": 4}, {"n1": 2, "n2": 4, "n3": 2}]


async def lower(bench: Bench, job_id: int, target: int) -> None:
    change = ModifyJob(caller=ANN, changes={"target_resource_count": target})
    bench.world.jobs.post(job_id, change)
    await bench.clock.advance(5.0)


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("delay", [0.0, 0.3])
async def test_a_service_over_a_lowered_target_stops_only_what_is_above_it(
    bench: Bench, nodes: Mapping[str, int], delay: float
) -> None:
    for name, cores in nodes.items():
        agent = await bench.node(name, cores)
        agent.plan = lambda _: None
        agent.delay = delay
    job_id = await bench.submit(a_task(type=TaskType.SERVICE), min_cores=1)
    await bench.clock.advance(5.0)
    assert (await bench.job(job_id)).allocated_cores == 8

    await lower(bench, job_id, 3)

    counts = (await bench.task(job_id)).counts
    assert counts == {TaskState.RUNNING: 3, TaskState.CANCELED: 5}
    assert (await bench.job(job_id)).allocated_cores == 3
    texts = [e.message for e in await bench.events() if e.name == "TasksPreempted"]
    assert texts == ["its job held more than its target_resource_count"]
    await lower(bench, job_id, 0)
    counts = (await bench.task(job_id)).counts
    assert counts == {TaskState.RUNNING: 8, TaskState.CANCELED: 5}


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("delay", [0.0, 0.3])
async def test_a_sweep_over_a_lowered_target_shrinks_as_elements_end_and_stays_so(
    bench: Bench, nodes: Mapping[str, int], delay: float
) -> None:
    for name, cores in nodes.items():
        agent = await bench.node(name, cores)
        agent.plan = lambda process: (1.0 + process.key[2] % 7 * 0.13, 0)
        agent.delay = delay
    job_id = await bench.submit(a_sweep(400), min_cores=1, max_cores=8)
    await bench.clock.advance(5.0)

    await lower(bench, job_id, 3)

    for _ in range(10):
        assert (await bench.job(job_id)).allocated_cores == 3
        await bench.clock.advance(0.5)
    assert not (await bench.task(job_id)).counts.get(TaskState.CANCELED)
