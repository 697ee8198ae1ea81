"""What P3 and P4 cannot go below: the same hops through programs with nothing in them.

Ours and the empty ones take turns, some jobs each, so that both meet the same machine.
What is between the two is what our programs do; what is below the empty ones is gRPC,
SQLite, the disk, the kernel and the new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from bench.cluster import ROOT
from bench.empty import CALL, CANCEL, END, JOB, SLEEPER, Design, told
from bench.figures import Figure, percentile
from bench.processes import Meter
from bench.real import Ends, cancels, one_by_one
from hpcsched.rpc.addresses import parse_address
from hpcsched.rpc.channel import client_channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bench.site import Site

    Run = Callable[[int], Awaitable[list[float]]]

TURN = 10
"""Jobs one after the other before it is the other's turn."""
SETTLE_S = 0.02
"""Until a process that was started runs, with plenty to spare."""
DESIGNS = {
    "nothing but the hops": Design(),
    "of them, on asyncio": Design(loop="asyncio"),
    "of them, committed in the loop's thread": Design(commits="inline"),
    "of them, one row a commit": Design(rows=1),
    "of them, without commits": Design(commits="none"),
    "of them, without a process": Design(processes=False),
    "of them, with neither": Design(processes=False, commits="none"),
}


class Empty:
    """A cluster of empty programs, and its client.

    Attributes:
        pids: Its programs by name.
    """

    def __init__(self, directory: Path, design: Design) -> None:
        self._directory = directory
        self._design = design
        self._stack = contextlib.ExitStack()
        self._ended = asyncio.Event()
        self.pids: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._directory.mkdir()
        path = str(self._directory / "socket")
        database = str(self._directory / "db")
        clients, agents = self._program("head", database=database)
        self._program("supervisor", socket=path)
        self._program("agent", socket=path, port=agents)
        address = parse_address(f"127.0.0.1:{clients}", 0)
        self._channel = client_channel(address, None)
        self._call: Any = self._channel.unary_unary("/empty/Call")
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._watch = self._tasks.create_task(self._follow())
        await self._ended.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._channel.close()
        self._stack.close()

    def _program(self, name: str, **more: Any) -> Any:
        role = "spawner" if name == "supervisor" else name
        command = [sys.executable, "-m", "bench.empty", role]
        process = subprocess.Popen(
            [*command, told(self._design, **more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self.pids[name] = process.pid
        assert process.stdout is not None
        return json.loads(process.stdout.readline())["ports"]

    async def _follow(self) -> None:
        watch: Any = self._channel.unary_stream("/empty/Watch")
        async for message in watch(b""):
            if message[:1] in (b"r", END):
                self._ended.set()

    async def jobs(self, count: int) -> list[float]:
        """Return the seconds of jobs, one after the other."""
        return [await self._until_end(JOB) for _ in range(count)]

    async def cancels(self, count: int) -> list[float]:
        """Return the seconds of cancels, one after the other."""
        times = []
        for _ in range(count):
            await self._call(SLEEPER * CALL)
            await asyncio.sleep(SETTLE_S)
            times.append(await self._until_end(CANCEL))
        return times

    async def _until_end(self, kind: bytes) -> float:
        self._ended.clear()
        begin = time.perf_counter()
        await self._call(kind * CALL)
        await self._ended.wait()
        return time.perf_counter() - begin


async def all_of_it(site: Site) -> list[Figure]:
    """Return ours beside the empty ones, and what each part of those takes."""
    cluster = site.cluster()
    async with cluster.client() as client, Ends(client) as seen:

        async def jobs(count: int) -> list[float]:
            return await one_by_one(client, seen, count)

        async def stops(count: int) -> list[float]:
            return await cancels(client, seen, count)

        found = []
        async with Empty(site.directory / "floor", Design()) as empty:
            for what, ours, theirs, count in (
                ("one job, submit to Finished seen, p50", jobs, empty.jobs, 200),
                ("cancel to end seen, p50", stops, empty.cancels, 100),
            ):
                pids = {"ours": cluster.pids, "empty": empty.pids}
                found.append(await _beside(what, ours, theirs, site.size(count), pids))
    for number, (what, design) in enumerate(DESIGNS.items()):
        async with Empty(site.directory / f"floor{number}", design) as empty:
            times, cpu = await _some(empty.jobs, site.size(200), empty.pids)
        p50 = percentile(times, 0.5) * 1e3
        found.append(_row(f"{what}, p50", p50, cpu_us_per_job=cpu))
    return found


def _row(what: str, ours: float, **extra: Any) -> Figure:
    return Figure(key="FLOOR", what=what, ours=ours, unit="ms", extra=extra)


async def _beside(
    what: str, ours: Run, theirs: Run, count: int, pids: dict[str, dict[str, int]]
) -> Figure:
    """Return our figure beside the empty programs', in turns."""
    times: dict[str, list[float]] = {"ours": [], "empty": []}
    cpu: dict[str, dict[str, float]] = {"ours": {}, "empty": {}}
    turns = max(1, count // TURN)
    for _ in range(turns):
        for name, run in (("ours", ours), ("empty", theirs)):
            found, used = await _some(run, TURN, pids[name])
            times[name] += found
            for program, us in used.items():
                cpu[name][program] = cpu[name].get(program, 0.0) + us / turns
    p50, floor = (percentile(times[name], 0.5) * 1e3 for name in ("ours", "empty"))
    return Figure(
        key="FLOOR",
        what=what,
        ours=p50,
        unit="ms",
        reference={"empty programs": floor},
        ratio=p50 / floor,
        extra={"cpu_us_per_job": cpu["ours"], "cpu_us_of_empty": cpu["empty"]},
    )


async def _some(
    run: Run, count: int, pids: dict[str, int]
) -> tuple[list[float], dict[str, float]]:
    """Return the seconds of some jobs, and what each took of each program."""
    await run(2)
    meter = Meter(pids)
    times = await run(count)
    return times, meter.us_per(count)
