"""The head is killed at its N-th system call of a kind.

`python -m tests.support.crash.syscalls`: for one submission, one start, one exit and
one cancel, N grows until the head does not get that far: then every such call of that
step has been the last one once. Each time the head is started again; what was
acknowledged must be there, and be done exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsched.api.v1 import task_pb2
from hpcsched.client.tasks import ref
from tests.support.cluster import state_of
from tests.support.crash import ledger, rounds, work
from tests.support.crash.crew import Crew
from tests.support.crash.watchers import Watcher, position
from tests.support.history.checker import check
from tests.support.history.model import Call, History
from tests.support.polling import wait_for, wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hpcsched.client import AsyncClient

STEPS = ("submission", "start", "exit", "cancel")
SYSCALLS = ("pwrite64", "fdatasync", "sendmsg", "write")

#: No step makes so many calls of one kind.
MOST = 60

#: A task that waits for its file, and ends with 1, which is a success.
WAITS = "until [ -e {place}/go-$CCP_JOBID ]; do sleep 0.02; done; exec {task} 1"


@dataclass(frozen=True, slots=True)
class Point:
    """Where the head is killed."""

    step: str
    syscall: str
    number: int

    def __str__(self) -> str:
        return f"{self.step} at {self.syscall} {self.number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``reached`` is false where the step had no such call."""

    reached: bool
    violations: list[str]


def can_trace() -> str:
    """Return why this machine cannot inject faults; empty if it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    with subprocess.Popen(["/bin/sleep", "5"]) as child:
        words = ["strace", "-qq", "-o", "/dev/null", "-p", str(child.pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            try:
                wait_for(lambda: tracers(child.pid) - {0} or tracer.poll() is not None)
                if tracer.poll() is not None:
                    return "strace may not attach to processes here"
                tracer.terminate()
                return ""
            finally:
                child.kill()


def tracers(pid: int) -> set[int]:
    found = set()
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("TracerPid:"):
                found.add(int(line.split()[1]))
    return found


@asynccontextmanager
async def killed_at(crew: Crew, point: Point) -> AsyncIterator[None]:
    """Kill the head at a call that it makes within this block."""
    pid = crew.pid("head")
    assert pid is not None
    rule = f"inject={point.syscall}:signal=KILL:when={point.number}"
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)]
    tracer = subprocess.Popen(  # noqa: ASYNC220 - it is there in a moment
        [*words, "-e", f"trace={point.syscall}", "-e", rule],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        await wait_for_async(
            lambda: tracer.poll() is not None or 0 not in tracers(pid),
            what="a head that is traced",
        )
        yield
    finally:
        tracer.send_signal(signal.SIGTERM)
        _, problem = tracer.communicate()
        assert "strace:" not in problem, problem


async def try_point(crew: Crew, client: AsyncClient, point: Point) -> Outcome:
    """Carry out a step with a head that is killed in it, and check what is left."""
    await rounds.all_reachable(crew, client)
    newest = (await client.jobs.list(limit=1)).items
    first = newest[0].id + 1 if newest else 1
    after = await position(client)
    name = f"{point.step}-{point.syscall}-{point.number}"
    place = crew.base / name
    work.install(place)
    history = History()
    head = crew.pid("head")
    async with _revived(crew):
        await _STEPS[point.step](crew, client, point, place, history)
        ended = await ledger.until_ended(client, first)
    reached = crew.pid("head") != head
    history.jobs = await ledger.jobs(client, first)
    history.nodes = await ledger.nodes(client)
    watcher = Watcher(crew.target, after)
    await watcher.read_backlog()
    history.watchers = {"historian": watcher.told}
    history.runs = work.read_journal(place / "journal")
    bad = [str(violation) for violation in check(history)]
    if not ended:
        bad.append("it has not ended")
    bad += _expected(point, history)
    return Outcome(reached, bad)


def _expected(point: Point, history: History) -> list[str]:
    """One job, one task, one attempt, and nothing that is run again."""
    (job,) = history.jobs.values()
    (task,) = job.tasks
    wanted = "CANCELED" if point.step == "cancel" else "FINISHED"
    bad = []
    if job.state != wanted:
        bad.append(f"the job is {job.state}")
    if task.attempt != 1 or (point.step != "cancel" and len(history.runs) != 1):
        bad.append(f"{len(history.runs)} runs, the last is attempt {task.attempt}")
    return bad


@asynccontextmanager
async def _revived(crew: Crew) -> AsyncIterator[None]:
    """Start the head again whenever it has died."""

    async def revive() -> None:
        while True:
            crew.start("head")
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        reviver = group.create_task(revive())
        try:
            yield
        finally:
            reviver.cancel()


def _spec(place: Path, name: str) -> task_pb2.TaskSpec:
    words = f"/bin/bash {place}/task {place} quick"
    line = WAITS.format(place=place, task=words)
    return task_pb2.TaskSpec(
        command_line=line, work_directory=str(place), grace_period=work.GRACE
    )


async def _submit(
    client: AsyncClient, place: Path, point: Point, history: History
) -> int:
    name = str(point)
    job = work.job(name)
    job.tasks.append(_spec(place, name))
    request_id = client.connection.ids.uuid()
    (job_id,) = await client.jobs.submit_all([job], request_id=request_id)
    again = await client.jobs.submit_all([job], request_id=request_id)
    for answer in (job_id, again[0]):
        history.calls.append(
            Call(
                request_id=request_id,
                verb="submit",
                job_id=answer,
                name=name,
                facts={"sizes": [1]},
            )
        )
    return job_id


async def _submission(
    crew: Crew, client: AsyncClient, point: Point, place: Path, history: History
) -> None:
    async with killed_at(crew, point):
        job_id = await _submit(client, place, point, history)
    (place / f"go-{job_id}").touch()


async def _start(
    crew: Crew, client: AsyncClient, point: Point, place: Path, history: History
) -> None:
    await client.nodes.offline(crew.nodes)
    job_id = await _submit(client, place, point, history)
    async with killed_at(crew, point):
        await client.nodes.online(crew.nodes)
        await _until(client, job_id, "RUNNING")
    (place / f"go-{job_id}").touch()


async def _exit(
    crew: Crew, client: AsyncClient, point: Point, place: Path, history: History
) -> None:
    job_id = await _submit(client, place, point, history)
    await _until(client, job_id, "RUNNING")
    async with killed_at(crew, point):
        (place / f"go-{job_id}").touch()
        await _until(client, job_id, "FINISHED")


async def _cancel(
    crew: Crew, client: AsyncClient, point: Point, place: Path, history: History
) -> None:
    job_id = await _submit(client, place, point, history)
    await _until(client, job_id, "RUNNING")
    async with killed_at(crew, point):
        await client.jobs.cancel([job_id], message="stop")
        history.calls.append(
            Call(
                request_id="x", verb="cancel", job_id=job_id, facts={"message": "stop"}
            )
        )
        await _until(client, job_id, "CANCELED")


_STEPS: dict[
    str, Callable[[Crew, AsyncClient, Point, Path, History], Awaitable[None]]
] = {"submission": _submission, "start": _start, "exit": _exit, "cancel": _cancel}


async def _until(client: AsyncClient, job_id: int, state: str) -> None:
    async def there() -> bool:
        task = await client.tasks.get(job_id, ref(1))
        job = await client.jobs.get(job_id)
        begun = state != "RUNNING" or state_of(task) == "RUNNING"
        return state_of(job) == state and begun

    await wait_for_async(there, 40.0, what=f"job {job_id} {state}")


async def sweep(options: argparse.Namespace) -> int:
    """Try all points within the time; return how many failed."""
    problem = can_trace()
    if problem:
        print(problem)
        return 1
    crew = Crew(nodes=1)
    tried = failed = 0
    deadline = time.monotonic() + options.seconds
    try:
        await rounds.begin(crew)
        async with rounds.client_of(crew) as client:
            for step in options.steps:
                for syscall in SYSCALLS:
                    for number in range(1, MOST):
                        if time.monotonic() > deadline:
                            break
                        point = Point(step, syscall, number)
                        outcome = await try_point(crew, client, point)
                        if not outcome.reached:
                            print(f"{step}: {syscall} {number - 1} times")
                            break
                        tried += 1
                        failed += bool(outcome.violations)
                        for text in outcome.violations:
                            print(f"{point}: {text}", flush=True)
    finally:
        crew.destroy(keep=bool(failed))
    print(f"{tried} points, {failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.support.crash.syscalls", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    return 1 if asyncio.run(sweep(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
