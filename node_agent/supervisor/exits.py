"""Ends of processes that a reaper collects while no spawner is their parent.

They are kept in a file of JSON lines until a spawner has journalled them, so a reaper
that has none left to wait for may itself end.
"""

from __future__ import annotations

import contextlib
import json
import os

from node_agent.supervisor.procfs import allowed_cores, read_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from node_agent.supervisor.clock import Clock

MILLI = 1000


class Exit:
    """How a process ended.

    Attributes:
        boot_id: The boot in which it ran; process ids of another boot mean nothing.
        start_ticks: Its start, see procfs.Stat; 0 if that could not be read.
        session: Its session's id.
        status: Its wait status, see os.waitstatus_to_exitcode.
        user_ms: CPU time of it and of the children it waited for.
        max_rss_kb: The largest resident set among them.
        cores: Those that it was on, bit by bit; 0: not known.
        at: When it was collected, in seconds since 1970.
    """

    __slots__ = (
        "at",
        "boot_id",
        "cores",
        "max_rss_kb",
        "pid",
        "session",
        "start_ticks",
        "status",
        "system_ms",
        "user_ms",
    )

    def __init__(  # noqa: PLR0917 - in the order of the file's fields
        self,
        boot_id: str,
        pid: int,
        start_ticks: int,
        session: int,
        status: int,
        at: float,
        user_ms: int = 0,
        system_ms: int = 0,
        max_rss_kb: int = 0,
        cores: int = 0,
    ) -> None:
        self.boot_id = boot_id
        self.pid = pid
        self.start_ticks = start_ticks
        self.session = session
        self.status = status
        self.at = at
        self.user_ms = user_ms
        self.system_ms = system_ms
        self.max_rss_kb = max_rss_kb
        self.cores = cores

    def fields(self) -> list[Any]:
        """Return what the constructor takes, for JSON."""
        return [
            self.boot_id,
            self.pid,
            self.start_ticks,
            self.session,
            self.status,
            self.at,
            self.user_ms,
            self.system_ms,
            self.max_rss_kb,
            self.cores,
        ]


def wait_status(info: os.waitid_result) -> int:
    """Return the wait status that belongs to what waitid told."""
    if info.si_code == os.CLD_EXITED:
        return info.si_status << 8
    return info.si_status | (0x80 if info.si_code == os.CLD_DUMPED else 0)


def next_dead_child() -> os.waitid_result | None:
    """Return a child that has ended and leave it unreaped; None if none has.

    Raises:
        ChildProcessError: there are no children at all.
    """
    return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def collect_exits(
    boot_id: str, clock: Clock, keep: Callable[[Exit], None]
) -> Iterator[Exit]:
    """Reap every child that has ended; each is kept before it is reaped.

    Raises:
        ChildProcessError: there are no children left.
    """
    while (info := next_dead_child()) is not None:
        stat = read_stat(info.si_pid)
        ticks, session = (stat.start_ticks, stat.session) if stat else (0, 0)
        end = Exit(
            boot_id, info.si_pid, ticks, session, wait_status(info), clock.wall()
        )
        end.cores = allowed_cores(info.si_pid)
        keep(end)
        _, _, usage = os.wait4(info.si_pid, 0)
        end.user_ms = int(usage.ru_utime * MILLI)
        end.system_ms = int(usage.ru_stime * MILLI)
        end.max_rss_kb = usage.ru_maxrss
        yield end


class ExitFile:
    """The exits that no spawner has journalled yet, in memory and in a file."""

    __slots__ = ("_fd", "waiting")

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self.waiting: list[Exit] = []
        with open(os.dup(self._fd), "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, TypeError):  # a torn last line
                    self.waiting.append(Exit(*json.loads(line)))

    def keep(self, end: Exit) -> None:
        """Append an exit to the file; a full disk leaves it in memory only."""
        with contextlib.suppress(OSError):
            os.write(self._fd, json.dumps(end.fields()).encode() + b"\n")

    def drop(self, count: int) -> None:
        """Forget the first exits: a spawner has journalled them."""
        del self.waiting[:count]
        if not self.waiting:
            os.ftruncate(self._fd, 0)

    def rewrite(self) -> None:
        """Bring the file up to what is in memory, which knows the usage too."""
        lines = [json.dumps(end.fields()).encode() + b"\n" for end in self.waiting]
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.write(self._fd, b"".join(lines))
