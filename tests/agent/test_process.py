"""The real agent process, the real supervisor, and a head that the test plays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.agent.v1 import order_pb2 as pb
from tests.support.polling import PATIENCE_S, wait_for, wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fake_head import FakeHead, FakeStream
    from tests.support.fake_supervisor import FakeSupervisor

EXITED = 1


class Programs:
    """Processes of a test, which end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.bind(str(folder / "notify"))
        self.notes.setblocking(False)
        (folder / "token").write_text("secret")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        log.close()
        self._processes.append(process)
        return process

    def supervisor(self) -> subprocess.Popen[bytes]:
        process = self.start(
            "node_agent.supervisor", "--dir", str(self.folder), "--cgroup", "off"
        )
        wait_for(
            (self.folder / "supervisor.sock").exists, what="the supervisor's socket"
        )
        return process

    def agent(self, port: int, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(
            "node_agent.main", "--dir", str(self.folder), "--name", "cn1",
            "--head", f"127.0.0.1:{port}", "--token-file", str(self.folder / "token"),
            "--insecure-loopback", *arguments,
            NOTIFY_SOCKET=str(self.folder / "notify"), WATCHDOG_USEC="200000",
        )  # fmt: skip

    def told(self) -> list[str]:
        """What the service manager was told since the last look."""
        found = []
        while True:
            try:
                found.append(self.notes.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.notes.close()


@asynccontextmanager
async def programs(folder: Path) -> AsyncIterator[Programs]:
    running = Programs(folder)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Programs]:
    async with programs(tmp_path) as found:
        yield found


def orders(command: bytes, instances: int) -> list[pb.Order]:
    define = pb.DefineTask(
        job_id=7, task_id=1, definition=1, command_line=command, substitute=True,
        output_limit=4096, grace_ms=1000, signal=15,
    )  # fmt: skip
    start = pb.StartTasks(
        job_id=7, task_id=1, definition=1, first_instance=1, count=instances,
        start_value=1, increment_value=1, attempts=[1],
    )  # fmt: skip
    return [pb.Order(define=define), pb.Order(start=start)]


def ends(stream: FakeStream) -> dict[int, tuple[int, int, bytes]]:
    """Return reason, exit code and output by instance."""
    found = {}
    for frame in stream.frames:
        for report in frame.reports:
            columns = report.ended
            texts = {detail.index: detail.output for detail in columns.details}
            for index, instance in enumerate(columns.instances):
                found[instance] = (
                    columns.reasons[index],
                    columns.exit_codes[index],
                    texts.get(index, b""),
                )
    return found


async def test_tasks_run_and_tell_how_they_ended(
    running: Programs, head: FakeHead
) -> None:
    running.supervisor()
    running.agent(head.port)
    stream = await head.stream()
    stream.order(*orders(b"echo value *; exit *", 5))
    found = await wait_for_async(lambda: ends(stream), until=lambda f: len(f) == 5)

    assert found == {n: (EXITED, n, f"value {n}\n".encode()) for n in range(1, 6)}
    assert stream.hellos[0].node == "cn1"
    assert stream.hellos[0].instance


async def test_an_agent_killed_while_a_task_runs_loses_no_exit_code(
    running: Programs, head: FakeHead, tmp_path: Path
) -> None:
    running.supervisor()
    agent = running.agent(head.port)
    first = await head.stream()
    gate = tmp_path / "gate"
    command = b"while [ ! -e %s.* ]; do sleep 0.01; done; exit 4*" % os.fsencode(gate)
    first.order(*orders(command, 2))
    await wait_for_async(lambda: len(first.started) == 2)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    (tmp_path / "gate.1").touch()  # ends while no agent is there
    running.agent(head.port)
    second = await head.stream(2)
    live = {attempt.instance_id for attempt in second.live}
    (tmp_path / "gate.2").touch()  # ends under the new agent
    found = await wait_for_async(lambda: ends(second), until=lambda f: len(f) == 2)

    assert live == {1, 2}
    assert found == {1: (EXITED, 41, b""), 2: (EXITED, 42, b"")}


async def test_a_restarted_supervisor_keeps_its_tasks_and_takes_new_ones(
    running: Programs, head: FakeHead, tmp_path: Path
) -> None:
    supervisor = running.supervisor()
    running.agent(head.port)
    first = await head.stream()
    gate = os.fsencode(tmp_path / "gate")
    first.order(*orders(b"while [ ! -e %s ]; do sleep 0.01; done; exit 7" % gate, 1))
    await wait_for_async(lambda: first.started)
    supervisor.terminate()
    supervisor.wait()
    (tmp_path / "gate").touch()
    running.supervisor()
    second = await head.stream(2)
    found = await wait_for_async(lambda: ends(second))
    start = pb.StartTasks(
        job_id=7, task_id=1, definition=1, instances=[2], attempts=[1], values=[2]
    )
    second.order(pb.Order(start=start))
    await wait_for_async(lambda: ends(second), until=lambda f: len(f) == 2)

    assert found == {1: (EXITED, 7, b"")}


async def test_output_of_a_real_task_is_followed_to_its_end(
    running: Programs, head: FakeHead, tmp_path: Path
) -> None:
    running.supervisor()
    running.agent(head.port)
    stream = await head.stream()
    gate = os.fsencode(tmp_path / "gate")
    command = b"echo one; while [ ! -e %s ]; do sleep 0.01; done; echo two" % gate
    read = pb.ReadOutput(
        read_id=1, job_id=7, task_id=1, instance_id=1, attempt=1, follow=True
    )
    stream.order(*orders(command, 1), pb.Order(read=read))
    await wait_for_async(lambda: stream.chunks(1), what="the first line")
    (tmp_path / "gate").touch()
    chunks = await wait_for_async(
        lambda: stream.chunks(1), until=lambda found: found[-1].eof
    )

    assert b"".join(chunk.data for chunk in chunks) == b"one\ntwo\n"
    assert chunks[-1].error == ""


async def test_a_stop_says_goodbye_and_touches_no_task(
    running: Programs, head: FakeHead, tmp_path: Path
) -> None:
    running.supervisor()
    agent = running.agent(head.port)
    stream = await head.stream()
    gate = os.fsencode(tmp_path / "gate")
    stream.order(*orders(b"while [ ! -e %s ]; do sleep 0.01; done; exit 7" % gate, 1))
    await wait_for_async(lambda: stream.started)
    agent.terminate()
    await wait_for_async(lambda: stream.frames[-1].goodbye)
    status = await wait_for_async(
        agent.poll, until=lambda s: s is not None, timeout=PATIENCE_S
    )
    running.agent(head.port)
    second = await head.stream(2)
    assert [attempt.running for attempt in second.live] == [True]
    (tmp_path / "gate").touch()
    found = await wait_for_async(lambda: ends(second))

    assert status == 0
    assert found == {1: (EXITED, 7, b"")}


async def test_the_service_manager_is_told_of_readiness_life_and_end(
    running: Programs, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.answers_pings = False
    agent = running.agent(head.port)
    await supervisor.connected()
    before = running.told()
    supervisor.answers_pings = True
    supervisor.hang_up()
    told: list[str] = []

    def hear() -> list[str]:
        told.extend(running.told())
        return told

    await wait_for_async(hear, until=lambda t: t.count("WATCHDOG=1") > 2)
    await wait_for_async(hear, until=lambda t: any("connected to 127" in x for x in t))
    agent.terminate()
    await wait_for_async(agent.poll, until=lambda status: status == 0)
    hear()

    assert not any("READY=1" in text for text in before)
    ready = next(n for n, text in enumerate(told) if "READY=1" in text)
    alive = told.index("WATCHDOG=1")
    stopping = next(n for n, text in enumerate(told) if "STOPPING=1" in text)
    assert ready < alive < stopping


async def test_one_directory_has_one_agent(
    running: Programs, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    running.agent(head.port)
    await supervisor.connected()
    second = running.agent(head.port)
    status = await wait_for_async(second.poll, until=lambda s: s is not None)

    assert status == 75
    assert supervisor.connections == 1


async def test_the_agent_starts_no_process(
    running: Programs, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    agent = running.agent(head.port)
    stream = await head.stream()
    supervisor.ran((7, 1, 0, 1))
    await wait_for_async(lambda: stream.finished)

    assert children(agent.pid) == ""


def children(pid: int) -> str:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return "".join((thread / "children").read_text() for thread in threads)
