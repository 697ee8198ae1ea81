"""The head on the store that it has in production, with its thread and its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.runtime.front import Stop, TaskPage
from tests.support.head_bench import ANN, ROOT, Bench, a_sweep, a_task, once
from tests.support.polling import wait_for_async
from tests.support.store_kit import SqliteKit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


async def until(bench: Bench, job_id: int, state: str) -> None:
    async def look() -> str:
        await bench.clock.advance(0.25)
        return await bench.state(job_id)

    await wait_for_async(look, until=lambda seen: seen == state, what=state)


async def joined(bench: Bench) -> None:
    node = bench.world.nodes.find("n1")
    await wait_for_async(lambda: node.ready, what="in step")


async def test_a_job_runs_and_everything_is_there_after_a_restart(
    clock: ManualClock, ids: SeededIds, tmp_path: Path
) -> None:
    kit = SqliteKit(tmp_path / "state.db")
    async with Bench(clock, ids, kit.store) as bench:
        agent = await bench.node(cores=16)
        agent.plan = lambda p: (0.2, p.key[2] % 2)
        await joined(bench)
        job_id = await bench.submit(a_sweep(100), a_task(name="last"))
        await bench.head.set_parameters(ROOT, {"TTLCompletedJobs": "9"}, once("set"))
        await until(bench, job_id, "Failed")
        before = await bench.events()
        page = TaskPage(elements=True, limit=1000)
        tasks, _ = await bench.head.list_tasks(ANN, job_id, page)
        bench.check_at_rest()
    await kit.reopen()

    async with Bench(clock, ids, kit.store) as bench:
        assert await bench.state(job_id) == "Failed"
        assert (await bench.events()) == before
        again, _ = await bench.head.list_tasks(ANN, job_id, page)
        assert again == tasks
        assert bench.world.settings.ttl_days == 9
        assert await bench.submit() == job_id + 1
    await kit.store.close()


async def test_a_restart_in_the_middle_starts_nothing_twice(
    clock: ManualClock, ids: SeededIds, tmp_path: Path
) -> None:
    kit = SqliteKit(tmp_path / "state.db")
    async with Bench(clock, ids, kit.store) as bench:
        agent = await bench.node(cores=8)
        agent.plan = lambda p: (0.3, p.key[2] % 2)
        await joined(bench)
        job_id = await bench.submit(a_sweep(60))
        await until(bench, job_id, "Running")
        for _ in range(3):
            agent.cut()
            await bench.stop()
            await kit.reopen()
            bench.store = kit.store
            await bench.start()
            await agent.connect()
            await clock.advance(1)
        await until(bench, job_id, "Failed")
        late = await bench.submit()
        await bench.head.cancel_jobs(ANN, [late], Stop(), once("c"))

        assert set(agent.starts.values()) == {1}
        for instance in range(1, 61):
            task = await bench.task(job_id, 1, instance)
            key = (job_id, 1, instance, task.attempt)
            assert task.exit_code == agent.exits[key] == instance % 2
        numbers = [event.seq for event in await bench.events()]
        assert numbers == list(range(1, len(numbers) + 1))
    await kit.store.close()
