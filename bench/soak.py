"""A soak: jobs and clients come and go, and what the head uses must stay flat.

``python -m bench.soak --jobs 20000 --seconds 300``

A head of its own, simulated nodes, and clients that connect, submit, watch, list,
cancel, delete and go, some without a word. Prints a table of what the head uses over
time, and ends with status 1 if anything has grown after the first third: memory,
descriptors, threads, rows of jobs and events, the log of the store.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from bench.cluster import Head, Helper
from hpcsched.api.v1 import job_pb2, job_service_pb2, task_pb2, watch_service_pb2
from hpcsched.client.aio import AsyncClient
from hpcsched.common.errors import HpcError
from tests.support.measuring import descriptors, memory_kib, threads

NODES, CORES = 8, 16
CLIENTS = 6
JOBS_OF_CLIENT = 20
SAMPLES = 40
LIVING = (
    *("event", "job", "job_label", "job_parent", "job_spec", "job_terms"),
    *("chunk", "note", "output", "entry"),
)
"""Tables whose rows leave with their job."""
KEPT = ("request", "job_history", "allocation", "usage")
"""Tables that keep rows for a day and longer: shown, and not held against anybody."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the head uses at some moment."""

    seconds: int
    jobs: int
    rss_mib: float
    fds: int
    threads: int
    rows: int
    kept: int
    wal_mib: float


#: How much of each may be more at the end than after the first third.
SLACK = {"rss_mib": 6.0, "fds": 8, "threads": 2, "rows": 4000, "wal_mib": 8.0}


class Soak:
    """One run.

    Attributes:
        submitted: Jobs so far.
        problems: What went wrong on the side of clients.
    """

    def __init__(self, head: Head, jobs: int, seconds: float) -> None:
        self._head = head
        self._most = jobs
        self._end = time.monotonic() + seconds
        self.submitted = 0
        self.clients = 0
        self.problems: list[str] = []
        self.samples: list[Sample] = []

    @property
    def over(self) -> bool:
        return self.submitted >= self._most or time.monotonic() >= self._end

    async def run(self) -> None:
        """Let clients come and go until it is over."""
        begin = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self._visits(n)) for n in range(CLIENTS)]
            share, due = self._most / SAMPLES, 0.0
            span = (self._end - begin) / SAMPLES
            next_time = begin
            while not all(one.done() for one in workers):
                if self.submitted >= due or time.monotonic() >= next_time:
                    due, next_time = self.submitted + share, time.monotonic() + span
                    self.samples.append(self.measure(time.monotonic() - begin))
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        self.samples.append(self.measure(time.monotonic() - begin))

    async def _visits(self, number: int) -> None:
        while not self.over:
            self.clients += 1
            try:
                await self._visit(number)
            except HpcError as error:
                self.problems.append(str(error))

    async def _visit(self, number: int) -> None:
        """One client: it comes, works, and goes; every fourth goes without a word."""
        client = self._head.client()
        watch = asyncio.ensure_future(self._watch(client))
        try:
            specs = [spec_of(self.submitted + n) for n in range(JOBS_OF_CLIENT)]
            stubs = client.connection
            request = job_service_pb2.SubmitJobsRequest(specs=specs)
            made = await stubs.call(lambda s: s.jobs.SubmitJobs, request)
            ids = list(made.job_ids)
            self.submitted += len(ids)
            with contextlib.suppress(HpcError):
                cancel = job_service_pb2.CancelJobsRequest(job_ids=ids[::5])
                await stubs.call(lambda s: s.jobs.CancelJobs, cancel)
            for job_id in ids:
                await self._to_its_end(stubs, job_id)
            listed = job_service_pb2.ListTasksRequest(job_id=ids[1], elements=True)
            await stubs.call(lambda s: s.jobs.ListTasks, listed)
            if number % 4:
                forget = job_service_pb2.ForgetJobsRequest(job_ids=ids)
                await stubs.call(lambda s: s.jobs.ForgetJobs, forget)
            else:
                for job_id in ids:
                    forget = job_service_pb2.ForgetJobsRequest(job_ids=[job_id])
                    await stubs.call(lambda s: s.jobs.ForgetJobs, forget)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await client.connection.close()

    async def _to_its_end(self, stubs: Any, job_id: int) -> None:
        while True:
            wait = job_service_pb2.WaitJobRequest(job_id=job_id)
            told = await stubs.call(lambda s: s.jobs.WaitJob, wait)
            if told.job.end_time.seconds:
                return

    async def _watch(self, client: AsyncClient) -> None:
        """Watch everything for a while, some without reading on."""
        request = watch_service_pb2.WatchRequest(snapshot=True)
        messages = client.connection.stream(lambda s: s.watch.Watch, lambda: request)
        async with contextlib.aclosing(messages):
            seen = 0
            async for _ in messages:
                seen += 1
                if seen == 50:
                    await asyncio.Event().wait()

    def measure(self, seconds: float) -> Sample:
        """Look at the head's process and its store; print it."""
        pid, state = self._head.pid, self._head.directory / "state"
        wal = state / "hpcsched.db-wal"
        sample = Sample(
            seconds=round(seconds),
            jobs=self.submitted,
            rss_mib=round(memory_kib(pid) / 1024, 1),
            fds=descriptors(pid),
            threads=threads(pid),
            rows=rows_of(state / "hpcsched.db", LIVING),
            kept=rows_of(state / "hpcsched.db", KEPT),
            wal_mib=round(wal.stat().st_size / (1 << 20), 1) if wal.exists() else 0.0,
        )
        line("", *astuple(sample))
        return sample


def spec_of(number: int) -> job_pb2.JobSpec:
    """Return one of a few kinds of jobs."""
    spec = job_pb2.JobSpec(name=f"soak {number}", max_cores=4)
    task = spec.tasks.add(command_line="true")
    if number % 3 == 0:
        task.type = task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
        task.start_value, task.end_value, task.increment_value = 1, 40, 1
    elif number % 3 == 1:
        spec.tasks.add(command_line="true", environment={"A": str(number)})
    return spec


def rows_of(database: Path, tables: tuple[str, ...]) -> int:
    """Return the rows in some tables together."""
    uri = f"file:{database}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as store:
        known = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        return sum(
            store.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
            for name in tables
            if name in known
        )


def line(*cells: object) -> None:
    """Print one line of the table."""
    print(" ".join(f"{cell!s:>9}" for cell in cells), flush=True)


def growth(samples: list[Sample]) -> dict[str, float]:
    """Return how much more of each there is at the end than after the first third.

    Of each third the median counts: a checkpoint or a burst is no growth.
    """
    third = max(1, len(samples) // 3)
    early, late = samples[third : 2 * third], samples[-third:]

    def median(part: list[Sample], name: str) -> float:
        values = sorted(float(getattr(one, name)) for one in part)
        return values[len(values) // 2]

    return {name: median(late, name) - median(early, name) for name in SLACK}


def main() -> None:
    """Run, judge, and say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=300)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="hpcsched-soak-") as folder,
        Head(Path(folder)) as head,
        Helper(
            "bench.simulated",
            *("--address", head.agent_address, "--token-file", Path(folder) / "node"),
            *("--nodes", NODES, "--cores", CORES),
        ) as fleet,
    ):
        asyncio.run(online(head, fleet.hear()["nodes"]))
        line("", *(field.name for field in fields(Sample)))
        soak = Soak(head, args.jobs, args.seconds)
        asyncio.run(soak.run())
    grown = growth(soak.samples)
    line(
        "growth", "", "", *(round(grown.get(f.name, 0), 1) for f in fields(Sample)[2:])
    )
    bad = [name for name, slack in SLACK.items() if grown[name] > slack]
    print(
        f"{soak.submitted} jobs, {soak.clients} clients, {len(soak.problems)} problems"
    )
    for problem in soak.problems[:5]:
        print(problem)
    if bad or soak.problems:
        print(f"NOT FLAT: {', '.join(bad)}" if bad else "PROBLEMS")
        sys.exit(1)
    print("FLAT")


async def online(head: Head, names: list[str]) -> None:
    """Let all nodes take work."""
    async with head.client() as client:
        await client.nodes.online(names)


if __name__ == "__main__":
    main()
