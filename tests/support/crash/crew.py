"""The daemons of a cluster, each started, stopped, killed and frozen by itself.

`hpc up` would start what is missing, too, but a campaign has to start each of them
alone, below another program (strace, ip netns exec) and within milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsched.client import Target
from hpcsched.store.marks import mark_of
from tests.support.cluster import (
    TMPFS,
    command_line,
    directory,
    is_alive,
    processes,
)
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.rpc.credentials import TlsFiles

MODULES = {
    "hpcschedd": "hpcsched.daemon.main",
    "hpc-node-agent": "node_agent.main",
    "hpc-task-supervisor": "node_agent.supervisor.main",
}
BOOT = "import sys; del sys.argv[0]; from {module} import main; sys.exit(main())"

#: A daemon that is told to stop, on a busy machine, seconds.
STOP_S = 30.0
LOOPBACK = "127.0.0.1"
PORTS = (15_000, 32_000)


def program(name: str) -> list[str]:
    """Return how a daemon is called; always Python itself, which strace can follow."""
    script = Path(sys.executable).parent / name
    if script.exists():
        return [sys.executable, str(script)]
    return [sys.executable, "-c", BOOT.format(module=MODULES[name]), name]


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rpartition(")")[2].split()[1])
    return 0


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has right now, nor gets while their head is down.

    Those that the system gives to whoever asks for any are others.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            found.append(port)
    return list(dict.fromkeys(found)) if len(set(found)) == count else free_ports(count)


class Crew:
    """Head, agents and supervisors of one cluster.

    Names of processes: head, n1.agent, n1.front, n1.reaper, n1.spawner. The last two
    are started by the front, as in any installation.

    Attributes:
        base: Everything is below it.
        nodes: Names of the nodes.
        cores: Of each node.
        wraps: Words before a daemon's command line, by name.
        down: Those that somebody has just stopped, and will start again.
        ended: Daemons that ended otherwise, with their exit status.
        rewritten: How often the head's store was written anew, after its disk failed.
        extra: Environment of a daemon, by name, beside the ordinary one.
    """

    def __init__(self, nodes: int = 2, cores: int = 3) -> None:
        place = TMPFS if os.access(TMPFS, os.W_OK) else None
        self.base = Path(tempfile.mkdtemp(prefix="hpc-crash-", dir=place))
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.cores = cores
        self.wraps: dict[str, Sequence[str]] = {}
        self.extra: dict[str, dict[str, str]] = {}
        self.host = LOOPBACK
        self._tls: TlsFiles | None = None
        self.down: set[str] = set()
        self.ended: list[tuple[str, int]] = []
        self.rewritten = 0
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = free_ports(2)
        self.state = self.base / "head"
        (self.base / "log").mkdir()

    @property
    def address(self) -> str:
        return f"{self.host}:{self._ports[0]}"

    @property
    def agent_address(self) -> str:
        return f"{self.host}:{self._ports[1]}"

    @property
    def target(self) -> Target:
        """Whom its administrator calls."""
        token = (self.base / "admin.token").read_text().strip()
        return Target.parse(self.address, token=token, tls=self._tls)

    def use_tls(self, head: TlsFiles, callers: TlsFiles) -> None:
        """Have the head serve with a certificate; before its first start."""
        self._tls = callers
        text = f'[tls]\ncert = "{head.cert}"\nkey = "{head.key}"\n'
        (self.base / "head.toml").write_text(text)

    @property
    def started(self) -> list[str]:
        """Names of the daemons that are ours to start."""
        below = [f"{node}.{part}" for node in self.nodes for part in ("front", "agent")]
        return ["head", *below]

    def command(self, name: str) -> list[str]:
        """Return a daemon's command line."""
        if name == "head":
            return [
                *program("hpcschedd"),
                *("--state-dir", str(self.state)),
                *("--listen", self.address, "--agent-listen", self.agent_address),
                *self._transport("--config", str(self.base / "head.toml")),
                *("--ready-file", str(self.base / "ready.json")),
                *("--bootstrap-admin-token", str(self.base / "admin.token"), "root"),
                *("--bootstrap-node-token", str(self.base / "node.token")),
            ]
        node, part = name.split(".")
        place = self.base / node
        if part == "front":
            words = ("--dir", str(place), "--node", node)
            return [*program("hpc-task-supervisor"), *words]
        return [
            *program("hpc-node-agent"),
            *("--dir", str(place), "--head", self.agent_address),
            *("--token-file", str(self.base / "node.token")),
            *("--name", node, "--cores", str(self.cores)),
            *self._transport("--ca", self._tls.ca if self._tls else ""),
        ]

    def _transport(self, *with_tls: str) -> Sequence[str]:
        return ("--insecure-loopback",) if self._tls is None else with_tls

    def start(self, name: str) -> None:
        """Start a daemon unless it runs; first do what it asks an operator for."""
        if self.runs(name):
            return
        if name == "head":
            self._mend()
            (self.base / "ready.json").unlink(missing_ok=True)
        if name.endswith(".front"):
            (self.base / name.partition(".")[0]).mkdir(mode=0o700, exist_ok=True)
        dropped = ("HPC_", "GRPC_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        with (self.base / "log" / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                [*self.wraps.get(name, ()), *self.command(name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.base,
                env={**clean, **self.extra.get(name, {})},
                start_new_session=True,
            )

    def _mend(self) -> None:
        """Write the store anew where its disk has failed: a head would not serve it."""
        if mark_of(self.state) is None:
            return
        place = ("--state-dir", str(self.state))
        words = [*program("hpcschedd"), "--rewrite-store", *place]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=STOP_S, check=False
        )
        assert done.returncode == 0, done.stderr
        self.rewritten += 1

    def start_all(self) -> None:
        """Start whatever does not run."""
        for name in self.started:
            self.start(name)

    def revive(self) -> None:
        """Start what has ended by itself, as a service manager would.

        What it would not start, an operator does here; ``ended`` tells.
        """
        for name, child in list(self._children.items()):
            status = child.poll()
            if status is not None and name not in self.down:
                self.ended.append((name, status))
                self.start(name)

    def runs(self, name: str) -> bool:
        child = self._children.get(name)
        return child is not None and child.poll() is None

    def status(self, name: str) -> int | None:
        """Return the exit status of a daemon that was started; None while it runs."""
        return self._children[name].poll()

    def wait_ready(self) -> None:
        """Wait until the head that was started last serves."""
        ready = self.base / "ready.json"
        wait_for(ready.exists, STOP_S, what="a head that serves")

    def pid(self, name: str) -> int | None:
        """Return the process of a name; None if there is none."""
        node, _, part = name.partition(".")
        if part not in ("reaper", "spawner"):
            child = self._children.get(name)
            pid = child.pid if child is not None and child.poll() is None else None
            return pid if pid is None or name not in self.wraps else self._inner(pid)
        place = str(self.base / node)
        mark = f"hpc-task-supervisor\0{part}\0"
        found = [
            p
            for p in processes()
            if mark in (line := command_line(p)) and place in line
        ]
        # What it is just making has its command line, and is a task in a moment.
        return next((pid for pid in found if _parent(pid) not in found), None)

    def _inner(self, pid: int) -> int:
        """Return the daemon below a wrapper; itself where the wrapper executed it."""
        children = Path(f"/proc/{pid}/task/{pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if str(self.base) in command_line(int(child)):
                    return int(child)
        return pid

    def signal(self, name: str, number: int) -> int | None:
        """Send a signal; return the process that got it."""
        pid = self.pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    def wait_gone(self, name: str, pid: int | None) -> None:
        """Wait for the end of a process, and reap it if it is our child."""
        if pid is None:
            return
        child = self._children.get(name)
        if child is not None:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                text = f"{name} ({pid}) has not ended within {STOP_S:g} s of its signal"
                raise AssertionError(text) from None
        wait_for(lambda: not is_alive(pid), STOP_S, what=f"the end of {name}")

    def thaw(self) -> None:
        """Let everything that was frozen go on."""
        for pid in self.belongings():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def belongings(self) -> dict[int, str]:
        """Return every process of this cluster, tasks too, with its command line."""
        mark = str(self.base)
        found = {}
        for pid in processes():
            line = command_line(pid)
            if pid != os.getpid() and (mark in line or mark in directory(pid)):
                found[pid] = line.replace("\0", " ").strip()
        return found

    def tasks(self) -> dict[int, str]:
        """Return the processes of tasks: what is ours and none of the daemons."""
        daemons = ("hpcschedd", "hpc-node-agent", "hpc-task-supervisor", "strace")
        return {
            pid: line
            for pid, line in self.belongings().items()
            if line and not any(name in line for name in daemons) and is_alive(pid)
        }

    def logs(self, size: int = 4_000) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-size:]}"
            for path in sorted((self.base / "log").glob("*.log"))
        )

    def destroy(self, *, keep: bool = False) -> None:
        """End everything; with ``keep`` leave the files."""
        self.thaw()
        for pid in self.belongings():
            # Looked up a moment ago by directory or command line: it is ours.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_S)
        # Tasks and spawners that were born meanwhile.
        wait_for(self._kill_rest, STOP_S, what="the end of all processes")
        if not keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def _kill_rest(self) -> bool:
        rest = [pid for pid in self.belongings() if is_alive(pid)]
        for pid in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not rest
