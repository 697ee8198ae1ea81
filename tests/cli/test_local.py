"""The pieces of ``hpc up`` and ``hpc down``; whole clusters are in tests/e2e."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.cli.local import starting
from hpcsched.cli.local.layout import Layout, Plan
from hpcsched.cli.local.processes import (
    HEAD,
    Processes,
    Record,
    environment,
    is_same,
    start_ticks,
)
from hpcsched.cli.local.starting import Starter, free_or_any, plan_for
from hpcsched.cli.local.supervisor_link import shut_down
from hpcsched.cli.problems import ProblemError
from hpcsched.common.clock import SystemClock
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import CommandLine

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.make(1)
    return found


@pytest.fixture
def sleeper(layout: Layout) -> Iterator[Processes]:
    """A process that was recorded as ``head``."""
    processes = Processes(layout)
    command = [sys.executable, "-c", SLEEP, HEAD, str(layout.root)]
    processes.start("head", HEAD, command)
    yield processes
    record = processes.get("head")
    if record is not None:
        os.kill(record.pid, signal.SIGKILL)
        wait_for(lambda: not processes.is_running("head"), what="its end")


def test_the_first_plan_is_one_node_of_all_cores() -> None:
    assert plan_for(None, nodes=None, cores=None).nodes == {"n1": os.cpu_count()}
    assert plan_for(None, nodes=3, cores=2).nodes == {"n1": 2, "n2": 2, "n3": 2}


def test_a_cluster_grows_and_keeps_what_it_has() -> None:
    known = Plan(nodes={"n1": 2}, address="127.0.0.1:1", joined=("n1",))

    grown = plan_for(known, nodes=2, cores=None)

    assert grown == replace(known, nodes={"n1": 2, "n2": 2})
    assert plan_for(known, nodes=None, cores=None) == known


def test_what_is_said_of_cgroups_is_kept_for_the_next_start() -> None:
    plan = plan_for(None, nodes=None, cores=None, cgroup="off")

    assert plan.cgroup == "off"
    assert plan_for(plan, nodes=2, cores=None).cgroup == "off"
    assert plan_for(plan, nodes=None, cores=None, cgroup="auto").cgroup == "auto"


@pytest.mark.parametrize(
    ("nodes", "cores", "reason"),
    [(1, None, "CLUSTER_LARGER"), (2, 8, "CLUSTER_DIFFERS")],
)
def test_a_cluster_does_not_become_another(
    nodes: int, cores: int | None, reason: str
) -> None:
    known = Plan(nodes={"n1": 2, "n2": 2})

    with pytest.raises(ProblemError) as caught:
        plan_for(known, nodes=nodes, cores=cores)

    assert caught.value.reason == reason


def test_a_plan_is_read_as_it_was_kept(layout: Layout) -> None:
    plan = Plan(nodes={"n1": 2}, address="a:1", agent_address="a:2", joined=("n1",))
    assert layout.load_plan() is None

    layout.save_plan(plan)

    assert layout.load_plan() == plan


def test_a_damaged_plan_is_told(hpc: CommandLine, alone: Path) -> None:
    (alone / "up").mkdir()
    (alone / "up" / "cluster.json").write_text("{")

    error = hpc("--json", "up", "--dir", "up", status=1).error

    assert error["reason"] == "CLUSTER_DAMAGED"


def test_a_directory_whose_sockets_would_have_too_long_a_path_is_refused(
    hpc: CommandLine, alone: Path
) -> None:
    error = hpc("--json", "up", "--dir", "x" * 120, status=1).error

    assert error["reason"] == "DIR_TOO_LONG"
    assert not list(alone.glob("x*"))


def test_two_calls_do_not_work_on_one_cluster(layout: Layout) -> None:
    with layout.locked(), pytest.raises(ProblemError) as caught, layout.locked():
        pass

    assert caught.value.reason == "CLUSTER_BUSY"


def test_down_where_nothing_runs_says_so(hpc: CommandLine) -> None:
    result = hpc("down", "--json")

    assert result.json["stopped"] == []


async def test_a_recorded_process_is_known_again_and_ended(
    layout: Layout, sleeper: Processes
) -> None:
    again = Processes(layout)
    assert again.is_running("head")

    await sleeper.stop("head", SystemClock(), patience_s=5)

    assert not again.is_running("head")
    assert Processes(layout).names() == ()


def test_a_process_of_another_program_or_directory_is_never_signalled(
    layout: Layout, sleeper: Processes
) -> None:
    record = sleeper.get("head")
    assert record is not None
    root = str(layout.root)
    wait_for(lambda: b"time.sleep" in Path(f"/proc/{record.pid}/cmdline").read_bytes())

    assert is_same(record, root)
    assert not is_same(replace(record, start=record.start + 1), root)
    assert not is_same(replace(record, program="hpc-node-agent"), root)
    assert not is_same(record, "/elsewhere")
    ours = Record(
        pid=os.getpid(), start=start_ticks(os.getpid()) or 0, program=HEAD, command=()
    )
    assert not is_same(ours, root)


def test_a_zombie_is_no_running_process() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        wait_for(lambda: start_ticks(child.pid) is None, what="its end")
        assert Path(f"/proc/{child.pid}").exists()


def test_daemons_do_not_inherit_what_steers_clients() -> None:
    given = {"HPC_ADDRESS": "x", "NOTIFY_SOCKET": "y", "PATH": "p", "HOME": "h"}

    assert environment(given) == {"PATH": "p", "HOME": "h"}


async def test_a_head_waits_for_the_port_that_it_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While nobody listens there, a connection may have it for a moment."""
    seen = iter(["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:4711"])
    monkeypatch.setattr(starting, "free_or_any", lambda _: next(seen))
    starter = Starter(Layout(tmp_path), SystemClock())

    assert await starter.same_address("127.0.0.1:4711") == "127.0.0.1:4711"


def test_an_address_is_used_again_unless_it_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert free_or_any(address) == "127.0.0.1:0"
    assert free_or_any(address) == address
    assert free_or_any("") == "127.0.0.1:0"


async def test_a_head_that_does_not_start_is_told_with_its_logs_end(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(program: str, *arguments: str) -> tuple[str, ...]:
        if program == HEAD:
            dying = "raise SystemExit('the disk is on fire')"
            return (sys.executable, "-c", dying, program, *arguments)
        return (sys.executable, "-c", SLEEP, program, *arguments)

    monkeypatch.setattr(starting, "command_of", command)
    starter = Starter(layout, SystemClock())
    try:
        with pytest.raises(ProblemError) as caught:
            await starter.start(Plan(nodes={"n1": 1}))
    finally:
        await starter.processes.stop("n1.supervisor", SystemClock(), patience_s=5)

    assert caught.value.reason == "START_FAILED"
    assert "the disk is on fire" in str(caught.value)


class FakeSupervisor:
    """A socket that answers as a supervisor does, and keeps what it was told."""

    def __init__(self, *answers: list[Any]) -> None:
        self.told: list[list[Any]] = []
        self._answers = list(answers)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._send(writer, ["hello", {"version": 1}], ["pong", 1])
        while not any(message[0] == "shutdown" for message in self.told):
            (size,) = struct.unpack(">I", await reader.readexactly(4))
            self.told += json.loads(await reader.readexactly(size))
            for answer in self._answers:
                self._send(writer, answer)
            self._answers = []
        writer.close()

    def _send(self, writer: asyncio.StreamWriter, *messages: list[Any]) -> None:
        body = json.dumps(messages).encode()
        writer.write(struct.pack(">I", len(body)) + body)


async def test_a_supervisor_is_told_to_end_its_tasks_and_then_itself() -> None:
    fake = FakeSupervisor(["ended", 1, 2], ["all_stopped"])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "s"
        async with await asyncio.start_unix_server(fake.serve, path):
            await shut_down(path, grace_s=3)

    assert fake.told == [
        ["hello", {"version": 1}],
        ["stop_all", 3, "NODE_SHUTDOWN"],
        ["shutdown"],
    ]


async def test_a_supervisor_that_goes_away_is_a_connection_error() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "s"
        async with await asyncio.start_unix_server(serve, path):
            with pytest.raises(ConnectionError):
                await shut_down(path, grace_s=3)
