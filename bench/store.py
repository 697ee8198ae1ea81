"""How fast the store is: ``python bench/store.py [--directory DIR] [--jobs N]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from hpcsched.store.base import Delta, EventRow, JobQuery, JobRow
from hpcsched.store.opener import open_store
from hpcsched.store.sql.store import SqlStore

BODY = b"e" * 100
BLOB = b"j" * 300
SECONDS = 2.0


class Figures:
    """Rows of a table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, name: str, value: str) -> None:
        self.rows.append((name, value))
        print(f"{name:<58} {value}", flush=True)


class Deltas:
    """Makes deltas of one event each, of one job after the other."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._at = 0
        self._stock: list[Delta] = []

    def next(self) -> Delta:
        """Return the next one, made ahead where there is one."""
        return self._stock.pop() if self._stock else self._make()

    def stock(self, count: int) -> None:
        """Make deltas ahead: what that costs is not the store's."""
        missing = count - len(self._stock)
        self._stock = [self._make() for _ in range(missing)][::-1] + self._stock

    def _make(self) -> Delta:
        number, revision = self._at % self._jobs + 1, self._at // self._jobs + 1
        self._at += 1
        return a_delta(number, revision)


def a_delta(job_id: int, revision: int, *, spec: bool = False) -> Delta:
    """Return an event, with the row that it leads to."""
    event = EventRow(
        job_id=job_id, revision=revision, time=1.8e9, owner="ada", body=BODY
    )
    row = JobRow(
        job_id=job_id,
        owner="ada",
        name="bench",
        project="",
        state=4,
        priority=2000,
        create_time=1.8e9,
        submit_time=1.8e9,
        end_time=None,
        labels={},
        active=True,
        blob=BLOB,
    )
    return Delta(events=(event,), job=row, specs={0: BLOB, 1: BLOB} if spec else {})


async def commit(store: SqlStore, delta: Delta) -> None:
    """Commit and wait."""
    answer: asyncio.Future[BaseException | None]
    answer = asyncio.get_running_loop().create_future()
    store.commit(delta, lambda _, error: answer.set_result(error))
    assert await answer is None


async def lone(store: SqlStore, deltas: Deltas, figures: Figures) -> None:
    """One commit after the other, each waited for."""
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        await commit(store, deltas.next())
        times.append(time.perf_counter() - start)
    cuts = statistics.quantiles(times, n=100)
    text = f"{len(times) / sum(times):,.0f}/s, p50 {cuts[49] * 1e3:.2f} ms"
    figures.add("one delta at a time", f"{text}, p99 {cuts[98] * 1e3:.2f} ms")


async def grouped(
    store: SqlStore, deltas: Deltas, size: int, figures: Figures, note: str = ""
) -> None:
    """So many deltas in flight: whatever has queued is joined."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    end = time.perf_counter() + SECONDS
    count = flying = 0

    def done(_: int, error: BaseException | None) -> None:
        nonlocal count, flying
        if error is not None:
            if not over.done():
                over.set_exception(error)
            return
        count += 1
        flying -= 1
        if flying == 0:
            refill()

    def refill() -> None:
        nonlocal flying
        if time.perf_counter() >= end:
            over.set_result(None)
            return
        flying = size
        for _ in range(size):
            store.commit(deltas.next(), done)

    deltas.stock(200_000)
    before = store.stats.transactions
    start = time.perf_counter()
    refill()
    await over
    spent = time.perf_counter() - start
    joined = count / max(1, store.stats.transactions - before)
    figures.add(
        f"{size} single-event deltas in flight{note}",
        f"{count / spent:,.0f}/s, {joined:.0f} a transaction",
    )


async def many_events(store: SqlStore, events: int, figures: Figures) -> None:
    """One delta of so many events at a time."""
    count, revision = 0, 0
    end = time.perf_counter() + SECONDS
    start = time.perf_counter()
    while time.perf_counter() < end:
        base = a_delta(10_000_000 + events, revision + 1)
        rows = tuple(
            EventRow(
                job_id=10_000_000 + events,
                revision=revision + n,
                time=1.8e9,
                owner="ada",
                body=BODY,
            )
            for n in range(1, events + 1)
        )
        revision += events
        await commit(store, Delta(events=rows, job=base.job))
        count += 1
    spent = time.perf_counter() - start
    figures.add(
        f"one delta of {events} events at a time",
        f"{count / spent:,.0f} commits/s, {count * events / spent:,.0f} events/s",
    )


async def jobs(path: Path, count: int, figures: Figures) -> None:
    """Submit so many jobs, and start again with them."""
    loop = asyncio.get_running_loop()
    store = open_store(path, loop=loop)
    start = time.perf_counter()
    answer = loop.create_future()
    left = count // 1000

    def done(_: object, error: BaseException | None) -> None:
        nonlocal left
        left -= 1
        if error is not None or not left:
            answer.set_result(error)

    for block in range(count // 1000):
        first = block * 1000 + 1
        store.commit_together(
            [a_delta(n, 1, spec=True) for n in range(first, first + 1000)], done
        )
    assert await answer is None
    spent = time.perf_counter() - start
    figures.add(f"submit {count:,} jobs, 1,000 at a time", f"{count / spent:,.0f}/s")
    start = time.perf_counter()
    rows = await store.list_jobs(JobQuery(limit=100))
    spent = time.perf_counter() - start
    figures.add(f"list the newest {len(rows)}", f"{spent * 1e3:.1f} ms")
    await store.close()
    size = os.stat(path).st_size / count  # noqa: PTH116 - nobody else waits
    start = time.perf_counter()
    store = open_store(path, loop=loop)
    figures.add("open again", f"{(time.perf_counter() - start) * 1e3:.0f} ms")
    start = time.perf_counter()
    loaded = sum(1 for _ in await store.load_active())
    spent = time.perf_counter() - start
    figures.add(f"load {loaded:,} queued jobs", f"{spent:.2f} s, {size:,.0f} B each")
    await store.close()


def fsync_time(directory: Path) -> float:
    """Return the median seconds of a lone 4 kB append and sync."""
    times = []
    with (directory / "sync").open("wb", buffering=0) as file:
        for _ in range(500):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


async def run(directory: Path, count: int) -> None:
    """Measure everything."""
    figures = Figures()
    figures.add("fdatasync of 4 kB", f"{fsync_time(directory) * 1e3:.2f} ms")
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    store = open_store(directory / "commits.db", loop=loop)
    figures.add("make a new store", f"{(time.perf_counter() - start) * 1e3:.0f} ms")
    deltas = Deltas(1000)
    await lone(store, deltas, figures)
    for size in (16, 256, 4096):
        await grouped(store, deltas, size, figures)
    for events in (1, 16, 256):
        await many_events(store, events, figures)
    usual = sys.getswitchinterval()
    for interval in (usual, 0.0005):
        sys.setswitchinterval(interval)
        stop = threading.Event()
        busy = threading.Thread(target=spin, args=(stop,))
        busy.start()
        note = f", a busy thread beside, switch interval {interval * 1e3:g} ms"
        await grouped(store, deltas, 1024, figures, note)
        stop.set()
        busy.join()
    sys.setswitchinterval(usual)
    await store.close()
    await jobs(directory / "jobs.db", count, figures)


def spin(stop: threading.Event) -> None:
    """Keep the interpreter lock busy."""
    while not stop.is_set():
        sum(range(1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    parser.add_argument("--jobs", type=int, default=100_000)
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        asyncio.run(run(Path(directory), given.jobs))


if __name__ == "__main__":
    main()
