"""P1 to P4: a whole cluster on this machine beside xargs (and HyperQueue's wheel).

``python bench/cluster.py [--only P1,P3] [--runs 3] [--tasks 10000] [--json FILE]``

An absolute figure of a shared machine means little: what counts is the ratio to what
does the same work in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hpcsched.api.v1 import job_pb2, task_pb2, watch_service_pb2
from hpcsched.client.aio import AsyncClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rivals import hyperqueue, install_hyperqueue, xargs

HPC = Path(sys.executable).with_name("hpc")
_J = job_pb2.Job
ENDED = {_J.STATE_FINISHED, _J.STATE_FAILED, _J.STATE_CANCELED}
Rows = list[dict[str, Any]]


class Cluster:
    """A cluster of one node with two cores in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> AsyncClient:
        up = [str(HPC), "up", "--detach", "--json", "--nodes", "1", "--cores", "2"]
        told = subprocess.run(
            [*up, "--dir", str(self._directory)],
            check=True,
            capture_output=True,
            text=True,
        )
        told_json = json.loads(told.stdout)
        token = Path(told_json["token_file"]).read_text().strip()
        return AsyncClient.to(told_json["address"], token=token)

    def __exit__(self, *_: object) -> None:
        subprocess.run([str(HPC), "down", "--dir", str(self._directory)], check=True)


def sweep(count: int) -> job_pb2.JobSpec:
    """Return a sweep of so many ``/bin/true``."""
    kind = task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
    task = task_pb2.TaskSpec(type=kind, arguments=["/bin/true"], end_value=count)
    return job_pb2.JobSpec(name=f"sweep of {count}", tasks=[task])


def single(*arguments: str) -> job_pb2.JobSpec:
    """Return a job of one task."""
    return job_pb2.JobSpec(tasks=[task_pb2.TaskSpec(arguments=arguments)])


async def ends(
    client: AsyncClient, ready: asyncio.Event, seen: asyncio.Queue[int]
) -> None:
    """Queue the id of each job that ends; ``ready`` when the watch is live."""
    jobs_only = watch_service_pb2.WatchFilter(jobs_only=True)
    async for message in client.watch(filter_=jobs_only):
        if message.caught_up:
            ready.set()
        for event in message.events:
            if any(c.task_id == 0 and c.state in ENDED for c in event.changes):
                seen.put_nowait(event.job_id)


async def p1(client: AsyncClient, count: int) -> float:
    """Return the seconds from submit until the client has seen the sweep's end."""
    begin = time.perf_counter()
    (job_id,) = await client.jobs.submit_all([sweep(count)])
    job = await client.jobs.wait(job_id)
    took = time.perf_counter() - begin
    if job.task_counts.finished != count:
        problem = f"only {job.task_counts.finished} of {count} finished"
        raise RuntimeError(problem)
    return took


async def p2(client: AsyncClient, count: int) -> float:
    """Return the seconds from one bulk submit until all jobs were seen to end."""
    ready, seen = asyncio.Event(), asyncio.Queue[int]()
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(ends(client, ready, seen))
        await ready.wait()
        begin = time.perf_counter()
        left = set(await client.jobs.submit_all([single("/bin/true")] * count))
        while left:
            left.discard(await seen.get())
        took = time.perf_counter() - begin
        watch.cancel()
    return took


async def p3(client: AsyncClient, count: int) -> list[float]:
    """Return for each of some jobs, one after the other, submit to Finished seen."""
    ready, seen = asyncio.Event(), asyncio.Queue[int]()
    times = []
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(ends(client, ready, seen))
        await ready.wait()
        for _ in range(count):
            begin = time.perf_counter()
            await client.jobs.submit_all([single("/bin/true")])
            await seen.get()
            times.append(time.perf_counter() - begin)
        watch.cancel()
    return times


async def running(client: AsyncClient, job_id: int) -> None:
    """Return when a job's task runs."""
    async for message in client.watch_job(job_id):
        if message.task_counts.running:
            return


async def p4(client: AsyncClient, count: int) -> list[float]:
    """Return for each of some running tasks cancel to end seen."""
    ready, seen = asyncio.Event(), asyncio.Queue[int]()
    times = []
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(ends(client, ready, seen))
        await ready.wait()
        for _ in range(count):
            (job_id,) = await client.jobs.submit_all([single("sleep", "600")])
            await running(client, job_id)
            begin = time.perf_counter()
            await client.jobs.cancel([job_id])
            await seen.get()
            times.append(time.perf_counter() - begin)
        watch.cancel()
    return times


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rate_row(
    name: str, goal: float, count: int, ours: list[float], rivals: list[float]
) -> dict[str, Any]:
    """Return a row about tasks per second against xargs."""
    rate = count / statistics.median(ours)
    theirs = count / statistics.median(rivals)
    return {
        "name": name,
        "ours": f"{rate:,.0f}/s",
        "reference": f"xargs -P2 {theirs:,.0f}/s",
        "ratio": round(rate / theirs, 2),
        "goal": f">= {goal} x xargs",
        "reached": rate / theirs >= goal,
    }


def time_row(
    name: str, times: list[float], p50_ms: float, p99_ms: float | None
) -> dict[str, Any]:
    """Return a row about latencies."""
    p50, p99 = percentile(times, 0.5) * 1e3, percentile(times, 0.99) * 1e3
    goal = f"p50 <= {p50_ms:g} ms" + (f", p99 <= {p99_ms:g} ms" if p99_ms else "")
    return {
        "name": name,
        "ours": f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "reference": "",
        "ratio": round(p50 / p50_ms, 2),
        "goal": goal,
        "reached": p50 <= p50_ms and (p99_ms is None or p99 <= p99_ms),
    }


async def measure(
    client: AsyncClient, args: argparse.Namespace, only: set[str]
) -> Rows:
    """Run what was asked for; ours and theirs take turns."""
    rows: Rows = []
    rates: list[
        tuple[str, float, int, Callable[[AsyncClient, int], Awaitable[float]]]
    ] = [
        (f"P1 sweep of {args.tasks} processes", 0.9, args.tasks, p1),
        (f"P2 {args.jobs} separate jobs", 0.7, args.jobs, p2),
    ]
    await p1(client, 200)
    for name, goal, count, run in rates:
        if name[:2] in only:
            ours, theirs = [], []
            for _ in range(args.runs):
                theirs.append(await asyncio.to_thread(xargs, count))
                ours.append(await run(client, count))
            rows.append(rate_row(name, goal, count, ours, theirs))
    if "P3" in only:
        rows.append(
            time_row(
                "P3 one job: submit to Finished seen", await p3(client, 200), 4, 20
            )
        )
    if "P4" in only:
        rows.append(time_row("P4 cancel to end seen", await p4(client, 50), 2, None))
    return rows


def beside(args: argparse.Namespace, directory: Path) -> Rows:
    """Return HyperQueue's row, if its wheel installs."""
    python = install_hyperqueue(Path(args.rivals).absolute())
    took = None if python is None else hyperqueue(python, args.tasks, directory)
    if took is None:
        return [{"name": "HyperQueue", "ours": "could not be run here"}]
    return [
        {
            "name": f"HyperQueue, {args.tasks} processes",
            "ours": f"{args.tasks / took:,.0f}/s",
        }
    ]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="P1,P2,P3,P4,HQ")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--rivals", default="build/rivals")
    parser.add_argument("--json", default="build/bench-cluster.json")
    args = parser.parse_args()
    only = {name.strip().upper() for name in args.only.split(",")}
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as where:
        rows = beside(args, Path(where)) if "HQ" in only else []
        with Cluster(Path(where) / "c") as client:
            rows = [*asyncio.run(_measured(client, args, only)), *rows]
    python = platform.python_version()
    machine = f"{os.cpu_count()} cores, {platform.release()}, Python {python}"
    print(f"{machine}; load {os.getloadavg()[0]:.1f}; medians of {args.runs}")
    for row in rows:
        mark = {True: "reached", False: "MISSED"}.get(row.get("reached", ""), "")
        cells = (
            row["name"],
            row["ours"],
            row.get("reference", ""),
            row.get("ratio", ""),
        )
        print(
            "{:40} {:28} {:24} {:6}".format(*map(str, cells)), row.get("goal", ""), mark
        )
    Path(args.json).parent.mkdir(parents=True, exist_ok=True)
    Path(args.json).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


async def _measured(
    client: AsyncClient, args: argparse.Namespace, only: set[str]
) -> Rows:
    async with client:
        return await measure(client, args, only)


if __name__ == "__main__":
    main()
