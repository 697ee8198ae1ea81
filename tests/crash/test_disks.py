"""The disk under a head that serves: full, slow, read-only (F18, F22, F26)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2
from hpcsched.common.errors import HpcError
from hpcsched.store.space import BALLAST
from tests.support.cluster import state_of
from tests.support.crash import rounds, syscalls
from tests.support.crash.crew import Crew, program
from tests.support.polling import PATIENCE_S, wait_for, wait_for_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.client import AsyncClient

pytestmark = pytest.mark.timeout(240)
SIZE_MIB = 64
WAITS = "until [ -e {go} ]; do sleep 0.05; done"


class SmallDisk:
    """A disk of a few megabytes that only one head sees, in a mount namespace."""

    def __init__(self, point: Path) -> None:
        point.mkdir(mode=0o700)
        script = f"mount -t tmpfs -o size={SIZE_MIB}m,mode=0700 none {point} && echo ok"
        self._holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", f"{script} && exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        with self._holder.stdout as told:
            assert told.readline() == "ok\n"
        pid = str(self._holder.pid)
        self.inside = ("nsenter", "-t", pid, "-U", "-m", "--preserve-credentials", "--")
        self.seen = Path(f"/proc/{pid}/root{point}")

    def fill(self, left: int) -> None:
        """Leave so many bytes of it."""
        disk = os.statvfs(self.seen)
        size = disk.f_bavail * disk.f_frsize - left
        with (self.seen / "filler").open("ab", buffering=0) as file:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), max(1, size))
            except OSError:
                while left == 0:
                    file.write(bytes(4096))

    def make_room(self) -> None:
        (self.seen / "filler").unlink(missing_ok=True)

    def end(self) -> None:
        self._holder.kill()
        self._holder.wait()


def lacking() -> str:
    """Return why this machine cannot do it; empty if it can."""
    missing = [tool for tool in ("unshare", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"missing here: {', '.join(missing)}"
    done = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    return "no mount namespaces here" if done.returncode else syscalls.can_trace()


def made() -> Iterator[Crew]:
    """Yield one node of two cores; nothing of it runs."""
    problem = lacking()
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)
    crew = Crew(nodes=1, cores=2)
    try:
        yield crew
    finally:
        crew.destroy()


@pytest.fixture
def crew() -> Iterator[Crew]:
    yield from made()


@pytest.fixture(scope="module")
def shared() -> Iterator[Crew]:
    for crew in made():
        asyncio.run(rounds.begin(crew))
        yield crew


async def submitted(client: AsyncClient, line: str) -> int:
    job = job_pb2.JobSpec(name="x")
    job.tasks.add(command_line=line)
    (job_id,) = await client.jobs.submit_all([job])
    return job_id


async def until(client: AsyncClient, job_id: int, state: str) -> None:
    async def reached() -> bool:
        return state_of(await client.jobs.get(job_id)) == state

    await wait_for_async(reached, PATIENCE_S, what=f"job {job_id} {state}")


async def refused(client: AsyncClient) -> bool:
    try:
        await submitted(client, "true")
    except HpcError as error:
        return error.reason == "DISK_LOW"
    return False


async def taken(client: AsyncClient) -> bool:
    return not await refused(client)


async def fill_it(crew: Crew, disk: SmallDisk) -> None:
    head = crew.pid("head")
    async with rounds.client_of(crew) as client:
        go = crew.base / "go"
        ends = await submitted(client, WAITS.format(go=go))
        cancelled = await submitted(client, "sleep 600")
        for job_id in (ends, cancelled):
            await until(client, job_id, "RUNNING")
        disk.fill(left=2 << 20)
        await wait_for_async(
            lambda: refused(client), PATIENCE_S, what="new work that is refused"
        )
        assert (disk.seen / BALLAST).exists()

        disk.fill(left=0)
        go.touch()
        await client.jobs.cancel([cancelled], force=True)
        await until(client, ends, "FINISHED")
        await until(client, cancelled, "CANCELED")
        assert not (disk.seen / BALLAST).exists()
        assert await refused(client)

        disk.make_room()
        await wait_for_async(
            lambda: taken(client), PATIENCE_S, what="new work that is taken"
        )
        assert (disk.seen / BALLAST).exists()
        assert crew.pid("head") == head
        crew.signal("head", 9)
        crew.wait_gone("head", head)
        crew.start("head")
        await until(client, ends, "FINISHED")
        await until(client, cancelled, "CANCELED")
        last = await submitted(client, "true")
        await until(client, last, "FINISHED")


def test_f18_a_full_disk_takes_ends_and_cancels_and_goes_on_when_there_is_room(
    crew: Crew,
) -> None:
    disk = SmallDisk(crew.state)
    try:
        crew.wraps["head"] = disk.inside
        asyncio.run(rounds.begin(crew))
        asyncio.run(fill_it(crew, disk))
        place = ("--state-dir", str(crew.state))
        check = [*disk.inside, *program("hpcschedd"), "--check", *place]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        crew.destroy(keep=True)
        disk.end()


class Traced:
    """The head's calls go wrong as long as this is entered."""

    def __init__(self, crew: Crew, calls: str, fault: str) -> None:
        self._pid = crew.pid("head")
        self._words = (
            *("strace", "-f", "-qq", "-o", "/dev/null", "-p", str(self._pid)),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"),
        )

    def __enter__(self) -> None:
        self._tracer = subprocess.Popen(
            self._words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert self._pid is not None
        pid = self._pid
        wait_for(lambda: 0 not in syscalls.tracers(pid), what="a head that is traced")

    def __exit__(self, *_: object) -> None:
        self._tracer.terminate()
        self._tracer.wait()


async def slow(crew: Crew) -> None:
    reads = 0
    beats: set[str] = set()
    waiting: asyncio.Task[int]
    async with rounds.client_of(crew) as client:

        async def looked() -> bool:
            """Look at the node; what waited for the disk would find it done."""
            nonlocal reads, waiting
            node = await client.nodes.get("n1")
            assert node.reachable
            if waiting.done():
                await waiting
                waiting = asyncio.create_task(submitted(client, "true"))
            else:
                reads += 1
                beats.add(str(node.last_heartbeat_time))
            return reads >= 5 and len(beats) > 2

        with Traced(crew, "fdatasync", "delay_exit=1500000"):
            waiting = asyncio.create_task(submitted(client, "true"))
            await wait_for_async(looked, PATIENCE_S, what="reads and heartbeats")
        await until(client, await waiting, "FINISHED")


def test_f22_a_slow_disk_holds_up_commits_and_neither_reads_nor_heartbeats(
    shared: Crew,
) -> None:
    asyncio.run(slow(shared))


async def read_only(crew: Crew) -> None:
    head = crew.pid("head")
    async with rounds.client_of(crew) as client:
        kept = await submitted(client, "true")
        await until(client, kept, "FINISHED")
        with Traced(crew, "pwrite64,ftruncate,unlink,rename", "error=EROFS"):
            waiting = asyncio.create_task(submitted(client, "true"))
            await asyncio.to_thread(crew.wait_gone, "head", head)
        assert crew.status("head") == 74
        crew.start("head")  # mounted again, so that it may be written
        assert state_of(await client.jobs.get(await waiting)) != "UNSPECIFIED"
        assert state_of(await client.jobs.get(kept)) == "FINISHED"


def test_f26_a_disk_that_became_read_only_ends_the_head_and_loses_nothing(
    shared: Crew,
) -> None:
    asyncio.run(read_only(shared))


def test_f26_a_head_on_a_read_only_disk_says_so_and_starts_when_it_is_not(
    crew: Crew,
) -> None:
    disk = SmallDisk(crew.state)
    words = [*disk.inside, *crew.command("head")]
    mount = [*disk.inside, "mount", "-o"]
    try:
        subprocess.run([*mount, "remount,ro", str(crew.state)], check=True)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        subprocess.run([*mount, "remount,rw", str(crew.state)], check=True)
        crew.wraps["head"] = disk.inside
        crew.start("head")
        crew.wait_ready()
    finally:
        crew.destroy(keep=True)
        disk.end()

    assert done.returncode == 78
    assert f"{crew.state}: Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
