"""Preemption, backfill, shares and caps on a whole head with fake agents."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job.commands import ModifyJob
from hpcsched.services.convert_task import task_message
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_sweep, a_task

LOW, HIGH = 1000, 3000


async def with_settings(bench: Bench, **texts: str) -> None:
    """Set cluster parameters."""
    await bench.head.set_parameters(ROOT, dict(texts), NO_ID)


async def states(bench: Bench, job_id: int, count: int) -> list[str]:
    found = [await bench.task(job_id, 1, i + 1) for i in range(count)]
    return [one.state.label for one in found]


async def why(bench: Bench, job_id: int) -> str:
    _, lines = await bench.head.explain(ANN, job_id, None)
    return "\n".join(lines)


async def names(bench: Bench, job_id: int) -> list[str]:
    return [e.name for e in await bench.events() if e.job_id == job_id]


async def low_job(bench: Bench, seconds: float = 60.0, **more: Any) -> int:
    """Return a job of low priority that fills a node of four cores."""
    agent = await bench.node(cores=4)
    agent.plan = lambda _: (seconds, 0)
    spec = {"priority": LOW, "can_preempt": True, **more}
    job_id = await bench.submit(a_sweep(8), **spec)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)
    return job_id


async def test_gracefully_a_job_waits_for_tasks_of_lower_ones_to_end(
    bench: Bench,
) -> None:
    low = await low_job(bench, seconds=10)
    high = await bench.submit(a_sweep(2), min_cores=2, max_cores=2, priority=HIGH)
    await bench.clock.advance(5)

    assert await bench.state(high) == "Queued"
    assert "it starts with the cores given up for it by job 1" in await why(bench, high)
    await bench.until_state(high, "Running")

    assert await bench.state(low) == "Running"
    assert (await bench.job(low)).allocated_cores == 2
    assert "Canceling" not in await states(bench, low, 8)
    for job_id in (high, low):
        await bench.until_state(job_id, "Finished")
    assert "JobPreemptionRequested" in await names(bench, low)
    assert "TasksPreempted" not in await names(bench, low)
    bench.check_at_rest()


async def test_at_once_as_many_tasks_as_needed_are_stopped_and_run_again(
    bench: Bench,
) -> None:
    await with_settings(bench, PreemptionType="Immediate")
    low = await low_job(bench)
    high = await bench.submit(a_sweep(2), min_cores=2, max_cores=2, priority=HIGH)
    await bench.until_state(high, "Running", seconds=20)

    assert (await states(bench, low, 4)).count("Running") == 2
    assert await bench.state(low) == "Running"
    assert "TasksPreempted" in await names(bench, low)
    for job_id in (high, low):
        await bench.until_state(job_id, "Finished", seconds=600)
    tasks = [await bench.task(low, 1, i + 1) for i in range(8)]
    assert sorted(task.attempt for task in tasks) == [1] * 6 + [2] * 2
    assert {task.auto_requeue_count for task in tasks} == {0}
    bench.check_at_rest()


async def test_whole_jobs_are_stopped_where_single_tasks_may_not_be(
    bench: Bench,
) -> None:
    await with_settings(
        bench, PreemptionType="Immediate", TaskImmediatePreemptionEnabled="False"
    )
    low = await low_job(bench)
    high = await bench.submit(priority=HIGH)
    await bench.until_state(high, "Running", seconds=20)

    assert "JobPreempted" in await names(bench, low)
    await bench.until_state(high, "Finished", seconds=100)
    await bench.until_state(low, "Finished", seconds=600)
    assert (await bench.job(low)).auto_requeue_count == 0
    bench.check_at_rest()


async def test_the_wish_goes_with_the_job_that_had_it(bench: Bench) -> None:
    low = await low_job(bench)
    high = await bench.submit(a_sweep(4), min_cores=4, max_cores=4, priority=HIGH)
    await bench.clock.advance(1)
    scheduler = bench.world.scheduler
    assert scheduler.books.holders[low].yields or scheduler.books.holders[low].owing

    await bench.head.cancel_jobs(ANN, [high], stop(), NO_ID)
    await bench.clock.advance(1)

    assert not scheduler.books.holders[low].owing
    assert not scheduler.books.holders[low].yields
    await bench.until_state(low, "Finished", seconds=600)
    bench.check_at_rest()


def stop() -> Any:
    from hpcsched.runtime.front import Stop  # noqa: PLC0415

    return Stop()


async def test_what_a_job_owes_survives_a_crash_of_the_head(bench: Bench) -> None:
    low = await low_job(bench, seconds=10)
    high = await bench.submit(a_sweep(3), min_cores=3, max_cores=3, priority=HIGH)
    await bench.clock.advance(2)

    await bench.crash()

    await bench.until_state(high, "Running")
    assert await bench.state(low) == "Running"
    for job_id in (high, low):
        await bench.until_state(job_id, "Finished", seconds=600)


async def test_a_job_that_may_not_be_preempted_is_left_alone(bench: Bench) -> None:
    await with_settings(bench, PreemptionType="Immediate")
    low = await low_job(bench, can_preempt=False)
    await bench.submit(priority=HIGH)
    await bench.clock.advance(5)

    assert await states(bench, low, 4) == ["Running"] * 4


async def test_a_short_job_runs_ahead_and_is_told_when_it_no_longer_does(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: ({1: 30.0, 2: 5.0, 3: 45.0}.get(p.key[0], 5.0), 0)
    first = await bench.submit(a_sweep(3), min_cores=3, max_cores=3, runtime=60.0)
    await bench.until_state(first, "Running")
    large = await bench.submit(a_sweep(4), min_cores=4, max_cores=4)
    short = await bench.submit(runtime=50.0)
    endless = await bench.submit()
    await bench.clock.advance(2)

    assert await bench.state(short) == "Running"
    assert (await bench.job(short)).is_backfill
    assert await bench.state(endless) == "Queued"
    text = await why(bench, large)
    assert "expected start: 20" in text
    assert "waits for 4 cores on n1, after the end of jobs 3, 1" in text
    assert f"expected start of job {large}" in await why(bench, endless)
    assert f"job {large} (priority 2000) goes first" in await why(bench, endless)

    await bench.head.cancel_jobs(ANN, [large], stop(), NO_ID)
    await bench.clock.advance(2)

    assert not (await bench.job(short)).is_backfill
    assert await bench.state(short) == "Running"
    assert "JobBackfillOver" in await names(bench, short)
    await bench.until_state(endless, "Finished")
    await bench.until_state(short, "Finished")
    bench.check_at_rest()


async def test_in_balanced_mode_a_second_job_gets_its_share(bench: Bench) -> None:
    await with_settings(bench, SchedulingMode="Balanced", RebalancingInterval="5")
    agent = await bench.node(cores=8)
    agent.plan = lambda _: (4.0, 0)
    first = await bench.submit(a_sweep(200))
    await bench.clock.advance(12)
    assert (await bench.job(first)).allocated_cores == 8

    second = await bench.submit(a_sweep(200))

    async def shared() -> bool:
        jobs = [await bench.job(job_id) for job_id in (first, second)]
        return [job.allocated_cores for job in jobs] == [4, 4]

    await bench.until(shared, seconds=60)
    await with_settings(bench, SchedulingMode="Queued")
    await bench.clock.advance(5)
    for job_id in (first, second):
        await bench.head.cancel_jobs(ANN, [job_id], stop(), NO_ID)
    await bench.until_state(second, "Canceled")
    bench.check_at_rest()


async def test_a_job_holds_no_more_than_its_target(bench: Bench) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda _: (10.0, 0)
    job_id = await bench.submit(a_sweep(8), target_resource_count=2)
    await bench.clock.advance(2)

    assert (await bench.job(job_id)).allocated_cores == 2
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_target_that_is_lowered_takes_cores_back_as_tasks_end(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (5.0 + p.key[2], 0)
    job_id = await bench.submit(a_sweep(40), min_cores=1, max_cores=4)
    await bench.clock.advance(2)
    assert (await bench.job(job_id)).allocated_cores == 4

    change = {"target_resource_count": 2}
    bench.world.jobs.post(job_id, ModifyJob(caller=ANN, changes=change))
    await bench.clock.advance(1)
    assert (await states(bench, job_id, 4)) == ["Running"] * 4
    await bench.clock.advance(10)
    assert (await bench.job(job_id)).allocated_cores == 2

    change = {"target_resource_count": 0}
    bench.world.jobs.post(job_id, ModifyJob(caller=ANN, changes=change))
    await bench.clock.advance(1)
    assert (await bench.job(job_id)).allocated_cores == 4
    await bench.head.cancel_jobs(ANN, [job_id], stop(), NO_ID)


async def test_a_preempted_task_that_cannot_run_again_says_whose_fault_it_is(
    bench: Bench,
) -> None:
    await with_settings(bench, PreemptionType="Immediate")
    agent = await bench.node(cores=2)
    agent.plan = lambda _: (30.0, 0)
    tasks = [a_task(is_rerunnable=False) for _ in range(2)]
    low = await bench.submit(*tasks, priority=LOW, can_preempt=True)
    await bench.clock.advance(2)
    high = await bench.submit(priority=HIGH)
    await bench.until_state(high, "Finished", seconds=100)
    await bench.until_state(low, "Failed", seconds=100)

    found = [await bench.task(low, number) for number in (1, 2)]
    shown = [task_message(one).failure_reason for one in found]
    assert sorted(shown) == ["None", "Preempted"]
    bench.check_at_rest()


@pytest.mark.parametrize("mode", ["Queued", "Balanced"])
async def test_everything_ends_whatever_is_preempted(bench: Bench, mode: str) -> None:
    await with_settings(
        bench, PreemptionType="Immediate", SchedulingMode=mode, RebalancingInterval="2"
    )
    for name, cores in (("n1", 3), ("n2", 4)):
        agent = await bench.node(name, cores)
        agent.plan = lambda p: (1.0 + (p.key[0] * 7 + p.key[2]) % 5, 0)
    ids = []
    for n in range(24):
        ids.append(
            await bench.submit(
                a_sweep(1 + n % 5) if n % 3 else a_task(),
                priority=500 * (n * 5 % 9),
                can_preempt=n % 4 != 0,
                is_exclusive=n % 7 == 6,
                runtime=[0.0, 60.0, 20.0][n % 3],
            )
        )
        await bench.clock.advance(0.5)

    for job_id in ids:
        await bench.until_state(job_id, "Finished", seconds=900)
    bench.check_at_rest()
