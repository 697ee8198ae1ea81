from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from hpcsched.common.sdnotify import Notifier
from tests.support.polling import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, str]]:
    """A socket like systemd's, and what NOTIFY_SOCKET says about it."""
    if request.param == "path":
        name = address = str(tmp_path / "notify")
    else:
        name = f"@hpcsched-test-{os.getpid()}-{tmp_path.name}"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(PATIENCE_S)
        yield receiver, name


def test_each_state_reaches_systemd(systemd: tuple[socket.socket, str]) -> None:
    receiver, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})

    assert notifier.ready("42 jobs")
    assert notifier.status("all\nREADY=0 well")
    assert notifier.watchdog()
    assert notifier.stopping()
    assert notifier.send("MAINPID=7", "EXTEND_TIMEOUT_USEC=5")

    assert [receiver.recv(4096).decode() for _ in range(5)] == [
        "READY=1\nSTATUS=42 jobs",
        "STATUS=all READY=0 well",
        "WATCHDOG=1",
        "STOPPING=1",
        "MAINPID=7\nEXTEND_TIMEOUT_USEC=5",
    ]


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_without_a_socket_of_systemd_nothing_happens(address: str) -> None:
    assert not Notifier({"NOTIFY_SOCKET": address}).ready()
    assert not Notifier({}).ready()


def test_a_socket_that_is_gone_or_full_is_no_error(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "full"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "full")})
        answers = [notifier.watchdog() for _ in range(5000)]

    assert answers[0]
    assert not answers[-1]


def test_the_environment_of_the_process_is_used_if_none_is_given(
    monkeypatch: pytest.MonkeyPatch, systemd: tuple[socket.socket, str]
) -> None:
    receiver, name = systemd
    monkeypatch.setenv("NOTIFY_SOCKET", name)

    assert Notifier().ready()
    assert receiver.recv(4096) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_signs_of_life_are_due_twice_per_watchdog_interval(
    environment: dict[str, str], interval: float | None
) -> None:
    assert Notifier(environment).watchdog_interval_s == interval
