"""TLS to the head, and telling why it fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trustme

from hpcsched.rpc.addresses import Address
from hpcsched.rpc.credentials import TlsFiles, server_credentials
from node_agent.link.heads import tls_problem
from tests.support.agents import agent_config, running_agent
from tests.support.fake_head import FakeHead
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_supervisor import FakeSupervisor


class Authority:
    """A certificate authority, and a head's certificate of it."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        authority = trustme.CA()
        issued = authority.issue_cert(name)
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        self.server = TlsFiles(
            cert=str(folder / "cert.pem"), key=str(folder / "key.pem")
        )
        self.client = TlsFiles(ca=str(self.ca))


async def test_an_agent_connects_to_a_head_whose_certificate_has_the_clusters_name(
    tmp_path: Path, supervisor: FakeSupervisor
) -> None:
    authority = Authority(tmp_path / "ca", "cluster.test")
    head = FakeHead()
    await head.start(credentials=server_credentials(authority.server))
    config = agent_config(
        tmp_path, head.port, insecure_loopback=False, ca=str(authority.ca),
        tls_server_name="cluster.test",
    )  # fmt: skip
    try:
        async with running_agent(config, tls=authority.client):
            await head.stream()
    finally:
        await head.close()


async def test_the_reason_why_tls_fails_is_in_the_log(
    tmp_path: Path, supervisor: FakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = (Authority(tmp_path / n, "127.0.0.1") for n in ("ours", "theirs"))
    head = FakeHead()
    await head.start(credentials=server_credentials(theirs.server))
    config = agent_config(tmp_path, head.port, insecure_loopback=False, ca=str(ours.ca))
    problem = ""
    try:
        with caplog.at_level(logging.ERROR):
            async with running_agent(config, tls=ours.client):
                await wait_for_async(lambda: "TLS fails" in caplog.messages)
                problem = await tls_problem(
                    Address("127.0.0.1", head.port), ours.client, ""
                )
    finally:
        await head.close()

    assert "certificate" in problem
    assert head.streams == []
