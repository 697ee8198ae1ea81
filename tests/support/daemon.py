"""A real hpcschedd for tests: its process, its files, its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from hpcsched.client import Client
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Imports on a busy machine take their time, seconds.
PATIENCE_S = 60.0
PROGRAM = (sys.executable, "-m", "hpcsched.daemon.main")


def run(
    *arguments: object, timeout: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Daemon:
    """One hpcschedd on free loopback ports, its state in a folder of the test's.

    Attributes:
        ready: What the ready file says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.ready_file = folder / "ready.json"
        self.admin_file = folder / "admin.token"
        self.node_file = folder / "node.token"
        self.log_file = folder / "log"
        self.ready: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def arguments(self) -> list[str]:
        return [
            "--state-dir",
            str(self.state),
            "--listen",
            "127.0.0.1:0",
            "--agent-listen",
            "127.0.0.1:0",
            "--insecure-loopback",
            "--ready-file",
            str(self.ready_file),
            "--bootstrap-admin-token",
            str(self.admin_file),
            "root",
            "--bootstrap-node-token",
            str(self.node_file),
        ]

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        log: int | None = None,
    ) -> None:
        """Start it and wait until it serves; its log goes to a descriptor if given."""
        self.ready_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as file:
            output = file if log is None else log
            self._process = subprocess.Popen(
                [*PROGRAM, *self.arguments, *arguments],
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )
        wait_for(self._serves, PATIENCE_S, what=f"a ready file; {self.log_file}")
        self.ready = json.loads(self.ready_file.read_text())

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def client(self) -> Client:
        """Return an administrator's client."""
        token = self.admin_file.read_text().strip()
        return Client.to(self.ready["address"], token=token)

    def stop(self, number: int) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def destroy(self) -> None:
        """End it whatever happens."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.log
        return self.ready_file.exists()
