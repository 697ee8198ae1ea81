"""Nodes that fall silent while the head's disk is full (T22, F18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.store.errors import StoreFullError
from tests.support.head_bench import NO_ID, ROOT
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


async def test_a_remote_node_may_be_silent_for_longer(bench: Bench) -> None:
    """properties.md 6.3: InactivityCountAzure, in place of InactivityCount."""
    agents = [await bench.node("near"), await bench.node("far", groups=("AzureNodes",))]
    for agent in agents:
        agent.retry = None
        agent.cut()
    near, far = (bench.world.nodes.find(name) for name in ("near", "far"))

    await bench.clock.advance(100.0)
    assert (near.reachable, far.reachable) == (False, True)
    await bench.clock.advance(190.0)
    assert far.reachable
    await bench.clock.advance(20.0)
    assert not far.reachable


async def test_the_word_of_administrators_says_which_nodes_are_remote(
    bench: Bench,
) -> None:
    """The parameter, and the group, are obeyed from then on."""
    agents = [await bench.node("a"), await bench.node("b", groups=("AzureNodes",))]
    await bench.head.change_group(ROOT, "AzureNodes", ["a"], NO_ID, add=True)
    await bench.head.change_group(ROOT, "AzureNodes", ["b"], NO_ID, add=False)
    values = {"inactivitycountazure": "5", "InactivityCount": "2"}
    await bench.head.set_parameters(ROOT, values, NO_ID)
    for agent in agents:
        agent.retry = None
        agent.cut()
    far, near = (bench.world.nodes.find(name) for name in ("a", "b"))

    await bench.clock.advance(70.0)
    assert (near.reachable, far.reachable) == (False, True)
    await bench.clock.advance(90.0)
    assert not far.reachable
