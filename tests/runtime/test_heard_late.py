"""A start that the head hears of late: what runs may end where it may end at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.orders import StopTasks
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, ROOT, a_sweep

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench

GENTLY = Stop(graceful=True)
ENDS = {"drain": "Finished", "cancel": "Canceled", "finish": "Finished"}
every_way = pytest.mark.parametrize("how", ENDS)


async def silent(bench: Bench, cores: int = 2) -> FakeAgent:
    """Return a node that tells ends, and no starts."""
    agent = await bench.node("n1", cores)
    agent.plan = lambda _: None
    agent.silent_starts = True
    return agent


async def end_gently(bench: Bench, job_id: int, how: str) -> None:
    if how == "drain":
        await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="")
    elif how == "cancel":
        await bench.head.cancel_jobs(ANN, [job_id], GENTLY, NO_ID)
    else:
        await bench.head.finish_jobs(ANN, [job_id], GENTLY, NO_ID)


@every_way
async def test_what_runs_may_end_although_its_start_was_not_heard(
    bench: Bench, how: str
) -> None:
    agent = await silent(bench)
    job_id = await bench.submit()
    await bench.clock.advance(0.5)
    (key,) = agent.live
    assert (await bench.task(job_id)).state.label == "Dispatching"

    await end_gently(bench, job_id, how)
    await bench.clock.advance(5)

    assert set(agent.live) == {key}, "it runs on"
    agent.exit(key, 0)
    await bench.until_state(job_id, ENDS[how])
    task = await bench.task(job_id)
    assert (task.state.label, task.attempt) == ("Finished", 1)
    assert not [order for order in agent.orders if isinstance(order, StopTasks)]
    bench.check_at_rest()


@every_way
async def test_what_waits_there_never_starts_there(bench: Bench, how: str) -> None:
    agent = await silent(bench, cores=1)
    agent.plan = lambda process: (0.001, 0) if process.key[2] <= 40 else None
    job_id = await bench.submit(a_sweep(48), min_cores=1, max_cores=1)
    await bench.clock.advance(0.6)
    assert (len(agent.live), len(agent.queue)) == (1, 7)

    await end_gently(bench, job_id, how)
    await bench.clock.advance(0.5)

    assert (len(agent.live), len(agent.queue)) == (1, 0)
    (key,) = agent.live
    agent.exit(key, 0)
    rest = {"drain": "Queued"}.get(how, "Canceled")
    await bench.until_state(job_id, {"drain": "Queued"}.get(how, ENDS[how]))
    states = {(await bench.task(job_id, 1, i)).state.label for i in range(42, 49)}
    assert states == {rest}
    assert sum(agent.starts.values()) == 41


@every_way
async def test_a_restart_of_the_head_asks_again(bench: Bench, how: str) -> None:
    agent = await silent(bench)
    job_id = await bench.submit()
    await bench.clock.advance(0.5)
    (key,) = agent.live
    agent.mute = True
    await end_gently(bench, job_id, how)
    agent.mute = False
    await bench.crash()
    await bench.clock.advance(5)
    assert set(agent.live) == {key}

    agent.exit(key, 0)

    await bench.until_state(job_id, ENDS[how])
    assert (await bench.task(job_id)).state.label == "Finished"
    bench.check_at_rest()
