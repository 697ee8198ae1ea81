"""A lost node of which an administrator says that nothing runs there any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import NodeLoss
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_task, once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.runtime.front import Request


async def held(bench: Bench, node_loss: NodeLoss = NodeLoss.HOLD) -> int:
    """Return a job of which a task was on n1, which is lost; n2 is there."""
    agent = await bench.node("n1")
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(a_task(), node_loss=node_loss)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1.0)
    agent.cut()
    await bench.node("n2")
    await bench.clock.advance(110.0)
    return job_id


async def fence(
    bench: Bench, *names: str, reason: str = "off", request: Request = NO_ID
) -> None:
    await bench.head.offline_nodes(
        ROOT, names or ("n1",), request, drain=False, reason=reason, fenced=True
    )


async def why(bench: Bench, job_id: int) -> Sequence[str]:
    _, lines = await bench.head.explain(ANN, job_id, None)
    return lines


async def test_what_is_held_on_a_fenced_node_runs_again_elsewhere(
    bench: Bench,
) -> None:
    job_id = await held(bench)
    assert (await bench.task(job_id)).state.label == "Running"
    assert any("hpc node fence" in line for line in await why(bench, job_id))

    await fence(bench)
    await bench.until_state(job_id, "Finished")

    task = await bench.task(job_id)
    assert (task.attempt, task.nodes, task.auto_requeue_count) == (2, ("n2",), 1)
    (node,) = await bench.nodes("n1")
    assert (node.state, node.reason) == (1, "fenced: off")


async def test_a_node_that_is_not_lost_cannot_be_fenced(bench: Bench) -> None:
    agent = await bench.node("n1")
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(a_task(), node_loss=NodeLoss.HOLD)
    await bench.until_state(job_id, "Running")
    for silent in (0.0, 80.0):
        if silent:
            agent.cut()
            await bench.clock.advance(silent)
        with pytest.raises(HpcError, match="n1 is not lost"):
            await fence(bench)

    (node,) = await bench.nodes("n1")
    assert node.state == 3
    assert await bench.state(job_id) == "Running"


async def test_only_administrators_fence_and_nobody_drains_with_it(
    bench: Bench,
) -> None:
    await held(bench)

    with pytest.raises(HpcError, match="ann may not"):
        await bench.head.offline_nodes(
            ANN, ["n1"], NO_ID, drain=False, reason="", fenced=True
        )
    with pytest.raises(HpcError, match="not together with drain"):
        await bench.head.offline_nodes(
            ROOT, ["n1"], NO_ID, drain=True, reason="", fenced=True
        )


async def test_a_fence_outlives_the_head(bench: Bench) -> None:
    job_id = await held(bench)
    await fence(bench, request=once("r"))
    await bench.crash()  # at once: the job may not have been told
    (node,) = await bench.nodes("n1")
    assert (node.state, node.reason) == (1, "fenced: off")
    await fence(bench, request=once("r"))  # it was done: it is not looked at again

    await bench.until_state(job_id, "Finished", 300.0)

    assert (await bench.task(job_id)).attempt == 2


async def test_a_fenced_node_that_is_back_ends_what_it_still_runs_and_waits(
    bench: Bench,
) -> None:
    job_id = await held(bench)
    agent = bench.agents["n1"]
    await fence(bench)
    await bench.until_state(job_id, "Finished")

    await agent.connect()
    await bench.clock.advance(60.0)

    assert not agent.live
    (node,) = await bench.nodes("n1")
    assert (node.state, node.reachable) == (1, True)
    await bench.head.online_nodes(ROOT, ["n1"], NO_ID)
    assert not bench.world.nodes.find("n1").record.fenced
    agent.plan = lambda _: (0.1, 0)
    again = await bench.submit(a_task(), requested_nodes=("n1",))
    await bench.until_state(again, "Finished")


async def test_jobs_that_do_not_hold_are_not_touched_by_a_fence(bench: Bench) -> None:
    job_id = await held(bench, NodeLoss.RERUN)
    await bench.until_state(job_id, "Finished")

    await fence(bench)

    assert (await bench.task(job_id)).attempt == 2


async def test_a_node_that_is_offline_already_is_fenced_as_well(bench: Bench) -> None:
    job_id = await held(bench)
    await bench.head.offline_nodes(
        ROOT, ["n1"], NO_ID, drain=False, reason="fenced: off"
    )
    await bench.clock.advance(5.0)
    assert (await bench.task(job_id)).state.label == "Running"

    await fence(bench)

    await bench.until_state(job_id, "Finished")
