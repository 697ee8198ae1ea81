"""Containment without cgroups: finding what an ended task has left behind.

Spawner and reaper are child subreapers, so whatever survives its parent, daemons that
changed their session included, becomes their direct child. One short read of the list
of children tells, in the common case, that there is nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal

from node_agent.supervisor import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Attempt

MAX_ROUNDS = 10


class Kin:
    """The children of one subreaper.

    Attributes:
        mains: Those that are main processes of attempts, or none of our business.
        elsewhere: Main processes that other threads have made. The kernel lists the
            children of each thread by itself; orphans become the first thread's.
        adopted: Others, with the attempt that each belongs to; None is not known.
    """

    __slots__ = ("_file", "_is_own", "_pid", "adopted", "elsewhere", "mains")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_own = pid == os.getpid()
        self._file = -1
        if procfs.HAS_CHILDREN_FILES:
            path = f"/proc/{pid}/task/{pid}/children"
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.mains: set[int] = set()
        self.elsewhere: set[int] = set()
        self.adopted: dict[int, Attempt | None] = {}

    def _children(self) -> list[int]:
        if self._file < 0:
            return procfs.children_of(self._pid)
        try:
            return [int(pid) for pid in procfs.read_all(self._file).split()]
        except OSError:  # the subreaper is gone
            return []

    def scan(self, owner_of: Callable[[int], Attempt | None]) -> list[int]:
        """Look for new orphans, find out whose they are; return the new ones."""
        children = self._children()
        known = len(self.mains) + len(self.adopted)
        if self._file < 0:
            known += len(self.elsewhere)
        if self._is_own and len(children) == known:
            return []  # nobody but us reaps them, so the number tells
        for pid in self.adopted.keys() - set(children):
            del self.adopted[pid]
        new = [
            pid
            for pid in children
            if not (pid in self.mains or pid in self.elsewhere or pid in self.adopted)
        ]
        for pid in new:
            self.adopted[pid] = owner_of(pid)
        return new

    def forget(self, pid: int) -> None:
        """Take note that a main process has ended."""
        self.mains.discard(pid)
        self.elsewhere.discard(pid)

    def of(self, attempt: Attempt) -> list[int]:
        """Return the orphans that belong to the attempt."""
        return [pid for pid, owner in self.adopted.items() if owner is attempt]

    def close(self) -> None:
        """Close the list of children."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_tree(roots: list[int], number: int) -> None:
    """Send a signal to the roots and all their descendants, new ones too."""
    sent: set[int] = set()
    for _ in range(MAX_ROUNDS):
        new = [pid for pid in procfs.descendants_of(roots) if pid not in sent]
        if not new:
            return
        for pid in new:
            sent.add(pid)
            send(pid, number)


def kill_tree(roots: list[int]) -> None:
    """Kill the roots and all their descendants; stop them first, lest they fork on."""
    signal_tree(roots, signal.SIGSTOP)
    for pid in procfs.descendants_of(roots):
        send(pid, signal.SIGKILL)
