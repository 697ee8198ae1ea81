"""P9: hundreds who watch one busy job each see all of it, whoever else is stuck."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.runtime.head import Head
from tests.support.head_bench import ANN, NO_ID, a_job, a_sweep
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

WATCHERS: Final = 320
CHANNELS: Final = 4
ELEMENTS: Final = 200
PATH: Final = "/hpcsched.api.v1.WatchService/WatchJob"


async def submitted(head: Head) -> int:
    new = [a_job(a_sweep(ELEMENTS), name="busy", max_cores=8)]
    (job_id,) = await head.submit_jobs(ANN, new, NO_ID, validate_only=False)
    return job_id


async def seen(site: Site, channel: Any, job_id: int) -> list[int]:
    """Watch a job until the stream ends; return the numbers of its events."""
    request = pb.WatchJobRequest(job_id=job_id).SerializeToString()
    call = channel.unary_stream(PATH)(request, metadata=site.metadata("ann-secret"))
    found: list[int] = []
    while (data := await call.read()) is not grpc.aio.EOF:
        found += [one.revision for one in pb.WatchJobResponse.FromString(data).events]
    return found


async def all_see(site: Site) -> tuple[list[list[int]], int]:
    address = str(site.clients)
    channels = [
        grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(CHANNELS)
    ]
    job_id = await submitted(site.head)
    request = pb.WatchJobRequest(job_id=job_id).SerializeToString()
    stuck: Any = channels[0].unary_stream(PATH)
    one = stuck(request, metadata=site.metadata("ann-secret"))  # reads nothing
    try:
        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(seen(site, channels[n % CHANNELS], job_id))
                for n in range(WATCHERS)
            ]
        job = await site.head.get_job(ANN, job_id, full=False)
        return [call.result() for call in calls], job.revision
    finally:
        one.cancel()
        for channel in channels:
            await channel.close()


@pytest.mark.timeout(120)
def test_p9_hundreds_of_watchers_of_one_job_each_see_every_event_in_order(
    tmp_path: Path,
) -> None:
    with Site(tmp_path) as site:
        for agent in site.agents:
            agent.plan = lambda _: (0.05, 0)

        found, last = site.run(all_see(site))

        assert last > 20
        assert len(found) == WATCHERS
        assert all(one == list(range(1, last + 1)) for one in found)
        assert not site.faults
