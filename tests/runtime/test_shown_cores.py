"""What is shown of who holds what, while jobs start and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def test_who_holds_the_cores_of_a_node_is_told_as_of_one_moment(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", 2)
    agent.plan = lambda _: None
    first = await bench.submit()
    await bench.until_state(first, "Running")
    scheduler = bench.world.scheduler
    (node_id,) = scheduler.books.ready
    held = scheduler.held_on(node_id)
    await bench.until_state(await bench.submit(), "Running")

    assert list(held) == [first]
