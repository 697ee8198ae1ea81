"""P1 to P4: real processes on a real cluster, beside what does the same work."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING

from bench import rivals
from bench.cluster import Cluster
from bench.figures import Figure, at_most, percentile, rate
from bench.processes import Meter
from bench.site import own, single, sweep
from hpcsched.api.v1 import job_pb2, watch_service_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.site import Site
    from hpcsched.client.aio import AsyncClient

_J = job_pb2.Job
ENDED = {_J.STATE_FINISHED, _J.STATE_FAILED, _J.STATE_CANCELED}


async def run_sweep(client: AsyncClient, count: int, *arguments: str) -> float:
    """Return the seconds from submit until the client has seen the sweep's end."""
    begin = time.perf_counter()
    (job_id,) = await client.jobs.submit_all([sweep(count, *arguments)])
    job = await client.jobs.wait(job_id)
    took = time.perf_counter() - begin
    if job.task_counts.finished != count:
        problem = f"only {job.task_counts.finished} of {count} finished"
        raise RuntimeError(problem)
    return took


class Ends:
    """A watch that queues the id of each job that ends."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._ready = asyncio.Event()
        self.seen = asyncio.Queue[int]()

    async def __aenter__(self) -> asyncio.Queue[int]:
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._watch = self._tasks.create_task(self._follow())
        await self._ready.wait()
        return self.seen

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _follow(self) -> None:
        jobs_only = watch_service_pb2.WatchFilter(jobs_only=True)
        async for message in self._client.watch(filter_=jobs_only):
            if message.caught_up:
                self._ready.set()
            for event in message.events:
                if any(c.task_id == 0 and c.state in ENDED for c in event.changes):
                    self.seen.put_nowait(event.job_id)


async def p1(site: Site) -> list[Figure]:
    """A sweep of processes on a node with two cores."""
    count = site.size(10_000)
    cluster = site.cluster()
    async with cluster.client() as client:
        await run_sweep(client, 200)
        ours, theirs, floor = [], [], []
        meter = Meter(cluster.pids)
        for _ in range(site.runs):
            theirs.append(await asyncio.to_thread(rivals.xargs, count))
            floor.append(await asyncio.to_thread(rivals.spawn_loop, count))
            ours.append(await run_sweep(client, count))
        cpu = meter.us_per(count * site.runs)
    contained = await _contained(site, count)
    beside = {"xargs": theirs, "spawn loop": floor, "with cgroups": contained}
    beside |= await _others(site, count)
    what = f"{count:,} processes as one sweep"
    return [
        rate("P1", what, count, ours, theirs=beside, share=0.9, cpu_us_per_task=cpu)
    ]


async def _contained(site: Site, count: int) -> list[float]:
    """Return the seconds where tasks get a cgroup each; none where they cannot."""
    try:
        with Cluster(site.directory / "contained" / "c", "require") as cluster:
            async with cluster.client() as client:
                await run_sweep(client, 200)
                return [await run_sweep(client, count) for _ in range(site.runs)]
    except subprocess.CalledProcessError:
        return []


async def _others(site: Site, count: int) -> dict[str, list[float]]:
    """Return the seconds of HyperQueue and Slurm, where they are there."""
    directory = site.directory / "rivals"
    directory.mkdir(exist_ok=True)
    found = {}
    python = await asyncio.to_thread(rivals.install_hyperqueue, site.rivals)
    if python is not None:
        took = await asyncio.to_thread(rivals.hyperqueue, python, count, directory)
        found["HyperQueue"] = [] if took is None else [took]
    some = min(count, 500)
    took = await asyncio.to_thread(rivals.slurm, some)
    found["Slurm"] = [] if took is None else [took * count / some]
    return found


async def p2(site: Site) -> list[Figure]:
    """Separate jobs of one process each, one bulk call."""
    count = site.size(1_000)
    what = f"{count:,} separate jobs, one bulk call"
    return [
        await _p2(site, what, count, [single()] * count),
        await _p2(site, f"{what}, each with arguments of its own", count, own(count)),
    ]


async def _p2(
    site: Site, what: str, count: int, specs: Sequence[job_pb2.JobSpec]
) -> Figure:
    cluster = site.cluster()
    async with cluster.client() as client:
        await run_jobs(client, [single()] * 50)
        ours, theirs = [], []
        meter = Meter(cluster.pids)
        for _ in range(site.runs):
            theirs.append(await asyncio.to_thread(rivals.xargs, count))
            ours.append(await run_jobs(client, specs))
        cpu = meter.us_per(count * site.runs)
    beside = {"xargs": theirs}
    return rate("P2", what, count, ours, theirs=beside, share=0.7, cpu_us_per_job=cpu)


async def run_jobs(client: AsyncClient, specs: Sequence[job_pb2.JobSpec]) -> float:
    """Return the seconds from one bulk submit until all jobs were seen to end."""
    async with Ends(client) as seen:
        begin = time.perf_counter()
        left = set(await client.jobs.submit_all(specs))
        while left:
            left.discard(await seen.get())
        return time.perf_counter() - begin


async def p3(site: Site) -> list[Figure]:
    """One job after the other, submit to Finished seen."""
    cluster = site.cluster()
    async with cluster.client() as client, Ends(client) as seen:
        await one_by_one(client, seen, 20)
        meter = Meter(cluster.pids)
        count = site.size(200)
        times = await one_by_one(client, seen, count)
        cpu = meter.us_per(count)
    p50, p99 = percentile(times, 0.5) * 1e3, percentile(times, 0.99) * 1e3
    what = "one job, submit to Finished seen"
    return [
        at_most("P3", f"{what}, p50", p50, 4, "ms", cpu_us_per_job=cpu),
        at_most("P3", f"{what}, p99", p99, 20, "ms"),
    ]


async def one_by_one(
    client: AsyncClient, seen: asyncio.Queue[int], count: int
) -> list[float]:
    """Return the seconds from submit to end seen of jobs, one after the other."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        await client.jobs.submit_all([single()])
        await seen.get()
        times.append(time.perf_counter() - begin)
    return times


async def p4(site: Site) -> list[Figure]:
    """Cancel of a running task, until its end is seen."""
    cluster = site.cluster()
    async with cluster.client() as client, Ends(client) as seen:
        await cancels(client, seen, 5)
        meter = Meter(cluster.pids)
        count = site.size(100)
        times = await cancels(client, seen, count)
        cpu = meter.us_per(count)
    p50, p99 = percentile(times, 0.5) * 1e3, percentile(times, 0.99) * 1e3
    what = "running task, cancel to end seen, p50"
    extra = {"p99_ms": p99, "cpu_us_per_job": cpu}
    return [at_most("P4", what, p50, 2, "ms", **extra)]


async def cancels(
    client: AsyncClient, seen: asyncio.Queue[int], count: int
) -> list[float]:
    """Return the seconds from cancel to end seen of running tasks."""
    times = []
    for _ in range(count):
        (job_id,) = await client.jobs.submit_all([single("sleep", "600")])
        await running(client, job_id)
        begin = time.perf_counter()
        await client.jobs.cancel([job_id])
        await seen.get()
        times.append(time.perf_counter() - begin)
    return times


async def running(client: AsyncClient, job_id: int) -> None:
    """Return when a job's task runs."""
    async for message in client.watch_job(job_id):
        if message.task_counts.running:
            return
