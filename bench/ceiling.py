"""P7 to P9: the head alone, with simulated nodes and many watchers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench.cluster import Helper
from bench.figures import Figure, at_least, at_most, percentile
from bench.processes import Meter
from bench.site import fleet, sweep
from hpcsched.api.v1 import job_pb2

if TYPE_CHECKING:
    from bench.cluster import Head
    from bench.site import Site
    from hpcsched.client.aio import AsyncClient

NODES, CORES = 8, 256
IDLE_S = 10.0


async def run(client: AsyncClient, count: int) -> float:
    """Return the seconds from the submit of a sweep to its end seen."""
    begin = time.perf_counter()
    (job_id,) = await client.jobs.submit_all([sweep(count)])
    job = await client.jobs.wait(job_id)
    took = time.perf_counter() - begin
    assert job.task_counts.finished == count, job.task_counts
    return took


async def p7(site: Site) -> list[Figure]:
    """Tasks a second that a head can start and see finished."""
    small, large = site.size(10_000), site.size(1_000_000)
    with site.head() as head:
        async with head.client() as client:
            with await fleet(head, client, NODES, CORES) as nodes:
                await run(client, small)
                pids = {"head": head.pid, "nodes": nodes.pid}
                meter = Meter(pids)
                shorts = [await run(client, small) for _ in range(3 * site.runs)]
                short_cpu = meter.us_per(small * len(shorts))
                meter = Meter(pids)
                frames = nodes.ask("stats")["frames"]
                took = await run(client, large)
                cpu = meter.us_per(large)
                frames = nodes.ask("stats")["frames"] - frames
    what = f"head with simulated nodes, {large:,} tasks"
    extra = {
        "cpu_us_per_task": cpu,
        "small_cpu_us_per_task": short_cpu,
        "tasks_per_frame": large / frames,
        "small_rate": small / min(shorts),
    }
    ratio = short_cpu["head"] / cpu["head"]
    return [
        at_least("P7", f"{what}, wall time", large / took, 50_000, "/s", **extra),
        at_least("P7", "the same per CPU second", 1e6 / cpu["head"], 50_000, "/s"),
        at_least("P7", f"CPU per task at {small:,} over {large:,}", ratio, 1.0, "x"),
    ]


async def p8(site: Site) -> list[Figure]:
    """A thousand connected nodes."""
    count = site.size(1_000)
    with site.head() as head:
        async with head.client() as client:
            begin = time.perf_counter()
            with await fleet(head, client, count, 1, held=True) as nodes:
                joined = time.perf_counter() - begin
                await asyncio.sleep(2)
                meter = Meter({"head": head.pid})
                begin = time.perf_counter()
                await asyncio.sleep(IDLE_S)
                spent = time.perf_counter() - begin
                idle = meter.shares(spent)["head"] * 100 * 1_000 / count
                starts = []
                for _ in range(3):
                    nodes.ask("hold")
                    job_id, took = await everywhere(client, count)
                    starts.append(took)
                    nodes.ask("end")
                    await client.jobs.wait(job_id)
    return [
        at_most("P8", f"{count:,} idle nodes, per 1,000", idle, 5, "% of a core"),
        at_most(
            *("P8", f"a job on {count:,} nodes runs everywhere", min(starts), 1, "s"),
            runs_s=starts,
            all_joined_s=joined,
        ),
    ]


async def everywhere(client: AsyncClient, nodes: int) -> tuple[int, float]:
    """Submit a job of all nodes; return it, and the seconds until it runs there."""
    spec = sweep(nodes)
    spec.unit_type = job_pb2.UNIT_TYPE_NODE
    spec.min_nodes = spec.max_nodes = nodes
    begin = time.perf_counter()
    (job_id,) = await client.jobs.submit_all([spec])
    async for message in client.watch_job(job_id):
        if message.task_counts.running == nodes:
            return job_id, time.perf_counter() - begin
    raise RuntimeError("the job has ended")


async def p9(site: Site) -> list[Figure]:
    """A thousand watchers of one busy job, and one that is stuck; all take turns."""
    count, tasks = site.size(1_000), site.size(200_000)
    kinds = {"alone": (0, 0), "stuck": (1, 1), "many": (count, 0)}
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    with site.head() as head:
        async with head.client() as client:
            with await fleet(head, client, NODES, CORES):
                await run(client, tasks // 10)
                for _ in range(site.runs):
                    for kind, (watchers, stuck) in kinds.items():
                        found = await _watched(head, client, watchers, stuck, tasks)
                        runs[kind].append(found)

    def middle(kind: str, what: str) -> float:
        return percentile([found[what] for found in runs[kind]], 0.5)

    lost = max(0.0, 1 - middle("alone", "took") / middle("many", "took")) * 100
    cpu = middle("alone", "cpu_us_per_task")
    more = (middle("many", "cpu_us_per_task") - cpu) * tasks / 1e6
    share = max(0.0, more / middle("many", "took")) * 100
    told = middle("many", "messages")
    dearer = max(0.0, middle("stuck", "cpu_us_per_task") / cpu - 1) * 100
    for found in runs["many"]:
        assert found["least"] == found["most"] > 0, found
    name = f"{count:,} watchers"
    return [
        at_most("P9", f"{name}: throughput lost, theirs too", lost, 20, "%", **runs),
        at_most(
            *("P9", f"{name}: share of the head's time", share, 20, "%"),
            cpu_us_per_message=more * 1e6 / told,
        ),
        at_most("P9", "one stuck watcher: more CPU per task", dearer, 5, "%"),
    ]


async def _watched(
    head: Head, client: AsyncClient, watchers: int, stuck: int, tasks: int
) -> dict[str, Any]:
    """Run a sweep with so many watchers; each must see all of it."""
    meter = Meter({"head": head.pid})
    if not watchers:
        took = await run(client, tasks)
        return {"took": took, "cpu_us_per_task": meter.us_per(tasks)["head"]}
    with Helper(
        *("bench.watchers", "--address", head.address),
        *("--token-file", head.directory / "admin"),
        *("--count", watchers, "--stuck", stuck),
    ) as helper:
        helper.hear()
        meter = Meter({"head": head.pid})
        took = await run(client, tasks)
        cpu = meter.us_per(tasks)["head"]
        begin = time.perf_counter()
        said = helper.ask("stats")
        while said["cursors"] > 1 and time.perf_counter() - begin < 60:
            await asyncio.sleep(0.1)
            said = helper.ask("stats")
        late = time.perf_counter() - begin
    return {"took": took, "cpu_us_per_task": cpu, "late_s": late, **said}
