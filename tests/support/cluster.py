"""A real cluster of `hpc up` for tests: its processes, its command line, its end."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.client import Client
from tests.support.leftovers import run_mark
from tests.support.polling import wait_for
from tests.support.warm_hpc import WarmHpc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Sockets, journals and the store need no disk in these tests.
TMPFS = Path("/dev/shm")  # noqa: S108 - one directory of a random name is made there

#: A cold command, or a job of a test, on a machine that is far too busy, seconds.
PATIENCE_S = 100.0

ENDED = ("FINISHED", "FAILED", "CANCELED")
LOG_TAIL = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one command line."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error object that `--json` prints."""
        return json.loads(self.err)["error"]


def state_of(found: job_pb2.Job | task_pb2.Task) -> str:
    """Return a state as `hpc` takes it in, in capitals: FINISHED."""
    enum = job_pb2.Job.State if isinstance(found, job_pb2.Job) else task_pb2.Task.State
    return str(enum.Name(found.state)).removeprefix("STATE_")  # type: ignore[arg-type]


class Cluster:
    """One cluster with a home of its own, far from any other of this machine."""

    def __init__(self) -> None:
        place = TMPFS if os.access(TMPFS, os.W_OK) else None
        self.base = Path(tempfile.mkdtemp(prefix=f"hpc-{run_mark()}-", dir=place))
        self.dir = self.base / "up"
        self.cwd = self.base
        self.address = ""
        self.token_file: Path = self.dir / "tokens" / "admin"
        self.nodes: list[str] = []
        self._client: Client | None = None

    # --- The command line -----------------------------------------------------

    def hpc(
        self,
        *arguments: object,
        status: int | None = 0,
        stdin: str = "",
        **environment: object,
    ) -> Done:
        """Run one command to its end, and see that its exit status is the given one."""
        given = self.environment(environment)
        argv = [program()[0], *map(str, arguments)]
        found = warm_hpc().run(
            argv, cwd=self.cwd, environment=given, stdin=stdin, timeout=PATIENCE_S
        )
        done = Done(status=found[0], out=found[1], err=found[2])
        assert status is None or done.status == status, (arguments, done)
        return done

    def popen(
        self, *arguments: object, stdin: int = subprocess.DEVNULL, **environment: object
    ) -> subprocess.Popen[str]:
        """Start one command in the background."""
        return subprocess.Popen(
            [*program(), *map(str, arguments)],
            cwd=self.cwd,
            env=self.environment(environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, extra: Mapping[str, object] | None = None) -> dict[str, str]:
        """Return the environment of commands: nothing of the caller's own clusters."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HPC_")}
        clean |= {
            "XDG_STATE_HOME": str(self.base / "state"),
            "XDG_CONFIG_HOME": str(self.base / "config"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        if self.address:
            clean |= {
                "HPC_ADDRESS": self.address,
                "HPC_TOKEN_FILE": str(self.token_file),
            }
        return clean | {name: str(value) for name, value in (extra or {}).items()}

    def refused(self, *arguments: object, status: int = 1, stdin: str = "") -> Any:
        """Run a command that must be refused; return the error object it prints."""
        return self.hpc("--json", *arguments, status=status, stdin=stdin).error

    def submit(self, *arguments: object) -> int:
        """Submit a job; return its id."""
        return int(self.hpc("submit", *arguments).out)

    # --- What the head says ---------------------------------------------------

    @property
    def client(self) -> Client:
        """The library's client of this cluster, as its administrator."""
        if self._client is None:
            token = self.token_file.read_text().strip()
            self._client = Client.to(self.address, token=token)
        return self._client

    def job(self, job_id: int) -> job_pb2.Job:
        return self.client.job(job_id)

    def task(self, job_id: int, task_id: int = 1, instance: int = 0) -> task_pb2.Task:
        return self.client.task(job_id, task_id, instance)

    def until_job(
        self, job_id: int, *states: str, timeout: float = PATIENCE_S
    ) -> job_pb2.Job:
        """Wait until a job is in one of these states; return it."""
        what = f"job {job_id} {' or '.join(states)}"
        return wait_for(
            lambda: self.job(job_id),
            timeout,
            until=lambda job: state_of(job) in states,
            what=what,
        )

    def until_task(
        self,
        job_id: int,
        *states: str,
        task_id: int = 1,
        instance: int = 0,
        timeout: float = PATIENCE_S,
    ) -> task_pb2.Task:
        """Wait until a task or element is in one of these states; return it."""
        what = f"task {job_id}.{task_id}.{instance} {' or '.join(states)}"
        return wait_for(
            lambda: self.task(job_id, task_id, instance),
            timeout,
            until=lambda task: state_of(task) in states,
            what=what,
        )

    def ended(self, job_id: int, timeout: float = PATIENCE_S) -> job_pb2.Job:
        """Wait until a job has ended; return it."""
        return self.until_job(job_id, *ENDED, timeout=timeout)

    def output(self, job_id: int, task_id: int = 1, instance: int = 0) -> str:
        return b"".join(self.client.output(job_id, task_id, instance)).decode()

    def clear(self) -> None:
        """End whatever a test has left, so that the next one finds idle nodes."""
        if not self.address or self.pid("head") is None:
            return
        active = [j.id for j in self.client.jobs() if state_of(j) not in ENDED]
        for job_id in active:
            if state_of(self.job(job_id)) not in ENDED:
                self.hpc("job", "cancel", "--force", job_id, status=None)
        for job_id in active:
            self.ended(job_id)

    # --- Its processes --------------------------------------------------------

    def up(self, nodes: int = 2, cores: int = 2) -> None:
        """Start it, or whatever of it is not running."""
        found = self.hpc(
            "up", "--detach", "--json", "--dir", self.dir, "--nodes", nodes,
            "--cores", cores,
        ).json  # fmt: skip
        address = str(found["address"])
        if address != self.address:
            self.disconnect()
        self.address = address
        self.token_file = Path(found["token_file"])
        self.nodes = list(found["nodes"])

    def down(self, grace: str = "0s") -> None:
        self.hpc("down", "--dir", self.dir, "--grace", grace)

    def pid(self, name: str) -> int | None:
        """Return the process of head, n1.agent or n1.supervisor; None if it is gone."""
        try:
            pid = int(
                json.loads((self.dir / "processes.json").read_text())[name]["pid"]
            )
        except (FileNotFoundError, KeyError):
            return None
        return pid if str(self.dir) in command_line(pid) else None

    def spawner(self, node: str) -> int | None:
        """Return the process that starts the tasks of a node.

        A task has its command line, too, until it has become its own program.
        """
        place = str(self.dir / "nodes" / node)
        found = {
            pid
            for pid in processes()
            if place in (line := command_line(pid))
            and "hpc-task-supervisor\0spawner" in line
        }
        parents = {pid: parent(pid) for pid in found}
        return next((p for p, of in parents.items() if of and of not in found), None)

    def kill(self, *names: str) -> None:
        """Kill processes as a crash would, all of them before anything is awaited."""
        pids = wait_for(  # one may just be being started again
            lambda: [p for n in names if (p := self._pid_to_kill(n)) is not None],
            until=lambda found: len(found) == len(names),
            what=f"the processes {names}",
        )
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            wait_for(lambda pid=pid: not is_alive(pid), what=f"the end of {pid}")  # type: ignore[misc]

    def _pid_to_kill(self, name: str) -> int | None:
        if name.endswith(".spawner"):
            return self.spawner(name.removesuffix(".spawner"))
        return self.pid(name)

    def belongings(self) -> dict[int, str]:
        """Return every process of this cluster, tasks too, with its command line."""
        mark = str(self.base)
        found = {}
        for pid in processes():
            line = command_line(pid)
            if pid != os.getpid() and (mark in line or mark in directory(pid)):
                found[pid] = line.replace("\0", " ").strip()
        return found

    def logs(self) -> str:
        """Return the ends of all logs, for a failed test's report."""
        parts = []
        for path in sorted((self.dir / "log").glob("*.log")):
            text = path.read_text(errors="replace")[-LOG_TAIL:]
            parts.append(f"--- {path.name}\n{text}")
        return "\n".join(parts)

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def destroy(self) -> None:
        """End it; complain if a process had to be killed."""
        self.disconnect()
        self.address = ""
        try:
            if self.dir.exists():
                self.down()
            wait_for(
                self.belongings, until=lambda x: not x, what="the end of processes"
            )
        finally:
            for pid in self.belongings():
                # Looked up a moment ago by directory or command line: it is ours.
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.base, ignore_errors=True)


@functools.cache
def warm_hpc() -> WarmHpc:
    """Return what starts commands in the foreground, one for this process."""
    return WarmHpc()


def forget_warm_hpc() -> None:
    """End what starts commands, if there is one."""
    if warm_hpc.cache_info().currsize:
        warm_hpc().close()
        warm_hpc.cache_clear()


def program() -> Sequence[str]:
    """Return how `hpc` is called: its script, or its module where there is none."""
    script = Path(sys.executable).parent / "hpc"
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from hpcsched.cli.main import main; main()"]


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def parent(pid: int) -> int | None:
    """Return the parent of a process; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[1])


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def directory(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""
