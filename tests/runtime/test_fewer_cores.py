"""A node that comes back with fewer cores than jobs hold there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.head_bench import a_sweep, a_task

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench


async def lasting(bench: Bench, cores: int) -> FakeAgent:
    agent = await bench.node("n1", cores)
    agent.plan = lambda _: None
    agent.retry = None
    return agent


async def returns(agent: FakeAgent, cores: int) -> None:
    """The agent is started again with another number of cores; its tasks live on."""
    agent.cut()
    agent.cores = cores
    await agent.connect()


async def test_a_job_that_holds_a_lost_core_leaves_and_runs_in_what_is_left(
    bench: Bench,
) -> None:
    agent = await lasting(bench, 4)
    job_id = await bench.submit(a_sweep(4, is_rerunnable=True))
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    assert len(agent.live) == 4

    await returns(agent, 2)
    await bench.clock.advance(30)

    assert len(agent.live) == 2
    assert {process.core for process in agent.live.values()} <= {0, 1}
    (node,) = await bench.nodes("n1")
    assert (node.cores, node.cores_in_use) == (2, 2)
    agent.plan = lambda _: (0.5, 0)
    for key in list(agent.live):
        agent.exit(key)
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_job_on_cores_that_are_left_notices_nothing(bench: Bench) -> None:
    agent = await lasting(bench, 4)
    job_id = await bench.submit(a_sweep(2))
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    before = set(agent.live)

    await returns(agent, 2)
    await bench.clock.advance(30)

    assert set(agent.live) == before
    assert await bench.state(job_id) == "Running"


async def test_what_cannot_run_again_fails_and_says_why(bench: Bench) -> None:
    agent = await lasting(bench, 4)
    job_id = await bench.submit(a_task(is_rerunnable=False, min_cores=3))
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)

    await returns(agent, 1)
    await bench.until_state(job_id, "Failed")

    assert "came back with 1 core" in (await bench.task(job_id)).error_message
    bench.check_at_rest()


@pytest.mark.parametrize("crash", [False, True])
async def test_it_is_not_missed_when_the_head_was_away(
    bench: Bench, crash: bool
) -> None:
    agent = await lasting(bench, 4)
    job_id = await bench.submit(a_sweep(4))
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    agent.cut()
    agent.cores = 2
    if crash:
        await bench.crash()
    else:
        await agent.connect()
    await bench.clock.advance(30)

    assert len(agent.live) == 2
    names = [event.name for event in await bench.events() if event.node]
    assert names.count("NodeResourcesChanged") == 1


async def test_more_cores_are_used_at_once(bench: Bench) -> None:
    agent = await lasting(bench, 1)
    job_id = await bench.submit(a_sweep(3))
    await bench.until_state(job_id, "Running")

    await returns(agent, 3)
    await bench.clock.advance(5)

    assert len(agent.live) == 3
