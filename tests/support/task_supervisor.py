"""A real ``hpc-task-supervisor`` and an agent's end of its socket, for tests."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node_agent.supervisor import procfs, protocol
from node_agent.supervisor.cgroup import cgroup_name, own_cgroup
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE_S = 60.0
JOB, TASK = 7, 1


class AgentEnd:
    """The agent's end of the socket; keeps everything that it has received."""

    def __init__(self, path: str | Path, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self._reader = protocol.FrameReader()
        self.messages: list[list[Any]] = []
        self.hello: dict[str, Any] = {}
        try:
            with protocol.socket_address(str(path)) as address:
                self.socket.connect(address)
            if greet:
                self.send(["hello", {"version": 1}])
                self.hello = self.expect("hello")[1]
        except (OSError, AssertionError):  # it is just being replaced
            self.socket.close()
            raise

    def send(self, *messages: Sequence[Any]) -> None:
        """Send one frame."""
        self.socket.sendall(protocol.encode(messages))

    def receive(self, timeout: float = PATIENCE_S) -> bool:
        """Take in what comes next; False at the end of the connection."""
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            return True
        data = self.socket.recv(1 << 20)
        self.messages += self._reader.feed(data)
        return bool(data)

    def expect(
        self,
        name: str,
        *items: Any,
        where: Callable[[list[Any]], bool] = lambda _: True,
        timeout: float = PATIENCE_S,
    ) -> list[Any]:
        """Return the first message of the name that fits; read until it comes."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for message in self.messages[seen:]:
                fits = message[0] == name and message[1 : 1 + len(items)] == [*items]
                if fits and where(message):
                    return message
            seen = len(self.messages)
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {name} {items}: {self.messages[-5:]}")
            if not self.receive(left):
                raise AssertionError(f"closed before {name}: {self.messages[-5:]}")

    def define(self, *argv: str, job: int = JOB, task: int = TASK, **more: Any) -> None:
        """Define a task; without arguments ``more`` has ``shell``."""
        definition: dict[str, Any] = {
            "job": job,
            "task": task,
            "def": 1,
            "grace_s": 5.0,
        }
        if argv:
            definition["argv"] = [[word] for word in argv]
        definition.update(more)
        self.send(["define", definition])

    def shell(self, line: str, **more: Any) -> None:
        """Define a task that is a shell line."""
        self.define(**{"shell": [line], **more})

    def grant(self, *cores: int, job: int = JOB) -> None:
        """Let the job use cores."""
        self.send(["grant", job, [*cores]])

    def start(
        self,
        *instances: int,
        attempt: int = 1,
        ncores: int = 0,
        env: dict[str, str] | None = None,
        job: int = JOB,
        task: int = TASK,
    ) -> None:
        """Start instances, whose value is their number."""
        items = [[number, attempt, number, ncores, env] for number in instances]
        self.send(["start", job, task, 1, items])

    def stop(
        self,
        *instances: int,
        attempt: int = 1,
        grace_s: float | None = 5.0,
        reason: str = "CANCELED",
    ) -> None:
        """Stop attempts."""
        pairs = [[number, attempt] for number in instances]
        self.send(["stop", JOB, TASK, pairs, grace_s, reason])

    def started(self, instance: int = 0, attempt: int = 1) -> dict[str, Any]:
        """Return the start of an attempt by names."""
        message = self.expect(
            "started", where=lambda m: m[2:6] == [JOB, TASK, instance, attempt]
        )
        names = ("pid", "start", "cores", "out", "err")
        return dict(zip(names, message[6:], strict=True))

    def ended(
        self,
        instance: int = 0,
        attempt: int = 1,
        *,
        job: int = JOB,
        task: int = TASK,
        timeout: float = PATIENCE_S,
    ) -> dict[str, Any]:
        """Return the end of an attempt."""
        message = self.expect(
            "ended",
            where=lambda m: m[2:6] == [job, task, instance, attempt],
            timeout=timeout,
        )
        end: dict[str, Any] = message[6]
        return end

    def run(self, line: str, **more: Any) -> dict[str, Any]:
        """Run a shell line as instance 0 and return its end."""
        self.shell(line, **more)
        self.start(0)
        return self.ended(0)

    def sync(self) -> None:
        """Wait until everything that was sent has been obeyed."""
        token = len(self.messages)
        self.send(["ping", token])
        self.expect("pong", token)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class TaskSupervisor:
    """A supervisor in a directory; it may be stopped, killed and started again."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.wrapper: tuple[str, ...] = ()
        self.front: subprocess.Popen[bytes] | None = None
        self.agents: list[AgentEnd] = []
        self.log = directory.with_name(directory.name + ".log")

    def start(self, *options: str, **more: Any) -> TaskSupervisor:
        """Start it and wait until the socket answers."""
        with self.log.open("ab") as log:
            self.front = subprocess.Popen(
                [
                    *self.wrapper,
                    sys.executable,
                    *("-m", "node_agent.supervisor"),
                    *("--dir", str(self.directory), *self.options, *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **more,
            )
        return self

    def agent(self, **options: Any) -> AgentEnd:
        """Connect as soon as it listens."""

        def connect() -> AgentEnd:
            return AgentEnd(self.directory / "supervisor.sock", **options)

        agent = wait_for(connect, what="the supervisor's socket")
        self.agents.append(agent)
        return agent

    def processes(self, role: str = "") -> list[int]:
        """Return the living processes of this supervisor with the role."""
        wanted = f"\0hpc-task-supervisor\0{role}".encode()
        place = f"\0--dir\0{self.directory}\0".encode()
        found = []
        for pid in procfs.processes():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if wanted in line and place in line:
                    found.append(pid)
        return found

    def pid_of(self, role: str) -> int:
        """Return the process of a role, once there is exactly one."""
        return wait_for(
            lambda: self.processes(role), until=lambda found: len(found) == 1, what=role
        )[0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the front; return its exit status."""
        front = self.front
        assert front is not None
        lock = self.directory / "lock"
        wait_for(lock.read_text, until=lambda text: text == f"{front.pid}\n")
        front.send_signal(number)
        return front.wait(PATIENCE_S)

    def destroy(self) -> None:
        """Kill everything that this test has started, tasks too."""
        for agent in self.agents:
            agent.close()
        own = [*self.processes(), *([self.front.pid] if self.front else [])]
        for pid in procfs.descendants_of(own):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.front is not None:
            self.front.wait(PATIENCE_S)
        self._remove_cgroups()

    def _remove_cgroups(self) -> None:
        """Remove the cgroups that a killed supervisor has left."""
        try:
            own = Path(own_cgroup(), cgroup_name(str(self.directory)))
        except OSError:  # there are none here
            return
        for folder in [*own.glob("slot-*"), *own.parent.glob(own.name)]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove an empty cgroup as soon as the kernel lets it go."""

    def remove() -> bool:
        folder.rmdir()
        return True

    wait_for(remove, what=str(folder))


@contextlib.contextmanager
def task_supervisor(directory: Path, *options: str) -> Iterator[TaskSupervisor]:
    """Yield a supervisor that is not started; whatever it leaves is killed."""
    supervisor = TaskSupervisor(directory, *options)
    try:
        yield supervisor
    finally:
        supervisor.destroy()


def containments() -> list[str]:
    """Return the ``--cgroup`` values that this machine can be tested with."""
    try:
        own = own_cgroup()
        probe = Path(own, f"hpc-test-{os.getpid()}")
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return ["off"]
    return ["off", "require"]


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    stat = procfs.read_stat(pid)
    return stat is not None and stat.state != "Z"


def pids_in(path: Path, count: int) -> list[int]:
    """Return the process ids that a task has written to a file, one a line."""

    def read() -> list[int]:
        return [int(word) for word in path.read_text().split()]

    return wait_for(read, until=lambda found: len(found) >= count, what=str(path))


WAITS = "echo $$ >>pids; read code <go$CCP_TASKINSTANCEID; exit $code"
"""A shell line that ends with the code that ``tell`` sends."""


def place_of_waiting(parent: Path) -> Path:
    """Return a new directory with the FIFOs for which tasks of WAITS wait."""
    place = parent / "place"
    place.mkdir()
    for number in range(4):
        os.mkfifo(place / f"go{number}")
    return place


def tell(place: Path, instance: int, code: int) -> None:
    """Let a task of WAITS end with an exit code."""
    with (place / f"go{instance}").open("w") as fifo:
        fifo.write(f"{code}\n")


def begin(supervisor: TaskSupervisor, place: Path, count: int = 2) -> AgentEnd:
    """Start tasks that wait; return when they do.

    One after the other, so that the lines of ``pids`` are in the order of the tasks.
    """
    agent = supervisor.agent()
    agent.shell(WAITS, cwd=str(place))
    for number in range(count):
        agent.start(number)
        pids_in(place / "pids", number + 1)
        agent.started(number)
    return agent


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), what=f"end of {pid}")


def kill_spawner(supervisor: TaskSupervisor) -> None:
    """Kill the spawner, and wait for the next one."""
    pid = supervisor.pid_of("spawner")
    kill(pid)
    wait_for(lambda: supervisor.pid_of("spawner") != pid, what="another spawner")
