"""F5, F6: a head that did not listen for a while blames nobody for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.head import CHECK_S
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


@pytest.mark.parametrize("stall_s", [5.0, 100.0, 100_000.0])
async def test_f5_no_node_is_lost_because_the_head_was_stopped(
    stall_s: float, bench: Bench
) -> None:
    agent = await bench.node()
    agent.plan = lambda key: (10_000_000.0, 0)
    job_id = await bench.submit()
    await bench.until_state(job_id, "Running")

    # Everything stands still, and then every timer that was due comes at once.
    agent.mute = True
    bench.clock.stall(stall_s)
    await settle()
    agent.mute = False
    await bench.clock.advance(CHECK_S)
    await bench.clock.advance(30)

    (node,) = await bench.nodes("n1")
    assert node.reachable
    assert await bench.state(job_id) == "Running"
    assert "NodeUnreachable" not in [event.name for event in await bench.events()]


async def test_f5_a_node_that_is_silent_as_well_afterwards_is_lost_then(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.retry = None
    agent.cut()
    bench.clock.stall(1000)
    await settle()
    await bench.clock.advance(60)
    (then,) = await bench.nodes("n1")

    await bench.clock.advance(60)

    (later,) = await bench.nodes("n1")
    assert then.reachable
    assert not later.reachable
