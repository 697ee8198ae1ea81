"""The processes of a local cluster: starting them, and knowing them again.

Only a process that was recorded is ever signalled, and only while it is still the same
one: its start time, program and directory are compared before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpcsched.cli.local.layout import load, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.cli.local.layout import Layout
    from hpcsched.common.clock import Clock

HEAD: Final = "hpcschedd"
AGENT: Final = "hpc-node-agent"
SUPERVISOR: Final = "hpc-task-supervisor"

#: Modules of the programs, for an installation without their scripts.
_MODULES: Final = {
    HEAD: "hpcsched.daemon.main",
    AGENT: "node_agent.main",
    SUPERVISOR: "node_agent.supervisor.main",
}
_BOOT: Final = (
    "import sys; del sys.argv[0]; from {module} import main; sys.exit(main())"
)

#: Between two looks at whether something has come about, seconds.
LOOK_S: Final = 0.02

LONGEST_TAIL: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A process that was started.

    Attributes:
        pid: Its process id.
        start: Its start in clock ticks since boot; with the pid it names the process.
        program: Name of its program.
        command: Its whole command line.
    """

    pid: int
    start: int
    program: str
    command: tuple[str, ...]


def command_of(program: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of one of our programs, its script if there is one."""
    places = (
        Path(sys.argv[0]).resolve().parent,
        Path(sys.executable).parent,
        Path(sysconfig.get_path("scripts")),
    )
    for place in places:
        script = place / program
        if script.is_file() and os.access(script, os.X_OK):
            return (str(script), *arguments)
    boot = _BOOT.format(module=_MODULES[program])
    return (sys.executable, "-c", boot, program, *arguments)


class Processes:
    """What was started in one cluster directory; kept in a file of it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        found = load(layout.processes_file) or {}
        self._records = {
            name: Record(**{**entry, "command": tuple(entry["command"])})
            for name, entry in found.items()
        }

    def names(self) -> Sequence[str]:
        """Return the names of what was recorded, running or not."""
        return tuple(self._records)

    def get(self, name: str) -> Record | None:
        """Return what was recorded under a name."""
        return self._records.get(name)

    def start(self, name: str, program: str, command: Sequence[str]) -> None:
        """Start a program with a log of its own, in a session of its own.

        Raises:
            OSError: it cannot be started.
        """
        with self._layout.log(name).open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._layout.root,
                env=environment(os.environ),
                start_new_session=True,
            )
        self._children[name] = child
        self._records[name] = Record(
            pid=child.pid,
            start=start_ticks(child.pid) or 0,
            program=program,
            command=tuple(command),
        )
        self._save()

    def is_running(self, name: str) -> bool:
        """Say whether what was recorded still runs, and is still the same process."""
        child = self._children.get(name)
        if child is not None and child.poll() is not None:
            return False
        record = self._records.get(name)
        return record is not None and is_same(record, str(self._layout.root))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that was recorded, if it is still the same."""
        record = self._records.get(name)
        if record is None or not self.is_running(name):
            return
        try:
            handle = os.pidfd_open(record.pid)
        except ProcessLookupError:
            return
        try:
            # The handle holds on to the process while it is looked at once more.
            if is_same(record, str(self._layout.root)):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    async def stop(self, name: str, clock: Clock, *, patience_s: float) -> None:
        """End a process: SIGTERM, and after the patience SIGKILL."""
        self.signal(name, signal.SIGTERM)
        if not await self.wait_gone(name, clock, patience_s):
            self.signal(name, signal.SIGKILL)
            await self.wait_gone(name, clock, patience_s)
        self.forget(name)

    async def wait_gone(self, name: str, clock: Clock, patience_s: float) -> bool:
        """Return whether a process ended within the time."""
        deadline = clock.mono() + patience_s
        while self.is_running(name):
            if clock.mono() > deadline:
                return False
            await clock.sleep(LOOK_S)
        return True

    def forget(self, name: str) -> None:
        """Take a process out of the record."""
        if self._records.pop(name, None) is not None:
            self._save()

    def tail(self, name: str) -> str:
        """Return the last lines of a process's log."""
        try:
            text = self._layout.log(name).read_bytes()[-4096:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LONGEST_TAIL:])

    def _save(self) -> None:
        entries = {name: asdict(record) for name, record in self._records.items()}
        save(self._layout.processes_file, entries)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for daemons: the user's, without what steers clients.

    A service manager's socket and watchdog are the caller's, not theirs.
    """
    dropped = ("HPC_", "GRPC_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
    return {k: v for k, v in environ.items() if not k.startswith(dropped)}


def start_ticks(pid: int) -> int | None:
    """Return when a process started; None where there is none, or it has ended."""
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
        fields = data[data.rindex(b")") + 2 :].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def is_same(record: Record, directory: str) -> bool:
    """Say whether a recorded process is still there, by start, program and DIR."""
    if start_ticks(record.pid) != record.start:
        return False
    try:
        line = Path(f"/proc/{record.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if line == [b""]:
        return True  # halfway through its exec: a child has no command line then
    program, root = os.fsencode(record.program), os.fsencode(directory)
    has_program = any(os.path.basename(word) == program for word in line)  # noqa: PTH119 - bytes
    return has_program and any(word.startswith(root) for word in line)
