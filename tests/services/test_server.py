"""Two servers: their ports, their health, plain text and TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import job_service_pb2_grpc, watch_service_pb2
from hpcsched.rpc.addresses import Address
from hpcsched.rpc.channel import client_channel
from hpcsched.rpc.credentials import CredentialsError, TlsFiles
from hpcsched.rpc.metadata import call_metadata
from hpcsched.runtime.front import WatchItem
from hpcsched.services.server import (
    AGENT_SERVICES,
    CLIENT_SERVICES,
    PortTakenError,
    Servers,
)
from tests.support.fake_front import USER, FakeFront
from tests.support.polling import PATIENCE_S
from tests.support.served import Served, drain, rpc_error
from tests.support.views import job_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

ANY = Address("127.0.0.1", 0)
HEALTH = health_pb2.HealthCheckResponse


@pytest.fixture
async def second(
    front: FakeFront, clock: ManualClock, ids: SeededIds
) -> AsyncIterator[Servers]:
    servers = Servers(front, clock, ids)
    yield servers
    await servers.stop(0)


async def test_two_servers_cannot_share_a_port(served: Served, second: Servers) -> None:
    with pytest.raises(PortTakenError, match=str(served.clients.port)):
        second.bind(served.clients, ANY, None)
    with pytest.raises(PortTakenError, match=str(served.agents.port)):
        second.bind(ANY, served.agents, None)


async def test_a_port_that_another_program_has_is_not_taken_from_it(
    second: Servers,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortTakenError, match=str(port)):
            second.bind(Address("127.0.0.1", port), ANY, None)


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "head01"])
async def test_plain_text_is_served_on_loopback_only(
    host: str, second: Servers
) -> None:
    with pytest.raises(CredentialsError, match="loopback"):
        second.bind(Address(host, 0), ANY, None)
    with pytest.raises(CredentialsError, match="loopback"):
        second.bind(ANY, Address(host, 0), None)


async def test_health_follows_recovery_and_shutdown(
    front: FakeFront, second: Servers
) -> None:
    address, _ = second.bind(ANY, ANY, None)
    await second.start()
    async with client_channel(address, None) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        services = ("", *CLIENT_SERVICES, *AGENT_SERVICES)

        async def seen() -> set[int]:
            requests = [health_pb2.HealthCheckRequest(service=one) for one in services]
            return {
                (await stub.Check(one, timeout=PATIENCE_S)).status for one in requests
            }

        assert await seen() == {HEALTH.NOT_SERVING}
        second.serving()
        assert await seen() == {HEALTH.SERVING}
        second.not_serving()
        assert await seen() == {HEALTH.NOT_SERVING}


async def test_the_stop_of_a_server_ends_open_streams(
    served: Served, watches: Any, front: FakeFront
) -> None:
    front.answers["watch"] = [WatchItem(seq=1), ...]
    messages = aiter(watches.Watch(watch_service_pb2.WatchRequest()))
    await anext(messages)

    await served.servers.stop(0.05)

    error = await rpc_error(drain(messages))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert front.ended == ["watch"]


async def test_clients_and_agents_have_servers_of_their_own(served: Served) -> None:
    async with client_channel(served.agents, None) as channel:
        call: Any = channel.unary_unary("/hpcsched.api.v1.JobService/GetJob")
        error = await rpc_error(call(b"", metadata=call_metadata(token=USER)))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    streams: Any = served.channel.stream_stream(
        "/hpcsched.agent.v1.AgentService/Connect"
    )
    error = await rpc_error(drain(streams(iter([b""]))))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


class Pki:
    """A head's files, and those of clients that know its authority or another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.other = trustme.CA()
        self.ca_file = self._write("ca.pem", self.ca.cert_pem)
        self.other_file = self._write("other.pem", self.other.cert_pem)
        self.cert, self.key = self.issue(self.ca, "localhost")

    def issue(self, ca: trustme.CA, name: str) -> tuple[str, str]:
        issued = ca.issue_cert(name)
        (chain,) = issued.cert_chain_pems
        stem = f"{name}-{id(ca)}"
        cert = self._write(f"{stem}.pem", chain)
        return cert, self._write(f"{stem}.key", issued.private_key_pem)

    def _write(self, name: str, blob: trustme.Blob) -> str:
        path = self.folder / name
        blob.write_to_path(str(path))
        return str(path)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


async def ask(address: Address, tls: TlsFiles) -> Any:
    here = Address("localhost", address.port)
    async with client_channel(here, tls) as channel:
        stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        request = pb.GetJobRequest(job_id=1)
        return await stub.GetJob(
            request, metadata=call_metadata(token=USER), timeout=PATIENCE_S
        )


async def test_tls_serves_who_knows_the_authority_and_nobody_else(
    pki: Pki, front: FakeFront, second: Servers
) -> None:
    front.answers["get_job"] = job_view()
    tls = TlsFiles(cert=pki.cert, key=pki.key)
    address, _ = second.bind(ANY, ANY, tls)
    await second.start()

    answer = await ask(address, TlsFiles(ca=pki.ca_file))

    assert answer.job.id == 1
    error = await rpc_error(ask(address, TlsFiles(ca=pki.other_file)))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert len(front.calls) == 1


async def test_a_head_with_an_authority_of_clients_asks_for_their_certificates(
    pki: Pki, front: FakeFront, second: Servers
) -> None:
    front.answers["get_job"] = job_view()
    tls = TlsFiles(cert=pki.cert, key=pki.key, ca=pki.ca_file)
    address, _ = second.bind(ANY, ANY, tls)
    await second.start()
    cert, key = pki.issue(pki.ca, "client.test")
    forged, forged_key = pki.issue(pki.other, "client.test")

    await ask(address, TlsFiles(ca=pki.ca_file, cert=cert, key=key))

    for files in (
        TlsFiles(ca=pki.ca_file),
        TlsFiles(ca=pki.ca_file, cert=forged, key=forged_key),
    ):
        error = await rpc_error(ask(address, files))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert len(front.calls) == 1


async def test_files_that_do_not_belong_together_are_refused_at_the_start(
    pki: Pki, second: Servers, tmp_path: Path
) -> None:
    _, other_key = pki.issue(pki.other, "localhost")
    missing = str(tmp_path / "missing.pem")
    for tls in (
        TlsFiles(cert=pki.cert, key=other_key),
        TlsFiles(cert=missing, key=pki.key),
        TlsFiles(cert=pki.cert, key=pki.key, ca=missing),
    ):
        with pytest.raises(CredentialsError):
            second.bind(ANY, ANY, tls)
