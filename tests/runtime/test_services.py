"""Services on a head: they grow into what is free, pause in trouble, outlive a head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, BOB, NO_ID, Bench, a_task, once

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent


def forever(agent: FakeAgent) -> None:
    agent.plan = lambda _: None


async def a_service(bench: Bench, spec: Any = None, **fields: Any) -> int:
    return await bench.submit(a_task(type=TaskType.SERVICE, **fields), **(spec or {}))


async def instances(bench: Bench, job_id: int) -> dict[int, int]:
    counts: dict[int, int] = (await bench.task(job_id)).counts
    return counts


async def conclude(bench: Bench, job_id: int, *, cancel: bool = False) -> Any:
    return await bench.head.conclude_service(
        ANN, job_id, 1, once(f"c{job_id}"), cancel_sub_tasks=cancel
    )


async def test_a_service_grows_into_every_node_that_joins(bench: Bench) -> None:
    forever(await bench.node("n1", 2))
    job_id = await a_service(bench)
    await bench.until_state(job_id, "Running")
    forever(await bench.node("n2", 3))

    async def all_run() -> bool:
        return len(bench.agents["n1"].live) + len(bench.agents["n2"].live) == 5

    await bench.until(all_run)
    job = await bench.job(job_id)
    assert (job.allocated_cores, job.most) == (5, 5)
    view = await conclude(bench, job_id, cancel=True)
    assert view.concluded
    await bench.until_state(job_id, "Failed")
    bench.check_at_rest()


async def test_one_that_fails_at_once_makes_few_instances_and_keeps_one_node(
    bench: Bench,
) -> None:
    for name in ("n1", "n2"):
        agent = await bench.node(name, 2)
        agent.plan = lambda _: (0.01, 1)
    job_id = await a_service(bench)

    await bench.clock.advance(60.0)

    counts = await instances(bench, job_id)
    assert 8 < sum(counts.values()) < 30
    assert (await bench.job(job_id)).allocated_cores == 2
    reason, lines = await bench.head.explain(ANN, job_id, (1, 0))
    assert reason == "None"
    assert any("end at once" in line for line in lines)
    _, lines = await bench.head.explain(ANN, job_id, None)
    assert any(line.startswith("task 1: its instances end at once") for line in lines)
    events = [e for e in await bench.events() if "end at once" in e.message]
    assert events
    for agent in bench.agents.values():
        agent.plan = lambda _: None
    await bench.clock.advance(75.0)
    assert (await bench.job(job_id)).allocated_cores == 4
    assert "ServiceSteady" in {e.name for e in await bench.events()}


async def test_a_pause_outlives_the_head(bench: Bench) -> None:
    agent = await bench.node("n1", 1)
    agent.plan = lambda _: (0.01, 1)
    job_id = await a_service(bench)
    await bench.clock.advance(10.0)
    before = sum((await instances(bench, job_id)).values())
    agent.plan = lambda _: None

    await bench.crash()
    await bench.clock.advance(0.5)
    assert sum((await instances(bench, job_id)).values()) == before

    await bench.clock.advance(10.0)
    assert sum((await instances(bench, job_id)).values()) == before + 1


async def test_a_restarted_head_goes_on_counting_instances(bench: Bench) -> None:
    agent = await bench.node("n1", 2)
    agent.plan = lambda _: (2.0, 0)
    job_id = await a_service(bench)
    await bench.clock.advance(5.0)
    await bench.crash()
    await bench.clock.advance(5.0)

    await conclude(bench, job_id)
    await bench.until_state(job_id, "Finished")

    assert max(agent.starts.values()) == 1
    assert sorted(key[2] for key in agent.starts) == list(
        range(1, len(agent.starts) + 1)
    )
    bench.check_at_rest()


async def test_a_concluded_service_stays_so_after_a_restart(bench: Bench) -> None:
    forever(await bench.node("n1", 1))
    job_id = await a_service(bench)
    await bench.clock.advance(1.0)
    await conclude(bench, job_id)

    await bench.crash()

    assert (await bench.task(job_id)).concluded
    await bench.head.finish_tasks(ANN, job_id, [(1, 0)], Stop(), NO_ID)
    await bench.until_state(job_id, "Finished")


async def test_concluding_is_repeatable_and_refused_to_others(bench: Bench) -> None:
    job_id = await a_service(bench)
    with pytest.raises(HpcError) as refused:
        await bench.head.conclude_service(BOB, job_id, 1, NO_ID, cancel_sub_tasks=False)
    assert refused.value.reason == "PERMISSION_DENIED"

    first = await conclude(bench, job_id)
    again = await conclude(bench, job_id)

    assert first.state == again.state
    assert await bench.state(job_id) == "Finished"


async def test_two_services_share_by_priority(bench: Bench) -> None:
    low = await a_service(bench, {"priority": 1000, "max_cores": 3})
    high = await a_service(bench, {"priority": 3000, "max_cores": 3})
    forever(await bench.node("n1", 4))
    await bench.clock.advance(1.0)

    cores = [(await bench.job(job)).allocated_cores for job in (low, high)]

    assert cores == [1, 3]
