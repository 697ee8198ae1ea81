"""Containment by cgroups (version 2): no process of a task can leave its cgroup.

A process is born in its parent's cgroup, so the spawner enters a slot's cgroup, starts
the task and is out again before it ever kills or freezes that cgroup. Entering costs
10 to 30 microseconds in a burst but 8 milliseconds after a pause (the kernel waits for
an RCU grace period), so the spawner does not go home after each start: it stays in the
cgroup it was in last, and when idle moves into the one that the next task will get.

No controller is enabled: that would forbid processes in the cgroups above, and the
service manager could not start the unit again. Source: kernel, cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import zlib

from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node_agent.supervisor.clock import Clock

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
FREEZE_PATIENCE_S = 0.02
FREEZE_PAUSE_S = 0.0005
SMALL_READ = 4096
LINKS_OF_A_LEAF = 2
HOME = -1


class Cgroup:
    """One slot's cgroup: its directory, and the two files that the fast path reads."""

    __slots__ = ("events", "path", "procs")

    def __init__(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        self.path = path
        flags = os.O_CLOEXEC
        self.procs = os.open(os.path.join(path, "cgroup.procs"), os.O_RDWR | flags)
        self.events = os.open(os.path.join(path, "cgroup.events"), os.O_RDONLY | flags)

    def write(self, name: str, text: bytes) -> None:
        """Write one of the cgroup's files."""
        descriptor = os.open(os.path.join(self.path, name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the files."""
        os.close(self.procs)
        os.close(self.events)


def _nothing_is_born() -> None:
    """Wait for nobody."""


class Cgroups:
    """The slots' cgroups, below the cgroup that this process was started in.

    Attributes:
        before_moving: Called before this process goes elsewhere, all threads of it.
    """

    def __init__(self, directory: str, clock: Clock) -> None:
        """Find out whether cgroups can be used.

        Args:
            directory: The supervisor's own, which names its cgroups: several
                supervisors may share a cgroup.
            clock: For the moment that freezing takes.

        Raises:
            OSError: they cannot; the text says why.
        """
        self._clock = clock
        self.before_moving: Callable[[], None] = _nothing_is_born
        self._own = own_cgroup()
        self.base = os.path.join(self._own, cgroup_name(directory))
        self._slots: dict[int, Cgroup] = {}
        self._place = HOME
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.base)
        self._home = os.open(
            os.path.join(self._own, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC
        )
        try:
            self.enter(0)
            self.leave()
            for feature in ("cgroup.kill", "cgroup.freeze"):
                os.stat(os.path.join(self._slot(0).path, feature))
        except OSError:
            os.close(self._home)
            raise

    def _slot(self, number: int) -> Cgroup:
        slot = self._slots.get(number)
        if slot is None:
            slot = Cgroup(os.path.join(self.base, f"slot-{number}"))
            self._slots[number] = slot
        return slot

    def enter(self, number: int) -> None:
        """Move this process into the slot's cgroup; what it starts is born there.

        Raises:
            OSError: the kernel refuses, for example because of pids.max above.
        """
        if self._place == number:
            return
        self.before_moving()
        try:
            os.write(self._slot(number).procs, b"0")
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            self._slots.pop(number).close()  # somebody has removed it
            os.makedirs(self.base, exist_ok=True)
            os.write(self._slot(number).procs, b"0")
        self._place = number

    def way_into(self, number: int) -> int:
        """Return what a process that is to be in the slot's cgroup writes ``0`` to.

        No process is born in another cgroup than its parent's (``CLONE_INTO_CGROUP``):
        Linux 6.14 to 6.18 at least kill it at once if that cgroup was ever killed.

        Raises:
            OSError: it is not there and cannot be made.
        """
        try:
            os.pread(self._slot(number).procs, 1, 0)
        except OSError:  # somebody has removed it
            self._slots.pop(number).close()
            os.makedirs(self.base, exist_ok=True)
        return self._slot(number).procs

    def leave(self) -> None:
        """Move this process out of every slot's cgroup."""
        if self._place != HOME:
            self.before_moving()
            os.write(self._home, b"0")
            self._place = HOME

    def park(self, number: int) -> None:
        """While there is nothing to do, wait where the next task will begin."""
        if self._place != number:
            with contextlib.suppress(OSError):
                self.enter(number)

    def is_populated(self, number: int) -> bool:
        """Say whether a process of the task lives, in nested cgroups too."""
        slot = self._slot(number)
        if self._place == number:
            present = os.pread(slot.procs, SMALL_READ, 0).split()
            if present != [b"%d" % os.getpid()]:
                self.leave()
            elif os.stat(slot.path).st_nlink <= LINKS_OF_A_LEAF:
                return False
            else:
                self.leave()
        try:
            return b"populated 1" in os.pread(slot.events, SMALL_READ, 0)
        except OSError:  # only an empty one can have been removed
            return False

    def signal(self, number: int, wanted: int) -> None:
        """Send every process a signal; none can fork away from it.

        The cgroup is frozen meanwhile. Freezing takes a moment, and is given up after
        20 ms if a process is stuck in the kernel; the signals arrive all the same.
        """
        self._out_of(number)
        slot = self._slot(number)
        sent: set[int] = set()
        slot.write("cgroup.freeze", b"1")
        try:
            deadline = self._clock.boot() + FREEZE_PATIENCE_S
            while True:
                frozen = b"frozen 1" in os.pread(slot.events, SMALL_READ, 0)
                for pid in processes_in(slot.path):
                    if pid not in sent:
                        sent.add(pid)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, wanted)
                if frozen or not sent or self._clock.boot() > deadline:
                    return
                self._clock.pause(FREEZE_PAUSE_S)
        finally:
            slot.write("cgroup.freeze", b"0")

    def kill(self, number: int) -> None:
        """Send SIGKILL to everything in the cgroup and below it."""
        self._out_of(number)
        slot = self._slot(number)
        try:
            slot.write("cgroup.kill", b"1")
        except OSError as error:
            log(f"cgroup.kill: {error}")
            for pid in processes_in(slot.path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            slot.write("cgroup.freeze", b"0")

    def end_others(self, used: set[int], spared: set[int]) -> None:
        """Kill what lives in slots other than these; never processes of ours."""
        for name in os.listdir(self.base):
            number = name.removeprefix("slot-")
            if not number.isdigit() or int(number) in used:
                continue
            found = set(processes_in(os.path.join(self.base, name)))
            if found and not found & spared:
                log(f"cgroup {name}: processes of tasks that nobody knows are killed")
                self.kill(int(number))

    def _out_of(self, number: int) -> None:
        if self._place == number:
            self.leave()

    def holds(self, pid: int) -> int | None:
        """Return the slot in whose cgroup a process is, None if it is in none."""
        try:
            with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
                path = unified_path(file.read())
        except OSError:
            return None
        _, found, rest = (path or "").partition(f"/{os.path.basename(self.base)}/slot-")
        number = rest.split("/", 1)[0]
        return int(number) if found and number.isdigit() else None

    def remove_nested(self, number: int) -> None:
        """Remove what a task that is gone has made below its cgroup."""
        path = self._slot(number).path
        if os.stat(path).st_nlink > LINKS_OF_A_LEAF:
            for folder, _, _ in os.walk(path, topdown=False):
                if folder != path:
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)

    def path_of(self, number: int) -> str:
        """Return the directory of a slot's cgroup."""
        return self._slot(number).path

    def close(self) -> None:
        """Leave, and remove every cgroup that is empty."""
        with contextlib.suppress(OSError):
            self.leave()
        for slot in self._slots.values():
            slot.close()
        self._slots.clear()
        os.close(self._home)
        for folder, _, _ in os.walk(self.base, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def cgroup_name(directory: str) -> str:
    """Return what the cgroup of a supervisor's tasks is called."""
    return f"hpc-tasks-{zlib.crc32(os.fsencode(directory)):08x}"


def own_cgroup() -> str:
    """Return the directory of the cgroup that this process is in.

    Raises:
        OSError: no cgroup version 2 is mounted.
    """
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        path = unified_path(file.read())
    for mount in MOUNTS:
        if path is not None and os.path.exists(os.path.join(mount, "cgroup.procs")):
            own = os.path.normpath(mount + path)
            if os.path.exists(os.path.join(own, "cgroup.procs")):
                return own
    raise OSError("no cgroup version 2 is mounted")


def unified_path(text: str) -> str | None:
    """Return the path of version 2 in the contents of a /proc/PID/cgroup."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


def processes_in(path: str) -> Iterator[int]:
    """Return the processes of a cgroup and of those below it."""
    for folder, _, _ in os.walk(path):
        try:
            with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
                yield from map(int, file.read().split())
        except OSError:
            continue
