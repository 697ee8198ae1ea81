"""Nodes that fall silent while the head's disk is full (T22, F18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.store.errors import StoreFullError
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def test_a_node_that_is_back_is_not_lost_by_a_word_that_was_not_written(
    bench: Bench,
) -> None:
    """T22: what a full disk has put off is said again only if it is still true."""
    agent = await bench.node()
    agent.plan = lambda _: (200.0, 0)
    job_id = await bench.submit()
    await bench.until_state(job_id, "Running")
    agent.retry = None
    agent.cut()
    await bench.clock.advance(89.0)
    bench.store.fail_next(StoreFullError("full"), times=2)  # the event, and the job
    while not bench.world.nodes.find("n1").known_lost:
        await bench.clock.advance(0.25)
    await settle()

    await agent.connect()
    await bench.clock.advance(20.0)

    task = await bench.task(job_id)
    assert task.state.label == "Running"
    assert task.attempt == 1
    await bench.until_state(job_id, "Finished", 300.0)


async def test_that_a_node_is_silent_is_recorded_when_the_disk_has_room_again(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.retry = None
    agent.cut()
    await bench.clock.advance(89.0)
    bench.store.fail_next(StoreFullError("full"))
    while not bench.world.nodes.find("n1").known_lost:
        await bench.clock.advance(0.25)

    await bench.clock.advance(20.0)

    names = [event.name for event in await bench.events()]
    assert names.count("NodeUnreachable") == 1
