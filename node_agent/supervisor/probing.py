"""File systems that do not answer: a task that needs one waits, the others do not.

The spawner enters a task's directory and opens its files itself. On a network file
system whose server is gone that takes for ever, and nothing else would be started,
stopped or reaped. So another process looks first: where a path lies on no local file
system, a small shell enters it, and the attempt waits aside until that has come back.
A path that answered a moment ago is not asked again, so a sweep costs a look a second.
What the look cannot tell, since a server may go between two calls, the reaper's does:
it kills a spawner that gives no sign of life (``--patience``).
"""

from __future__ import annotations

import os
import signal

from node_agent.supervisor.definition import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Queued
    from node_agent.supervisor.definition import Definition
    from node_agent.supervisor.node import Node

PATIENCE_S = 30.0
"""How long a file system may take, in seconds, before an attempt is given up here."""

FRESH_S = 1.0
"""How long an answer of a file system counts, in seconds; of a local one, a minute."""

LOCAL_S = 60.0
MOST_PATHS = 1000
MOST_LINKS = 40
MOUNTS = "/proc/self/mountinfo"
LOOK = 'cd -- "$1"; :'
TAG = {b"HPC_TASK": b"0.0.0", b"HPC_ATTEMPT": b"0"}
"""A look that hangs on after its spawner is no task's process."""

LOCAL = frozenset(
    (
        *("bcachefs", "btrfs", "devtmpfs", "ext2", "ext3", "ext4", "erofs", "exfat"),
        *("f2fs", "iso9660", "jfs", "overlay", "proc", "ramfs", "reiserfs", "rootfs"),
        *("squashfs", "sysfs", "tmpfs", "ubifs", "udf", "vfat", "xfs", "zfs"),
    )
)
"""Kinds of file systems that no other machine and no program answers for."""


class _Look:
    """A process that looks at a path, and who waits for it."""

    __slots__ = ("hangs", "path", "waiting")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.hangs = False
        self.waiting: list[Queued] = []


class Probes:
    """The looks of one spawner.

    Args:
        node: Whose clock and children.
        give_up: Called with an attempt and a path that does not answer.
    """

    def __init__(self, node: Node, give_up: Callable[[Queued, bytes], None]) -> None:
        self._node = node
        self._give_up = give_up
        self._good: dict[bytes, float] = {}
        self._last: tuple[Definition | None, float] = (None, 0.0)
        self._looks: dict[bytes, _Look] = {}
        self._by_pid: dict[int, _Look] = {}

    def must_wait(self, queued: Queued) -> bool:
        """Keep an attempt aside while a path of its is being looked at."""
        now = self._node.clock.boot()
        known, until = self._last
        if queued.definition is known and now < until:
            return False
        until = now + LOCAL_S
        for path in _paths(queued.definition):
            good = self._good.get(path, 0.0)
            if good > now:
                until = min(until, good)
                continue
            if (look := self._looks.get(path)) is None:
                if _is_local(path):
                    self._is_good(path, now + LOCAL_S)
                    continue
                look = self._begin(path)
                if look is None:
                    continue
            if look.hangs:
                self._give_up(queued, path)
            else:
                look.waiting.append(queued)
            return True
        self._last = queued.definition, until
        return False

    def _begin(self, path: bytes) -> _Look | None:
        shell = self._node.user.shell
        try:
            pid = os.posix_spawn(
                shell,
                [shell, b"-c", LOOK.encode(), b"hpc-probe", path],
                TAG,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0)
                    for number in range(3)
                ],
                setsid=True,
                setsigmask=(),
            )
        except OSError as error:
            self._node.warn(f"cannot look at {path!r}: {error}")
            return None
        look = self._looks[path] = self._by_pid[pid] = _Look(path)
        self._node.own.mains.add(pid)
        self._node.timers.after(PATIENCE_S, lambda: self._lose_patience(look, pid))
        return look

    def _lose_patience(self, look: _Look, pid: int) -> None:
        if self._by_pid.get(pid) is not look:
            return
        look.hangs = True
        os.kill(pid, signal.SIGKILL)  # it may not even die, but it may
        self._node.warn(f"the file system of {look.path!r} does not answer")
        waiting, look.waiting = look.waiting, []
        for queued in waiting:
            if not queued.dropped:
                self._give_up(queued, look.path)

    def reaped(self, pid: int) -> bool:
        """Take note that a child has ended; return whether it was a look."""
        look = self._by_pid.pop(pid, None)
        if look is None:
            return False
        self._node.own.mains.discard(pid)
        del self._looks[look.path]
        if not look.hangs:  # what it found is for the start itself to find again
            self._is_good(look.path, self._node.clock.boot() + FRESH_S)
        for queued in look.waiting:
            if not queued.dropped:
                self._node.table.line_up(queued)
        return True

    def _is_good(self, path: bytes, until: float) -> None:
        if len(self._good) >= MOST_PATHS:
            self._good.clear()
        self._good[path] = until


def _paths(definition: Definition) -> list[bytes]:
    """Return the directories that a start goes through, without those of elements."""
    found = [definition.cwd]
    files = [definition.stdin, definition.stdout, definition.stderr]
    for template in files:
        name = None if template is None else constant(template)
        if name is not None:
            found.append(os.path.dirname(os.path.join(definition.cwd, name)))
    if definition.common.program_path is not None:
        found.append(os.path.dirname(definition.common.program_path))
    return list(dict.fromkeys(path for path in found if b"\0" not in path))


def _is_local(path: bytes) -> bool:
    """Say whether a path, by its names alone, lies on local file systems.

    Nothing on the way is asked that could hang: a link is read only where what it lies
    in is local, and a mount point is known by its name.
    """
    mounts = _mounts()
    left, place, links = _parts(path), b"/", 0
    while _kind(mounts, place) in LOCAL:
        if not left:
            return True
        part = left.pop()
        step = os.path.dirname(place) if part == b".." else os.path.join(place, part)
        target = b"" if step in mounts or part == b".." else _target(step)
        if target and links < MOST_LINKS:
            links += 1
            left += _parts(target)
            step = b"/" if target.startswith(b"/") else place
        place = step
    return False


def _parts(path: bytes) -> list[bytes]:
    """Return the names in a path, the last first."""
    return [part for part in path.split(b"/") if part not in (b"", b".")][::-1]


def _target(path: bytes) -> bytes:
    try:
        return os.readlink(path)
    except OSError:  # no link, or not there
        return b""


def _kind(mounts: dict[bytes, str], place: bytes) -> str:
    while place not in mounts and place != b"/":
        place = os.path.dirname(place)
    return mounts.get(place, "")


def _mounts() -> dict[bytes, str]:
    """Return the kind of file system at each mount point; the latest counts."""
    found: dict[bytes, str] = {}
    with open(MOUNTS, "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            point = before.split(b" ")[4]
            for code, letter in ((b"040", b" "), (b"011", b"\t"), (b"012", b"\n")):
                point = point.replace(b"\\" + code, letter)
            found[point.replace(b"\\134", b"\\")] = after.split(b" ")[0].decode()
    return found
