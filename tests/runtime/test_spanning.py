"""Tasks over several nodes: how a job gets them, and what becomes of them."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import PendingReason, UnitType
from tests.support.head_bench import Bench, a_sweep, a_task


async def test_a_task_wider_than_every_node_waits_for_two_and_spans_them(
    bench: Bench,
) -> None:
    job_id = await bench.submit(a_task(min_cores=4))
    first = await bench.node("n1", cores=2)
    assert await bench.state(job_id) == "Queued"
    reason = (await bench.job(job_id)).pending_reason
    assert reason is PendingReason.NOT_ENOUGH_RESOURCE

    second = await bench.node("n2", cores=2)
    await bench.until_state(job_id, "Finished")

    task = await bench.task(job_id)
    assert sorted(task.nodes) == ["n1", "n2"]
    assert task.allocated_cores == 4
    assert len([*first.starts, *second.starts]) == 1


async def test_one_that_fits_on_a_busy_node_waits_for_it(bench: Bench) -> None:
    big = await bench.node("big", cores=4)
    big.plan = lambda p: (30.0, 0)
    running = await bench.submit(a_sweep(4), min_cores=4)
    await bench.until_state(running, "Running")
    await bench.node("n1", cores=2)
    await bench.node("n2", cores=2)

    job_id = await bench.submit(a_task(min_cores=4))
    await bench.clock.advance(5)
    assert await bench.state(job_id) == "Queued"
    await bench.until_state(job_id, "Finished")

    assert (await bench.task(job_id)).nodes == ("big",)


async def test_the_loss_of_a_node_beside_ends_the_attempt_and_it_runs_again(
    bench: Bench,
) -> None:
    agents = {name: await bench.node(name, cores=2) for name in ("n1", "n2", "n3")}
    for agent in agents.values():
        agent.plan = lambda p: (300.0, 0)
    job_id = await bench.submit(a_task(min_cores=4), min_cores=4, max_cores=4)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    own, beside = (await bench.task(job_id)).nodes

    agents[beside].mute = True

    async def again() -> bool:
        task = await bench.task(job_id)
        return bool(task.attempt == 2 and task.state.label == "Running")

    await bench.until(again, 300)
    task = await bench.task(job_id)
    assert beside not in task.nodes
    assert own in task.nodes
    assert task.auto_requeue_count == 1


async def test_a_task_gets_its_required_nodes(bench: Bench) -> None:
    for name in ("n1", "n2", "n3"):
        await bench.node(name, cores=2)

    task = a_task(required_nodes=("n3", "n2"))
    job_id = await bench.submit(task, min_cores=1, max_cores=4)
    await bench.until_state(job_id, "Finished")

    assert (await bench.task(job_id)).nodes == ("n3", "n2")


async def test_a_required_node_that_takes_no_work_is_told_as_the_reason(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", cores=2)
    await bench.node("n2", cores=2)
    agent.cut()
    await bench.clock.advance(1)
    job_id = await bench.submit(a_task(required_nodes=("n1",)), min_cores=1)
    await bench.clock.advance(1)

    reason = (await bench.job(job_id)).pending_reason
    assert reason is PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    await agent.connect()
    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).nodes == ("n1",)


async def test_an_unknown_required_node_is_refused(bench: Bench) -> None:
    await bench.node("n1")
    with pytest.raises(HpcError, match="nowhere") as caught:
        await bench.submit(a_task(required_nodes=("nowhere",)), min_cores=1)

    assert caught.value.reason == "UNKNOWN_NODE"
    assert caught.value.facts["field"] == "spec.tasks[0].required_nodes"


async def test_a_task_runs_in_its_group_and_others_where_they_like(
    bench: Bench,
) -> None:
    await bench.node("n1", cores=2)
    await bench.node("n2", cores=2, groups=("gpu",))

    tasks = (a_sweep(4, requested_node_group="gpu"), a_sweep(4))
    job_id = await bench.submit(*tasks)
    await bench.until_state(job_id, "Finished")

    nodes = {(await bench.task(job_id, 1, i)).nodes for i in range(1, 5)}
    assert nodes == {("n2",)}


async def test_what_is_held_is_known_after_a_restart_of_the_head(bench: Bench) -> None:
    agents = [await bench.node(name, cores=2) for name in ("n1", "n2")]
    for agent in agents:
        agent.plan = lambda p: (60.0, 0)
    job_id = await bench.submit(a_task(min_cores=3), a_sweep(3), min_cores=3)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    own, beside = (await bench.task(job_id)).nodes

    await bench.crash()
    await bench.clock.advance(20)

    job = await bench.job(job_id)
    assert job.state.label == "Running"
    assert (await bench.task(job_id)).nodes == (own, beside)
    await bench.until_state(job_id, "Finished", 400)
    assert bench.world.scheduler.books.held == {}


async def test_a_task_of_two_whole_nodes_gets_them_whole(bench: Bench) -> None:
    for name, cores in (("n1", 2), ("n2", 4), ("n3", 1)):
        await bench.node(name, cores=cores)

    unit = UnitType.NODE
    job_id = await bench.submit(a_task(min_nodes=2), a_task(), unit_type=unit)
    await bench.until_state(job_id, "Finished")

    assert sorted((await bench.task(job_id)).nodes) == ["n1", "n2"]
    assert (await bench.task(job_id)).allocated_cores == 6


async def test_a_task_of_three_sockets_spans_nodes_of_two(bench: Bench) -> None:
    for name in ("n1", "n2"):
        await bench.node(name, cores=4, sockets=2)

    unit = UnitType.SOCKET
    job_id = await bench.submit(a_task(min_sockets=3), unit_type=unit)
    await bench.until_state(job_id, "Finished")

    task = await bench.task(job_id)
    assert len(task.nodes) == 2
    assert task.allocated_cores == 6
