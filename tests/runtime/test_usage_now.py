"""What running jobs and tasks use (GetJobResourceUsage, GetTaskResourceUsage)."""

from __future__ import annotations

from typing import Any

from hpcsched.core.usage import TaskUsage
from hpcsched.runtime.front import Stop, TaskPage
from tests.support.head_bench import ANN, NO_ID, Bench, a_sweep


def used(job_id: int, instance: int, **fields: Any) -> TaskUsage:
    whole: dict[str, Any] = {"attempt": 1, "user_ms": 100, "kernel_ms": 10}
    whole |= {"resident_kib": 1000, "processes": 2, "pids": (7, 8), **fields}
    return TaskUsage(job_id=job_id, task_id=1, instance_id=instance, **whole)


async def running(bench: Bench) -> int:
    """Return a job with two elements on each of two nodes."""
    for name in ("n1", "n2"):
        agent = await bench.node(name, 2)
        agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(4), min_cores=4, max_cores=4)
    await bench.clock.advance(1)
    return job_id


async def full(bench: Bench, job_id: int) -> Any:
    return await bench.head.get_job(ANN, job_id, full=True)


async def test_a_running_task_shows_what_its_node_said_last(bench: Bench) -> None:
    job_id = await running(bench)
    assert (await bench.task(job_id, 1, 1)).process_ids == ""
    bench.agents["n1"].use(used(job_id, 1), used(job_id, 2, user_ms=5))
    await bench.clock.advance(1)
    bench.agents["n1"].use(used(job_id, 1, user_ms=300, resident_kib=400))
    await bench.clock.advance(1)

    task = await bench.task(job_id, 1, 1)

    assert (task.user_ms, task.kernel_ms, task.max_rss_kib) == (300, 10, 1000)
    assert (task.process_count, task.process_ids) == (2, "n1: 7 8")
    page = TaskPage(elements=True)
    tasks, _ = await bench.head.list_tasks(ANN, job_id, page)
    assert [one.user_ms for one in tasks] == [300, 5, 0, 0]


async def test_a_running_job_shows_the_sum_of_what_has_ended_and_what_runs(
    bench: Bench,
) -> None:
    job_id = await running(bench)
    first, second = bench.agents["n1"], bench.agents["n2"]
    first.use(used(job_id, 1), used(job_id, 2))
    second.use(used(job_id, 3, pids=(9,)))
    await bench.clock.advance(1)

    job = await full(bench, job_id)
    assert (job.user_ms, job.kernel_ms, job.memory_kib) == (300, 30, 3000)
    assert (job.process_count, job.process_ids) == (6, "n1: 7 8 7 8, n2: 9")
    master = await bench.head.get_task(ANN, job_id, (1, 0), full=True)
    assert (master.user_ms, master.process_count) == (300, 6)
    assert (await bench.job(job_id)).process_ids == ""

    first.exit((job_id, 1, 1, 1))
    await bench.clock.advance(1)
    job = await full(bench, job_id)
    assert (job.user_ms, job.process_count) == (201, 4), "its report counts now"
    assert (await bench.task(job_id, 1, 1)).user_ms == 1


async def test_nothing_is_left_of_it_when_the_job_is_over(bench: Bench) -> None:
    job_id = await running(bench)
    bench.agents["n1"].use(used(job_id, 1), used(999, 1))
    await bench.clock.advance(1)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.until_state(job_id, "Canceled")

    job = await full(bench, job_id)
    assert (job.process_count, job.process_ids) == (0, "")
    for actor in bench.world.nodes:
        assert job_id not in actor.usages.jobs


async def test_use_of_an_earlier_attempt_is_not_that_of_the_present_one(
    bench: Bench,
) -> None:
    job_id = await running(bench)
    bench.agents["n1"].use(used(job_id, 1, attempt=9))
    await bench.clock.advance(1)

    assert (await bench.task(job_id, 1, 1)).user_ms == 0


async def test_another_stream_tells_it_anew(bench: Bench) -> None:
    job_id = await running(bench)
    agent = bench.agents["n1"]
    agent.use(used(job_id, 1))
    await bench.clock.advance(1)
    agent.cut()
    await agent.connect()
    await bench.clock.advance(1)

    assert (await bench.task(job_id, 1, 1)).user_ms == 0
    agent.use(used(job_id, 1))
    await bench.clock.advance(1)
    assert (await bench.task(job_id, 1, 1)).user_ms == 100


async def test_a_node_that_tells_nonsense_does_no_harm(bench: Bench) -> None:
    job_id = await running(bench)
    odd = [
        used(job_id, 1, user_ms=-5, processes=-1),
        used(job_id, 77, user_ms=1 << 62),
        used(-1, -1),
        *(used(5, number) for number in range(30_000)),
    ]
    bench.agents["n1"].use(*odd)
    await bench.clock.advance(1)

    job = await full(bench, job_id)
    assert 0 <= job.user_ms < 1 << 54
    assert (await bench.task(job_id, 1, 1)).user_ms == 0
