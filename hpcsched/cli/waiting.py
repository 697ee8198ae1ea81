"""Waiting for jobs: their ends, a live bar meanwhile, and the exit status."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import job_pb2
from hpcsched.cli.lines import one_line
from hpcsched.cli.problems import (
    DONE,
    INTERRUPTED,
    JOB_CANCELED,
    JOB_FAILED,
    TIMED_OUT,
    ProblemError,
    note,
)
from hpcsched.cli.shapes import job_state, listing, short
from hpcsched.client.jobs import ENDED
from hpcsched.common.errors import HpcError
from hpcsched.common.units import format_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from hpcsched.cli.app import App
    from hpcsched.cli.progress import Progress
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api

#: Between two looks at the counts of a job that is waited for, seconds.
LOOK_S: Final = 0.5

#: So many jobs are read one by one.
FEW: Final = 16

#: Jobs whose numbers differ by more are read by lists of their own.
NEAR: Final = 16

#: Of more jobs a terminal is told how many are in which state.
MOST_LINES: Final = 200

#: Jobs that are looked at for the bar at a time.
MOST_LOOKS: Final = 20

JOB: Final = job_pb2.Job


def status_of_jobs(jobs: Iterable[job_pb2.Job]) -> int:
    """Return the exit status for jobs that were waited for: Failed wins."""
    states = {job.state for job in jobs}
    if JOB.STATE_FAILED in states:
        return JOB_FAILED
    return JOB_CANCELED if JOB.STATE_CANCELED in states else DONE


def ending(job: job_pb2.Job) -> str:
    """Return how a job ended, in one line."""
    text = f"job {job.id} {short(job_state(job.state))}"
    return f"{text}: {one_line(job.error_message)}" if job.error_message else text


async def wait_for_jobs(
    client: AsyncClient,
    job_ids: Sequence[int],
    *,
    timeout_s: float | None = None,
    progress: Progress | None = None,
    ended: Callable[[job_pb2.Job], None] = lambda _: None,
) -> Sequence[job_pb2.Job]:
    """Return jobs as they ended, in the order given.

    Args:
        client: To the cluster.
        job_ids: Which jobs.
        timeout_s: How long to wait for all of them; None for as long as it takes.
        progress: Shows counts meanwhile.
        ended: Called with each job when its end was seen.

    Raises:
        ProblemError: WAIT_TIMEOUT, the time ran out.
    """
    found: dict[int, job_pb2.Job] = {}
    try:
        async with asyncio.timeout(timeout_s), _looks(client, job_ids, found, progress):
            for job_id in job_ids:
                if job_id not in found:
                    found[job_id] = await client.jobs.wait(job_id)
                    ended(found[job_id])
    except TimeoutError:
        left = [job_id for job_id in job_ids if job_id not in found]
        raise ProblemError(
            "WAIT_TIMEOUT",
            f"{len(left)} of {len(job_ids)} jobs have not ended after "
            f"{format_duration(timeout_s or 0)}",
            status=TIMED_OUT,
            code="DEADLINE_EXCEEDED",
            job_ids=",".join(str(job_id) for job_id in left),
        ) from None
    return [found[job_id] for job_id in job_ids]


@asynccontextmanager
async def _looks(
    client: AsyncClient,
    job_ids: Sequence[int],
    found: dict[int, job_pb2.Job],
    progress: Progress | None,
) -> AsyncIterator[None]:
    """Keep the bar up to date for as long as the block runs."""
    if progress is None:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        looker = tasks.create_task(_look(client, job_ids, found, progress))
        try:
            yield
        finally:
            looker.cancel()
    for job in found.values():
        progress.show(job)


async def _look(
    client: AsyncClient,
    job_ids: Sequence[int],
    found: dict[int, job_pb2.Job],
    progress: Progress,
) -> None:
    while True:
        active = [job_id for job_id in job_ids if job_id not in found]
        for job_id in active[:MOST_LOOKS]:
            # The wait itself reports what is wrong; the bar only stands still.
            with suppress(HpcError):
                progress.show(await client.jobs.get(job_id))
        await client.connection.clock.sleep(LOOK_S)


async def jobs_now(client: Api, job_ids: Iterable[int]) -> Sequence[job_pb2.Job]:
    """Return jobs as they are; many of them by lists, not one by one."""
    wanted = list(job_ids)
    found: dict[int, job_pb2.Job] = {}
    for first, last, count in _near(sorted(set(wanted))):
        if count > FEW:
            page = await client.jobs.list(min_id=first, max_id=last, ascending=True)
            found.update((job.id, job) for job in page.items)
    return [found.get(one) or await client.jobs.get(one) for one in wanted]


def _near(numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield first, last and count of numbers that are not far from each other."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] - numbers[at - 1] > NEAR:
            yield numbers[start], numbers[at - 1], at - start
            start = at


def print_jobs(app: App, jobs: Sequence[job_pb2.Job]) -> None:
    """Print what a verb did to jobs: ids, states, or JSON."""
    if app.as_json:
        app.print_json(listing("jobs", jobs))
    elif app.quiet:
        for job in jobs:
            app.print(job.id)
    elif len(jobs) > MOST_LINES and sys.stdout.isatty():
        states = Counter(short(job_state(job.state)) for job in jobs)
        counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        app.print(f"{len(jobs)} jobs: {counts}")
    else:
        for job in jobs:
            app.print(ending(job))


def interrupted(app: App, job_ids: Sequence[int], *, cancel: bool) -> int:
    """Answer Ctrl-C: let the jobs go on, or cancel them; return the exit status."""
    if cancel and job_ids:

        async def stop(client: Api) -> None:
            for job_id in job_ids:
                with suppress(HpcError):  # it may have ended already
                    await client.jobs.cancel([job_id], message="Ctrl-C")

        app.call(stop)
        note(f"canceled {_named(job_ids)}")
    elif job_ids:
        verb = "goes" if len(job_ids) == 1 else "go"
        note(f"detached; {_named(job_ids)} {verb} on")
    return INTERRUPTED


def _named(job_ids: Sequence[int]) -> str:
    if len(job_ids) == 1:
        return f"job {job_ids[0]}"
    return f"{len(job_ids)} jobs"


def is_ended(job: job_pb2.Job) -> bool:
    """Say whether a job is in a terminal state."""
    return job.state in ENDED
