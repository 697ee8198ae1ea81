"""How costs grow: per task and job at 10³ to 10⁶, per node and watcher to 1,000."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.ceiling import CORES, NODES, everywhere, run
from bench.cluster import Helper
from bench.figures import Figure
from bench.processes import Meter, rss_mib
from bench.site import fleet, single

if TYPE_CHECKING:
    from bench.site import Site

TASKS = (1_000, 10_000, 100_000, 1_000_000)
JOBS = (1_000, 10_000, 100_000)
NODE_COUNTS = (10, 100, 1_000)
WATCHER_COUNTS = (1, 100, 1_000)
IDLE_S = 10.0


def _row(what: str, ours: float, unit: str, **extra: object) -> Figure:
    return Figure(key="GROWTH", what=what, ours=ours, unit=unit, extra=extra)


async def all_of_it(site: Site) -> list[Figure]:
    """Return every growth table."""
    return [
        *await tasks(site),
        *await jobs(site),
        *await nodes(site),
        *await wide_jobs(site),
        *await watchers(site),
    ]


async def tasks(site: Site) -> list[Figure]:
    """CPU of the head per task, by the size of the sweep."""
    rows = []
    with site.head() as head:
        async with head.client() as client:
            with await fleet(head, client, NODES, CORES):
                await run(client, 1_000)
                for count in TASKS[: 3 if site.quick else 4]:
                    times = max(1, 20_000 // count)
                    meter = Meter({"head": head.pid})
                    took = [await run(client, count) for _ in range(times)]
                    cpu = meter.us_per(count * times)["head"]
                    what = f"head, per task of a sweep of {count:,}"
                    rows.append(_row(what, cpu, "us CPU", rate=count / min(took)))
    return rows


async def jobs(site: Site) -> list[Figure]:
    """CPU and memory of the head per queued job, by how many are queued before."""
    rows = []
    with site.head() as head:
        async with head.client() as client:
            await client.jobs.submit_all([single()] * 100)
            there = 0
            for count in JOBS[: 2 if site.quick else 3]:
                before = rss_mib(head.pid)
                meter = Meter({"head": head.pid})
                new = count - there
                await client.jobs.submit_all([single()] * new)
                cpu = meter.us_per(new)["head"]
                each = (rss_mib(head.pid) - before) * 1024 / new
                there = count
                what = f"head, per job queued, {count:,} of them"
                rows.append(_row(what, cpu, "us CPU", kib_per_job=each))
    return rows


async def nodes(site: Site) -> list[Figure]:
    """Share of a core per idle node."""
    rows = []
    for count in NODE_COUNTS[: 2 if site.quick else 3]:
        with site.head() as head:
            async with head.client() as client:
                before = rss_mib(head.pid)
                with await fleet(head, client, count, 1):
                    await asyncio.sleep(1)
                    each = (rss_mib(head.pid) - before) * 1024 / count
                    meter = Meter({"head": head.pid})
                    await asyncio.sleep(IDLE_S)
                    share = meter.shares(IDLE_S)["head"]
        what = f"head, per idle node and second, {count:,} of them"
        rows.append(_row(what, share * 1e6 / count, "us CPU", kib_per_node=each))
    return rows


async def wide_jobs(site: Site) -> list[Figure]:
    """CPU of the head per node of a job with a task on each, from submit to its end."""
    rows = []
    for count in NODE_COUNTS[: 2 if site.quick else 3]:
        starts = []
        with site.head() as head:
            async with head.client() as client:
                with await fleet(head, client, count, 1, held=True) as nodes_:
                    times = max(3, 100 // count)
                    meter = Meter({"head": head.pid})
                    for _ in range(times):
                        nodes_.ask("hold")
                        job_id, took = await everywhere(client, count)
                        starts.append(took)
                        nodes_.ask("end")
                        await client.jobs.wait(job_id)
                    cpu = meter.us_per(count * times)["head"]
        what = f"head, per node of a job on {count:,}"
        rows.append(_row(what, cpu, "us CPU", runs_everywhere_s=min(starts)))
    return rows


async def watchers(site: Site) -> list[Figure]:
    """CPU of the head per task of a busy job, by how many watch it."""
    rows = []
    tasks = site.size(100_000)
    with site.head() as head:
        async with head.client() as client:
            with await fleet(head, client, NODES, CORES):
                await run(client, tasks)
                for count in (0, *WATCHER_COUNTS[: 2 if site.quick else 3]):
                    with Helper(
                        *("bench.watchers", "--address", head.address),
                        *("--token-file", head.directory / "admin", "--count", count),
                    ) as helper:
                        helper.hear()
                        meter = Meter({"head": head.pid})
                        took = await run(client, tasks)
                        cpu = meter.us_per(tasks)["head"]
                    what = f"head, per task of a sweep with {count:,} watchers"
                    rows.append(_row(what, cpu, "us CPU", rate=tasks / took))
    return rows
