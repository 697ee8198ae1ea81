"""What is measured: a whole cluster of ``hpc up``, or a head alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Self

from bench.processes import children
from hpcsched.client.aio import AsyncClient

BIN = Path(sys.executable).parent
HPC = BIN / "hpc"
ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0


class Cluster:
    """A cluster of one node with two cores in a directory of its own.

    Args:
        directory: Where it keeps everything.
        cgroup: Whether tasks get a cgroup each. An ordinary user's do not.

    Attributes:
        pids: Its programs by name.
    """

    def __init__(self, directory: Path, cgroup: str = "off") -> None:
        self._directory = directory
        self._cgroup = cgroup
        self.pids: dict[str, int] = {}
        self.environ: dict[str, str] = {}

    def __enter__(self) -> Self:
        state = self._directory.parent / "state"
        self.environ = {**os.environ, "XDG_STATE_HOME": str(state)}
        up = [str(HPC), "up", "--detach", "--json", "--nodes", "1", "--cores", "2"]
        up += ["--cgroup", self._cgroup]
        told = subprocess.run(
            [*up, "--dir", str(self._directory)],
            check=True,
            capture_output=True,
            text=True,
            env=self.environ,
        )
        self._told = json.loads(told.stdout)
        started = json.loads((self._directory / "processes.json").read_text())
        self.pids = {
            name.rpartition(".")[2]: entry["pid"] for name, entry in started.items()
        }
        # The unit's own process, below it the reaper, below that the spawner.
        for reaper in children(self.pids["supervisor"])[:1]:
            for spawner in children(reaper)[:1]:
                self.pids.update(supervisor=spawner, reaper=reaper)
        return self

    def __exit__(self, *_: object) -> None:
        down = [str(HPC), "down", "--dir", str(self._directory)]
        subprocess.run(down, check=True, capture_output=True, env=self.environ)

    def client(self) -> AsyncClient:
        """Return a client."""
        token = Path(self._told["token_file"]).read_text().strip()
        return AsyncClient.to(self._told["address"], token=token)


class Head:
    """A head alone, with real ports and a store on disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = self.agent_address = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def start(self) -> float:
        """Start it, or start it again; return the seconds until it serves."""
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        begin = time.perf_counter()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(BIN / "hpcschedd"), "--insecure-loopback"),
                    *("--state-dir", str(self.directory / "state")),
                    *("--listen", self.address or "127.0.0.1:0"),
                    *("--agent-listen", self.agent_address or "127.0.0.1:0"),
                    *("--ready-file", str(ready)),
                    *("--bootstrap-admin-token", str(self.directory / "admin"), "ada"),
                    *("--bootstrap-node-token", str(self.directory / "node")),
                ],
                stdout=log,
                stderr=log,
            )
        while not ready.exists():
            if self._process.poll() is not None:
                raise RuntimeError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.002)
        took = time.perf_counter() - begin
        told = json.loads(ready.read_text())
        self.address, self.agent_address = told["address"], told["agent_address"]
        return took

    def kill(self) -> None:
        """Kill it, without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def client(self) -> AsyncClient:
        """Return an administrator's client."""
        token = (self.directory / "admin").read_text().strip()
        return AsyncClient.to(self.address, token=token)


class Helper:
    """A program of the benchmark in a process of its own, told and asked in JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()
        self._process.terminate()
        self._process.wait()

    def hear(self) -> dict[str, Any]:
        """Return the next that it says, however long that takes."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("a program of the benchmark has ended")
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, word: str) -> dict[str, Any]:
        """Say a word, return the answer."""
        pipe = _pipe(self._process.stdin)
        pipe.write(word.encode() + b"\n")
        pipe.flush()
        return self.hear()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
