"""hpcschedd as a process: start, restart, stop, and what keeps it from starting."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.daemon import wiring
from hpcsched.daemon.config import ClusterConfig, Config, ListenConfig
from hpcsched.runtime.head import Head
from hpcsched.store import state_directory
from hpcsched.store.errors import StoreFullError
from tests.support.daemon import Daemon, run
from tests.support.polling import PATIENCE_S

JOB = job_pb2.JobSpec(name="kept", tasks=[task_pb2.TaskSpec(command_line="true")])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_ready_file_tells_where_it_serves_and_who(daemon: Daemon) -> None:
    daemon.start()

    assert daemon.ready["pid"] == daemon.process.pid
    assert daemon.ready["address"].startswith("127.0.0.1:")
    assert daemon.ready["address"] != daemon.ready["agent_address"]
    assert not daemon.ready["address"].endswith(":0")
    with daemon.client() as client:
        assert client.run(client.api.cluster.info()).user == "root"
    assert mode(daemon.state) == 0o700


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_within_seconds(number: int, daemon: Daemon) -> None:
    daemon.start()
    with daemon.client() as client:
        client.run(client.api.cluster.info())
        started = time.monotonic()

        status = daemon.stop(number)

    assert status == 0, daemon.log
    assert time.monotonic() - started < 30
    assert "Traceback" not in daemon.log


def test_a_second_head_on_the_same_directory_says_who_has_it(daemon: Daemon) -> None:
    daemon.start()

    second = run(*daemon.arguments)

    assert second.returncode == 75
    assert str(daemon.process.pid) in second.stderr
    assert "Traceback" not in second.stderr
    with daemon.client() as client:
        client.run(client.api.cluster.info())


def test_a_port_that_is_taken_keeps_it_from_starting(
    daemon: Daemon, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run(*daemon.arguments, "--listen", f"127.0.0.1:{port}")

    assert done.returncode == 75
    assert str(port) in done.stderr
    assert not daemon.ready_file.exists()
    assert not daemon.admin_file.exists()


def test_plain_text_beyond_loopback_is_refused_with_status_78(
    daemon: Daemon,
) -> None:
    done = run(*daemon.arguments, "--listen", "192.0.2.1:0")

    assert done.returncode == 78
    assert "listen.clients" in done.stderr
    assert "Traceback" not in done.stderr


def test_tls_files_that_cannot_be_read_are_refused_with_status_78(
    daemon: Daemon, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[tls]\ncert = '/nowhere/c.pem'\nkey = '/nowhere/c.key'\n")

    done = run(*daemon.arguments, "--config", config)

    assert done.returncode == 78
    assert "/nowhere/c.pem" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_directory_that_cannot_be_made_is_refused(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    done = run(*daemon.arguments, "--state-dir", tmp_path / "file" / "state")

    assert done.returncode == 78
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_first_tokens_are_secret_files_that_a_restart_uses_again(
    daemon: Daemon,
) -> None:
    daemon.start()
    admin, node = daemon.admin_file.read_text(), daemon.node_file.read_text()

    assert mode(daemon.admin_file) == mode(daemon.node_file) == 0o600
    assert admin != node
    assert len(admin.strip()) >= 43, "256 bits"
    daemon.stop(signal.SIGTERM)
    daemon.start()

    assert daemon.admin_file.read_text() == admin
    assert daemon.node_file.read_text() == node
    assert admin.strip() not in daemon.log
    with daemon.client() as client:
        assert client.run(client.api.cluster.info()).user == "root"


def test_a_restart_does_not_bring_a_revoked_token_back(daemon: Daemon) -> None:
    daemon.start()
    with daemon.client() as client:
        tokens = client.run(client.api.cluster.tokens())
        (node,) = [token for token in tokens if token.user == "*"]
        client.run(client.api.cluster.revoke_tokens([node.id]))

    daemon.stop(signal.SIGTERM)
    daemon.start()

    with daemon.client() as client:
        left = client.run(client.api.cluster.tokens())
    assert [token.user for token in left] == ["root"]
    assert f"{daemon.node_file}: the token was revoked" in daemon.log


@pytest.mark.parametrize("content", ["", "\n", "zwölf", "two words"])
def test_a_token_file_without_a_usable_token_is_refused(
    content: str, daemon: Daemon
) -> None:
    daemon.admin_file.write_text(content)

    done = run(*daemon.arguments)

    assert done.returncode == 78
    assert str(daemon.admin_file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_file_that_cannot_be_written_is_refused(
    daemon: Daemon, tmp_path: Path
) -> None:
    gone = tmp_path / "gone" / "token"

    done = run(*daemon.arguments, "--bootstrap-node-token", gone)

    assert done.returncode == 78
    assert str(gone) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_restart_keeps_jobs_with_either_event_loop(
    number: int, loop: str, daemon: Daemon
) -> None:
    daemon.start(environment={"HPCSCHED_LOOP": loop})
    with daemon.client() as client:
        (job_id,) = client.submit(JOB)
        before = client.job(job_id)
        term = client.run(client.api.cluster.info()).term

    daemon.stop(number)
    daemon.start(environment={"HPCSCHED_LOOP": loop})

    with daemon.client() as client:
        after = client.job(job_id)
        assert (after.name, after.state) == ("kept", before.state)
        assert client.submit(JOB)[0] > job_id
        assert client.run(client.api.cluster.info()).term > term


def test_systemd_learns_when_it_serves_and_when_it_stops(
    daemon: Daemon, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(PATIENCE_S)
        daemon.start(
            environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        )
        said = [channel.recv(4096).decode()]
        while "READY=1" not in said[-1]:
            said.append(channel.recv(4096).decode())
        with daemon.client() as client:
            client.run(client.api.cluster.info())
        daemon.stop(signal.SIGTERM)
        while "STOPPING=1" not in said[-1]:
            said.append(channel.recv(4096).decode())

    assert any("WATCHDOG=1" in one for one in said)
    assert not any("READY=1" in one for one in said[said.index(said[-1]) + 1 :])


def test_ready_comes_after_the_ready_file_and_that_after_serving(
    daemon: Daemon, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(PATIENCE_S)
        daemon.start(environment={"NOTIFY_SOCKET": str(path)})

        assert "READY=1" in channel.recv(4096).decode()
        ready = json.loads(daemon.ready_file.read_text())
        host, _, port = ready["address"].partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S):
            pass


def test_the_program_turns_the_fork_support_of_grpc_off_before_loading_it() -> None:
    code = """
import os, sys
sys.modules["grpc"] = None  # whoever imports it now fails
try:
    import hpcsched.daemon.main
except ImportError:
    print(os.environ["GRPC_ENABLE_FORK_SUPPORT"])
"""
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "0\n"


def test_the_ready_file_of_a_head_that_was_killed_does_not_outlive_a_failed_start(
    daemon: Daemon,
) -> None:
    daemon.start()
    daemon.stop(signal.SIGKILL)
    assert daemon.ready_file.exists()
    daemon.admin_file.write_text("")

    assert run(*daemon.arguments).returncode == 78
    assert not daemon.ready_file.exists()


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOSPC, 71),
        (errno.EDQUOT, 71),
        (errno.EMFILE, 71),
        (errno.EIO, 74),
        (errno.EACCES, 78),
    ],
)
def test_a_full_disk_at_the_start_is_no_reason_not_to_be_started_again(
    number: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_out(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(state_directory, "_try_out", try_out)
    cluster = ClusterConfig(state_dir=str(tmp_path / "state"))
    config = Config(cluster=cluster, listen=ListenConfig(insecure_loopback=True))

    assert wiring.run(config, None) == status
    # What the unit of systemd does not start again.
    unit = Path(__file__).parents[2] / "systemd" / "hpcschedd.service"
    (line,) = [x for x in unit.read_text().splitlines() if "PreventExit" in x]
    assert (str(status) in line.partition("=")[2].split()) == (status != 71)


def test_a_store_that_has_no_room_to_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_store(*_: object, **__: object) -> None:
        raise StoreFullError("no room")

    monkeypatch.setattr(wiring, "open_store", open_store)
    cluster = ClusterConfig(state_dir=str(tmp_path / "state"))
    config = Config(cluster=cluster, listen=ListenConfig(insecure_loopback=True))

    assert wiring.run(config, None) == 71


def test_a_term_that_there_is_no_room_to_begin_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def recover(_: Head) -> None:
        raise HpcError("DISK_FULL")

    monkeypatch.setattr(Head, "recover", recover)
    cluster = ClusterConfig(state_dir=str(tmp_path / "state"))
    config = Config(cluster=cluster, listen=ListenConfig(insecure_loopback=True))

    assert wiring.run(config, None) == 71
    assert "the head's disk is full" in caplog.text
