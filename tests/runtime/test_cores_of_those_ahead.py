"""Who waits on a node waits for the cores that it may have, not for just any number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ahead_bench import exit_of, many, node, taught, there
from tests.support.head_bench import Bench, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        node(bench).plan = lambda _: None
        yield bench


async def other(bench: Bench) -> int:
    """Return a job that can wait on no node, and behind which nobody does."""
    return await bench.submit(a_task(is_rerunnable=False))


def claimed(bench: Bench) -> dict[int, tuple[int, ...]]:
    """Return the jobs that wait on the node in the books, and for which cores."""
    (own,) = bench.world.scheduler.books.claims.values()
    return dict(own)


def core_of(bench: Bench, job_id: int) -> int:
    return node(bench).live[job_id, 1, 0, 1].core


async def behind_core_1(bench: Bench, count: int = 1) -> tuple[int, int, list[int]]:
    """Return two jobs that run on core 0 and 1, and small ones behind the second."""
    first = await other(bench)
    (second,) = await many(bench, 1)
    await settle()
    assert (core_of(bench, first), core_of(bench, second)) == (0, 1)
    behind = await many(bench, count)
    await settle()
    return first, second, behind


async def test_a_core_that_nobody_on_its_node_waits_for_goes_to_the_next_in_the_queue(
    bench: Bench,
) -> None:
    first, _, behind = await behind_core_1(bench)
    assert there(bench) == set(behind)
    following = await other(bench)
    await settle()

    exit_of(bench, first)
    await settle()

    assert await bench.state(following) == "Running"
    assert core_of(bench, following) == 0
    assert there(bench) == set(behind)


async def test_a_core_is_not_granted_that_is_the_only_one_for_who_waits_there(
    bench: Bench,
) -> None:
    """Its order is still on its way when both cores come free."""
    first = await other(bench)
    (second,) = await many(bench, 1)
    await settle()
    agent = node(bench)
    agent.delay = 0.01
    (behind,) = await many(bench, 1)
    await settle()
    assert claimed(bench) == {behind: (1,)}
    exit_of(bench, first)
    exit_of(bench, second)
    following = await other(bench)
    await bench.clock.advance(0.1)

    assert {core_of(bench, behind), core_of(bench, following)} == {0, 1}
    assert core_of(bench, behind) == 1
    assert not agent.queue
    uses = bench.world.scheduler.held_on(1)
    assert uses == {behind: (1,), following: (0,)}


async def test_who_is_sent_later_may_have_the_cores_that_are_kept_for_those_before_it(
    bench: Bench,
) -> None:
    """Else a job that comes after it would pass it on such a core."""
    agent = node(bench)
    jobs = await many(bench, 4)
    await settle()
    assert claimed(bench) == dict.fromkeys(jobs[2:], (0, 1))
    agent.silent_starts = True  # of who follows there
    exit_of(bench, jobs[0])
    await settle()
    assert bench.world.scheduler.held_on(1) == {jobs[1]: (1,)}
    (later,) = await many(bench, 1)
    await settle()

    assert claimed(bench)[later] == (0, 1)


@pytest.mark.parametrize("count", [1, 6], ids=["awake", "asleep"])
async def test_another_head_knows_which_cores_they_wait_for(
    bench: Bench, count: int
) -> None:
    first, second, behind = await behind_core_1(bench, count)
    assert claimed(bench) == dict.fromkeys(behind, (1,))
    following = await other(bench)
    await bench.crash()
    assert claimed(bench) == dict.fromkeys(behind, (1,))

    exit_of(bench, first)
    await settle()
    assert core_of(bench, following) == 0

    exit_of(bench, second)
    await settle()
    assert core_of(bench, behind[0]) == 1
    left = bench.world.scheduler.books.claims
    assert left == ({1: dict.fromkeys(behind[1:], (1,))} if count > 1 else {})
