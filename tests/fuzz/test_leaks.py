"""Nothing leaks: a short soak that counts objects, descriptors, tasks and rows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from hpcsched.api.v1 import job_service_pb2, watch_service_pb2
from hpcsched.runtime.head import Head
from tests.support.measuring import descriptors, threads
from tests.support.site import PEOPLE, Site

if TYPE_CHECKING:
    from pathlib import Path

WAVES: Final = 3
CLIENTS: Final = 4
JOBS: Final = 6
#: Objects of the head that may be more after a wave than after the one before: caches
#: that fill, a timer that has not come yet.
SLACK: Final = 40
#: Packages whose objects are counted.
KNOWN: Final = ("hpcsched", "builtins", "collections")


async def visit(site: Site, number: int) -> None:
    """One client: it watches, submits, cancels, waits, deletes."""
    secret = PEOPLE[number % len(PEOPLE)]
    watch: Any = site.channel.unary_stream("/hpcsched.api.v1.WatchService/Watch")
    request = watch_service_pb2.WatchRequest(snapshot=True)
    stream = watch(request.SerializeToString(), metadata=site.metadata(secret))
    await stream.read()
    submit = job_service_pb2.SubmitJobsRequest(request_id=f"r{site.clock.mono()}")
    for at in range(JOBS):
        spec = submit.specs.add(name=f"job {at}")
        spec.tasks.add(command_line="true")
        if at % 2:
            task = spec.tasks.add(command_line="true", type=2)
            task.end_value = 5
    answer = await site.ask("SubmitJobs", submit, secret)
    ids = job_service_pb2.SubmitJobsResponse.FromString(answer).job_ids
    cancel = job_service_pb2.CancelJobsRequest(job_ids=ids[:1], force=True)
    with contextlib.suppress(grpc.aio.AioRpcError):  # it has ended by then
        await site.ask("CancelJobs", cancel, secret)
    for job_id in ids:
        wait = job_service_pb2.WaitJobRequest(job_id=job_id)
        await site.ask("WaitJob", wait, secret)
    forget = job_service_pb2.ForgetJobsRequest(job_ids=ids)
    await site.ask("ForgetJobs", forget, secret)
    stream.cancel()


async def wave(site: Site) -> None:
    await asyncio.gather(*(visit(site, number) for number in range(CLIENTS)))


def objects_of(head: Head) -> Counter[str]:
    """Return what can be reached from the head's own parts, by type."""
    world: Any = head._world
    own = (
        *(world.jobs, world.nodes, world.scheduler, world.families, world.tally),
        *(world.mailer, world.apart, world.submissions, head._ledgers),
    )
    passed = {id(world), id(world.store), id(world.loop), id(world.clock), id(head)}
    passed |= {id(world.feed), id(world.scene)}
    seen: set[int] = set()
    counts: Counter[str] = Counter()
    left: list[Any] = list(own)
    while left:
        one = left.pop()
        kind = type(one)
        foreign = not kind.__module__.startswith(
            ("hpcsched", "builtins", "collections")
        )
        if id(one) in seen or id(one) in passed or foreign or isinstance(one, type):
            continue
        seen.add(id(one))
        counts[kind.__name__] += 1
        if not callable(one):
            left.extend(gc.get_referents(one))
    return counts


async def look(site: Site) -> tuple[Counter[str], int]:
    """Return the head's objects and the loop's tasks once nothing is under way."""
    for _ in range(200):
        if site.servers.gate.admission.idle:
            break
        await site.clock.sleep(0.05)
    gc.collect()
    return objects_of(site.head), len(asyncio.all_tasks())


@pytest.mark.timeout(120)
def test_after_clients_have_come_and_gone_nothing_is_left(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        for agent in site.agents:
            agent.plan = lambda _: (0.005, 0)
        for _ in range(2):
            site.run(wave(site))
        before, tasks = site.run(look(site))
        handles, lines = descriptors(), threads()

        for _ in range(WAVES):
            site.run(wave(site))

        after, tasks_after = site.run(look(site))
        more = {k: n - before[k] for k, n in after.items() if n - before[k] > SLACK}
        rows = site.rows()
        assert not site.faults
        assert not more
        assert tasks_after <= tasks + 2
        assert descriptors() <= handles + 4
        assert threads() <= lines + 2
        assert sum(rows[name] for name in ("job", "job_spec", "chunk", "output")) == 0
        assert site.run(_live(site)) == 0


async def _live(site: Site) -> int:
    return len(site.head._world.jobs)
