"""P5, P6 and P10: a million tasks, a hundred thousand jobs, and a head that was killed.

Nodes are simulated; the head, its store and its clients are real.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, at_least, at_most, percentile
from bench.processes import Meter, rss_mib
from bench.site import fleet, own, single, sweep
from hpcsched.api.v1 import task_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bench.cluster import Head
    from bench.site import Site
    from hpcsched.api.v1 import job_pb2
    from hpcsched.client.aio import AsyncClient

MILLION = 1_000_000
FAILED = task_pb2.Task.STATE_FAILED
PAGE_S = 0.2


async def _seconds(call: Callable[[], Awaitable[Any]]) -> float:
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


async def _asked(client: AsyncClient, job_id: int, times: list[float]) -> None:
    """Ask for the state of a job and for its failed tasks; note what each took."""
    times.append(await _seconds(lambda: client.jobs.get(job_id)))
    failed = lambda: client.tasks.list(job_id, states=[FAILED], limit=100)  # noqa: E731
    times.append(await _seconds(failed))


async def p5(site: Site) -> list[Figure]:
    """A sweep of a million: queued, running, ended."""
    count = site.size(MILLION)
    asked: list[float] = []
    with site.head() as head:
        async with head.client() as client:
            await client.jobs.submit_all([single()])
            before = rss_mib(head.pid)
            submits = []
            job_id = 0
            for _ in range(3):
                begin = time.perf_counter()
                (job_id,) = await client.jobs.submit_all([sweep(count)])
                submits.append(time.perf_counter() - begin)
            queued = (rss_mib(head.pid) - before) / 3
            for _ in range(10):
                await _asked(client, job_id, asked)
            await client.jobs.cancel([1, job_id - 1, job_id - 2])
            before = rss_mib(head.pid)
            helper = await fleet(head, client, 8, 128)
            with helper:
                end = asyncio.ensure_future(client.jobs.wait(job_id))
                while not end.done():
                    await _asked(client, job_id, asked)
                    await asyncio.wait([end], timeout=PAGE_S)
                job = end.result()
                assert job.task_counts.finished == count
            ended = rss_mib(head.pid) - before
            for _ in range(10):
                await _asked(client, job_id, asked)
    name = f"sweep of {count:,}"
    slowest = percentile(asked, 0.99) * 1e3
    spread = {"p50_ms": percentile(asked, 0.5) * 1e3, "max_ms": max(asked) * 1e3}
    return [
        at_most("P5", f"{name}: submit", min(submits) * 1e3, 50, "ms"),
        at_most("P5", f"{name}: memory of the head, queued", queued, 50, "MiB"),
        at_most("P5", f"{name}: the same, all ended", ended, 150, "MiB"),
        at_most(
            "P5", f"{name}: status, failed tasks, p99", slowest, 50, "ms", **spread
        ),
    ]


async def p6(site: Site) -> list[Figure]:
    """A hundred thousand queued jobs: equal ones, and such as run different things."""
    count = site.size(100_000)
    return [
        *await _p6(site, f"{count:,} queued jobs", [single()] * count),
        *await _p6(site, f"{count:,} queued jobs that differ", own(count)),
    ]


async def _p6(site: Site, name: str, specs: Sequence[job_pb2.JobSpec]) -> list[Figure]:
    count = len(specs)
    with site.head() as head:
        async with head.client() as client:
            await client.jobs.submit_all([single()] * 100)
            before = rss_mib(head.pid)
            meter = Meter({"head": head.pid})
            begin = time.perf_counter()
            ids = list(await client.jobs.submit_all(specs))
            took = time.perf_counter() - begin
            cpu = meter.us_per(count)
            each = (rss_mib(head.pid) - before) * 1024 / count
            lists = [
                await _seconds(lambda: client.jobs.list(limit=100)) for _ in range(20)
            ]
            begin = time.perf_counter()
            meter = Meter({"head": head.pid})
            for first in range(0, count, 10_000):
                await client.jobs.cancel(ids[first : first + 10_000])
            cancel = (time.perf_counter() - begin) * 100_000 / count
            cancel_cpu = meter.us_per(count)
    p50 = percentile(lists, 0.5) * 1e3
    return [
        at_least(
            *("P6", f"{name}: bulk submit", count / took, 20_000, "jobs/s"),
            cpu_us_per_job=cpu,
        ),
        at_most("P6", f"{name}: memory of the head", each, 3, "kB/job"),
        at_most("P6", f"{name}: list of the newest 100", p50, 20, "ms"),
        at_most(
            *("P6", f"{name}: cancel all, per 100,000", cancel, 5, "s"),
            cpu_us_per_job=cancel_cpu,
        ),
    ]


async def p10(site: Site) -> list[Figure]:
    """A head that is killed with a million tasks half done."""
    count = site.size(MILLION)
    with site.head() as head:
        before = await _half(head, count)
        listening = head.start()
        begin = time.perf_counter()
        async with head.client() as client:
            job = await client.jobs.get(1)
            answered = time.perf_counter() - begin
            lost = before - job.task_counts.finished
            assert lost <= 0, f"{lost} ends were lost"
            with await fleet(head, client, 8, 128):
                job = await client.jobs.wait(1)
            assert job.task_counts.finished == count, job.task_counts
    what = f"kill -9 with {count:,} tasks half done, serving again"
    took = listening + answered
    return [at_most("P10", what, took, 3, "s", listening_s=listening)]


async def _half(head: Head, count: int) -> int:
    """Kill the head when half of a sweep has ended; return how many it had told."""
    async with head.client() as client:
        with await fleet(head, client, 8, 128):
            await client.jobs.submit_all([sweep(count)])
            told = 0
            while told < count // 2:
                await asyncio.sleep(PAGE_S)
                told = (await client.jobs.get(1)).task_counts.finished
            head.kill()
    return told
