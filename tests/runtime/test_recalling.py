"""What was sent ahead to one node does not wait there while others have free cores."""

from __future__ import annotations

import pytest

from hpcsched.core.orders import RecallTasks
from tests.support.fake_node import Process
from tests.support.head_bench import Bench, a_sweep

QUICK, LONG = 40, 48


def plan(process: Process) -> tuple[float, int]:
    return (0.001, 0) if process.key[2] <= QUICK else (30.0, 0)


async def crowded(bench: Bench) -> int:
    """Return a sweep whose long elements all went to a node of two cores."""
    agent = await bench.node("n1", 2)
    agent.plan = plan
    agent.delay = 0.0
    job_id = await bench.submit(a_sweep(LONG), min_cores=1, max_cores=16)
    await bench.clock.advance(0.6)
    return job_id


@pytest.mark.parametrize("delay", [0.0, 0.3])
async def test_long_elements_behind_quick_ones_spread_over_nodes_that_are_free(
    bench: Bench, delay: float
) -> None:
    job_id = await crowded(bench)
    first = bench.agents["n1"]
    assert (len(first.live), len(first.queue)) == (2, LONG - QUICK - 2)
    second = await bench.node("n2", 8)
    second.plan = plan
    first.delay = second.delay = delay

    await bench.clock.advance(4.0)

    assert (len(first.live), len(first.queue)) == (2, 0)
    assert len(second.live) == LONG - QUICK - 2
    await bench.until_state(job_id, "Finished")
    assert set(first.starts.values()) | set(second.starts.values()) == {1}
    assert not set(first.starts) & set(second.starts)
    await bench.clock.advance(1.0)
    bench.check_at_rest()


async def test_a_recall_that_the_stream_has_lost_is_asked_for_again(
    bench: Bench,
) -> None:
    job_id = await crowded(bench)
    first = bench.agents["n1"]
    first.mute = True
    await bench.clock.advance(1.2)
    assert not [o for o in first.orders if isinstance(o, RecallTasks)]
    first.mute = False
    first.cut()
    first.reconnect()
    await bench.clock.advance(1.0)

    assert [o for o in first.orders if isinstance(o, RecallTasks)]
    assert not first.queue
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_head_that_starts_again_takes_back_what_waits(bench: Bench) -> None:
    job_id = await crowded(bench)
    await bench.crash()
    second = await bench.node("n2", 8)
    second.plan = plan

    await bench.clock.advance(5.0)

    assert len(second.live) == LONG - QUICK - 2
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()
