"""The command lines of the supervisor's own processes.

Each carries the program's name and its directory, so that ``ps`` and ``pgrep -f`` tell
whose it is. Roles start without site-packages: 3 MB and 10 ms less each.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PROGRAM = "hpc-task-supervisor"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from node_agent.supervisor.main import run_role; "
    "raise SystemExit(run_role(sys.argv[3:]))"
)

NURSERY_PROGRAM = "hpc-task-start"
NURSERY_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from node_agent.supervisor.bearing import serve; serve()"
)

REAPER = "reaper"
SPAWNER = "spawner"
CHECK = "check"

SELF = "self"
OWNER = "owner"
"""Whose account a task has: ``--run-as``."""

MIN_UID = 1000
"""Below it are the accounts of the system (login.defs(5), UID_MIN)."""

PRIVILEGED = ("disk", "docker", "kmem", "libvirt", "lxd", "shadow", "sudo", "wheel")
"""Groups whose members can become root by themselves."""

CHANNEL_FD = 3
"""Where a spawner finds its channel to the reaper, and a nursery its to the spawner."""

EXIT_CANNOT_START = 3
"""The spawner's exit status when trying again would not help."""

EXIT_SHUT_DOWN = 4
"""The spawner's exit status after the agent's ``shutdown``, or ``--end-tasks``."""


class Config:
    """What every role is told.

    Attributes:
        directory: Everything of this supervisor lives in it. Absolute.
        socket: Where the agent connects.
        group: Group id that may use the socket and read outputs, None for nobody.
        cgroup: ``auto``, ``off`` or ``require``.
        sync_ms: The longest time, in milliseconds, that a record is unsynced.
        node: The node's name, told to the agent and in the process list.
        boot_id_path: Where the kernel tells which boot this is.
        alive_ms: How often the spawner gives a sign of life, 0 for never.
        patience_ms: After so long without an answer it hangs, and is replaced.
        run_as: ``self``: tasks have the supervisor's own account; ``owner``: that
            which their job names, or its owner's.
        min_uid: No task has a user id below it.
        privileged: Names of groups whose members' tasks are refused.
        new_privileges: Whether setuid programs give such tasks what they promise.
    """

    __slots__ = (
        "alive_ms",
        "boot_id_path",
        "cgroup",
        "directory",
        "group",
        "min_uid",
        "new_privileges",
        "node",
        "patience_ms",
        "privileged",
        "run_as",
        "socket",
        "sync_ms",
    )

    def __init__(
        self,
        *,
        directory: str,
        socket: str,
        group: int | None = None,
        cgroup: str = "auto",
        sync_ms: int = 100,
        node: str = "",
        boot_id_path: str = "/proc/sys/kernel/random/boot_id",
        alive_ms: int = 0,
        patience_ms: int = 20_000,
        run_as: str = SELF,
        min_uid: int = MIN_UID,
        privileged: Sequence[str] = PRIVILEGED,
        new_privileges: bool = False,
    ) -> None:
        self.directory = directory
        self.socket = socket
        self.group = group
        self.cgroup = cgroup
        self.sync_ms = sync_ms
        self.node = node
        self.boot_id_path = boot_id_path
        self.alive_ms = alive_ms
        self.patience_ms = patience_ms
        self.run_as = run_as
        self.min_uid = min_uid
        self.privileged = tuple(privileged)
        self.new_privileges = new_privileges

    def path(self, *names: str) -> str:
        """Return a path below the supervisor's directory."""
        return os.path.join(self.directory, *names)

    def boot_id(self) -> str:
        """Return the id of this boot.

        Raises:
            OSError: the file cannot be read.
        """
        with open(self.boot_id_path, encoding="ascii") as file:
            return file.read().strip()

    def settings(self) -> Mapping[str, Any]:
        """Return what the constructor takes."""
        return {name: getattr(self, name) for name in self.__slots__}


def command_of(role: str, config: Config) -> list[str]:
    """Return the command line of a role; it works from any directory."""
    return [
        sys.executable,
        *("-I", "-S", "-X", "utf8", "-c", BOOT, ROOT),
        *(PROGRAM, role, "--dir", config.directory),
        *("--config", json.dumps(config.settings())),
    ]


def command_of_nursery() -> list[str]:
    """Return the command line of the program that other accounts' tasks come from.

    Its name is not the supervisor's: a copy of it is a task's process already.
    """
    options = ("-I", "-S", "-X", "utf8", "-c", NURSERY_BOOT, ROOT, NURSERY_PROGRAM)
    return [sys.executable, *options]


def config_of(arguments: list[str]) -> Config:
    """Return the configuration in a role's arguments (``--dir D --config JSON``)."""
    settings = json.loads(arguments[arguments.index("--config") + 1])
    known = {key: value for key, value in settings.items() if key in Config.__slots__}
    return Config(**known)
