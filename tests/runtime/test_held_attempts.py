"""Attempts that were given up on a lost node, and the head and the node after that.

node_loss HOLD: whatever ended the job, nothing of it runs beside what may live there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import NodeLoss, PendingReason
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, ROOT, a_task

if TYPE_CHECKING:
    from tests.support.head_bench import Bench

AWAITED = PendingReason.ATTEMPT_MAY_LIVE


async def canceled(bench: Bench) -> int:
    """Return a canceled job of which a task was on n1, which is lost; n2 is there."""
    agent = await bench.node("n1")
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(a_task(), node_loss=NodeLoss.HOLD)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1.0)
    agent.cut()
    await bench.node("n2")
    await bench.clock.advance(110.0)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(message="enough"), NO_ID)
    await bench.until_state(job_id, "Canceled")
    return job_id


async def requeued(bench: Bench) -> int:
    """Return that job, queued again."""
    job_id = await canceled(bench)
    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
    await bench.clock.advance(30.0)
    return job_id


async def waits(bench: Bench, job_id: int) -> bool:
    """Is it queued, and held back, and does everybody who asks hear why?"""
    job = await bench.job(job_id)
    if job.state.label != "Queued" or job.pending_reason is not AWAITED:
        return False
    for key in (None, (1, 0)):
        reason, lines = await bench.head.explain(ANN, job_id, key)
        assert reason == "AttemptMayLive"
        assert any("node n1 is back, or `hpc node fence n1`" in one for one in lines)
    return True


async def test_it_waits_for_its_node_over_restarts_of_the_head(bench: Bench) -> None:
    job_id = await requeued(bench)
    assert await waits(bench, job_id)

    lost = bench.agents.pop("n1")
    await bench.crash()
    await bench.clock.advance(200.0)
    assert await waits(bench, job_id)
    lost.front = bench.head
    lost.retry = 1.0
    lost.plan = lambda _: (1.0, 0)
    await lost.connect()
    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).attempt > 1


async def test_it_waits_until_its_node_is_fenced(bench: Bench) -> None:
    job_id = await requeued(bench)
    assert await waits(bench, job_id)

    await bench.head.offline_nodes(
        ROOT, ["n1"], NO_ID, drain=False, reason="off", fenced=True
    )

    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).nodes == ("n2",)


async def test_a_node_fenced_before_the_job_was_queued_again_is_not_waited_for(
    bench: Bench,
) -> None:
    job_id = await canceled(bench)
    await bench.head.offline_nodes(
        ROOT, ["n1"], NO_ID, drain=False, reason="off", fenced=True
    )

    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)

    await bench.until_state(job_id, "Finished")


async def test_a_node_that_came_back_meanwhile_is_asked_again(bench: Bench) -> None:
    """A job that was over has not heard it, also when the head has begun again."""
    job_id = await canceled(bench)
    await bench.crash()
    await bench.agents["n1"].connect()
    await bench.clock.advance(30.0)
    bench.agents["n1"].retry = 1.0
    bench.agents["n1"].plan = lambda _: (1.0, 0)

    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)

    await bench.until_state(job_id, "Finished")


async def test_a_node_that_has_been_forgotten_is_as_good_as_fenced(
    bench: Bench,
) -> None:
    job_id = await canceled(bench)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")
    await bench.head.forget_nodes(ROOT, ["n1"], NO_ID)

    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)

    await bench.until_state(job_id, "Finished")


async def test_a_node_that_a_job_waits_for_is_not_forgotten(bench: Bench) -> None:
    job_id = await requeued(bench)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")

    with pytest.raises(HpcError) as caught:
        await bench.head.forget_nodes(ROOT, ["n1"], NO_ID)

    assert str(job_id) in str(caught.value)
