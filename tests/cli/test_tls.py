"""``hpc`` over TLS: who is trusted, and files that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from hpcsched.rpc.credentials import TlsFiles, server_credentials
from tests.support.command_line import CommandLine
from tests.support.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a head at 127.0.0.1, and another authority's ``other.pem``."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "none.pem").write_text("no certificate\n", encoding="ascii")
    return tmp_path


@pytest.fixture
def tls_hpc(
    folder: Path,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:
    api = FakeApi()
    files = TlsFiles(cert=str(folder / "cert.pem"), key=str(folder / "key.pem"))
    port = api._server.add_secure_port("127.0.0.1:0", server_credentials(files))
    monkeypatch.setenv("HPC_ADDRESS", f"127.0.0.1:{port}")
    with api:
        api.add_job()
        yield CommandLine(api, capsys)


def test_a_head_of_the_authority_is_called_and_followed(
    tls_hpc: CommandLine, folder: Path
) -> None:
    ca = ("--ca", folder / "ca.pem")

    listed = tls_hpc(*ca, "--quiet", "job", "list")
    followed = tls_hpc(*ca, "--json", "events", "--after", "0")

    assert listed.out == "1\n"
    assert followed.lines[0]["job_id"] == 1


def test_a_head_of_another_authority_is_not_reached(
    tls_hpc: CommandLine, folder: Path
) -> None:
    options = ("--json", "--ca", folder / "other.pem", "--rpc-timeout", "1s")

    refused = tls_hpc(*options, "job", "list", status=3)

    assert refused.error["reason"] == "HEAD_UNREACHABLE"


@pytest.mark.parametrize("verb", [("job", "list"), ("events",)])
@pytest.mark.parametrize(
    ("option", "file", "problem"),
    [
        ("--ca", "none.pem", "none.pem"),
        ("--cert", "cert.pem", "both a certificate and its key"),
        ("--key", "key.pem", "both a certificate and its key"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tls_hpc: CommandLine,
    folder: Path,
    *,
    verb: tuple[str, ...],
    option: str,
    file: str,
    problem: str,
) -> None:
    refused = tls_hpc("--json", option, folder / file, *verb, status=2)

    assert refused.error["reason"] == "TLS_FILES"
    assert problem in refused.error["message"]
