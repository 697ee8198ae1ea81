"""Jobs that cannot wait on a node, although they look like it (sending_ahead.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

RUN_S = 0.002


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        agent = await bench.node(cores=2)
        agent.plan = lambda _: (RUN_S, 0)
        # The head learns how long such jobs take.
        for _ in range(4):
            await bench.submit()
            await bench.clock.advance(10 * RUN_S)
        yield bench


async def test_a_job_of_several_tasks_is_not_sent_and_starts_when_it_is_its_turn(
    bench: Bench,
) -> None:
    """What it wants, one core, looks like what a job of one task wants."""
    agent = bench.agents["n1"]
    agent.plan = lambda _: None
    running = [await bench.submit(), await bench.submit()]
    two = a_job(a_task(), a_task(), max_cores=1)
    (job_id,) = await bench.head.submit_jobs(ANN, [two], NO_ID, validate_only=False)
    await settle()
    assert not agent.queue

    agent.exit((running[-1], 1, 0, 1))
    await settle()

    assert await bench.state(job_id) == "Running"
    agent.exit((running[-2], 1, 0, 1))
    for task_id in (1, 2):
        agent.exit((job_id, task_id, 0, 1))
        await settle()
    assert await bench.state(job_id) == "Finished"
    bench.check_at_rest()
