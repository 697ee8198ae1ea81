"""Heads that are hard to reach: out of descriptors (F69), at dead addresses (F62)."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from hpcsched.api.v1 import job_pb2
from hpcsched.client import AsyncClient, Patience, Target
from hpcsched.client.tasks import ref
from tests.support.cluster import state_of
from tests.support.crash import rounds
from tests.support.crash.crew import Crew
from tests.support.crash.network import certificate
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)
SPARE = 20
"""Descriptors that the head has beside those that it has open."""
FLOOD = 4 * SPARE
NOWHERE = "no-such-host.invalid:6001,127.0.0.1:1"


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(nodes=1, cores=2)
    try:
        yield made
    finally:
        made.destroy()


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def test_f69_a_head_without_descriptors_serves_whom_it_knows_and_then_all(
    crew: Crew,
) -> None:
    await rounds.begin(crew)
    pid = crew.pid("head")
    assert pid is not None
    async with rounds.client_of(crew) as client, contextlib.AsyncExitStack() as opened:
        before = await run(client, "before")
        limit = descriptors(pid) + SPARE
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, most))
        host, port = crew.address.rsplit(":", 1)
        for _ in range(FLOOD):
            opened.enter_context(contextlib.closing(socket.socket())).connect(
                (host, int(port))
            )
        await wait_for_async(lambda: descriptors(pid) >= limit, what="no descriptors")
        meanwhile = await run(client, "meanwhile")
        await opened.aclose()

        impatient = Patience(call_s=60.0, connect_s=60.0)
        async with AsyncClient(crew.target, patience=impatient) as late:
            after = await run(late, "after")
        names = {job.id: job.name for job in (await client.jobs.list()).items}

    assert names == {before: "before", meanwhile: "meanwhile", after: "after"}
    assert crew.pid("head") == pid, "it has not ended"


class Elsewhere(Crew):
    """Its agents are told of heads that there are not, before the one that there is."""

    def command(self, name: str) -> list[str]:
        words = super().command(name)
        at = words.index("--head") + 1 if "--head" in words else 0
        if at:
            words[at] = f"{NOWHERE},{words[at]}"
        return words


async def test_f62_f63_dead_addresses_are_passed_over_and_certificates_may_change() -> (
    None
):
    """Names of nothing too; a head takes its new certificate when it starts again."""
    crew = Elsewhere(nodes=1, cores=2)
    authority = trustme.CA()
    try:
        crew.use_tls(*certificate(crew, authority))
        await rounds.begin(crew)
        known = crew.target
        addresses = (*Target.parse(NOWHERE).addresses, *known.addresses)
        async with AsyncClient(
            replace(known, addresses=addresses),
            patience=Patience(call_s=60.0, connect_s=60.0),
        ) as client:
            await run(client, "before")
            go = crew.base / "go"
            runs = await submitted(
                client, "across", f"until [ -e {go} ]; do sleep 0.05; done"
            )
            before = (crew.base / "cert.pem").read_bytes()
            certificate(crew, authority)
            assert (crew.base / "cert.pem").read_bytes() != before
            pid = crew.signal("head", signal.SIGTERM)
            crew.wait_gone("head", pid)
            crew.start("head")
            await run(client, "after")
            go.touch()
            await ended(client, runs)
            task = await client.tasks.get(runs, ref(1))
    finally:
        crew.destroy()

    assert (task.attempt, task.exit_code) == (1, 0)


async def submitted(client: AsyncClient, name: str, line: str) -> int:
    job = job_pb2.JobSpec(name=name)
    job.tasks.add(command_line=line)
    (job_id,) = await client.jobs.submit_all([job])
    return job_id


async def ended(client: AsyncClient, job_id: int) -> None:
    async def finished() -> bool:
        return state_of(await client.jobs.get(job_id)) == "FINISHED"

    await wait_for_async(finished, 60, what=f"the end of job {job_id}")


async def run(client: AsyncClient, name: str) -> int:
    """Let a job run to its end."""
    job_id = await submitted(client, name, "true")
    await ended(client, job_id)
    return job_id
