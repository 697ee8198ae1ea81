"""The spawner's end of the nursery: the process that tasks of other accounts come from.

A start of a task as another account costs 9 ms of processor time in all, with a copy of
one process that is ready; it cost 27 with a Python of its own. What the nursery is, and
why at most one process follows from an order: ``bearing.py``.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import signal
import socket

from node_agent.supervisor import bearing, commands
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from node_agent.supervisor.cgroup import Cgroups

PATIENCE_MS = 5000
"""How long, in milliseconds, a copy may take to say that it is there."""

TRIES = 2


class Gate:
    """Behind it the process of one attempt waits to be let go.

    Attributes:
        pid: Its process id, 0 until it has told it.
    """

    __slots__ = ("_socket", "pid")

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self.pid = 0

    def hear(self) -> None:
        """Wait for the process.

        Raises:
            TimeoutError: none has come in time.
            EOFError: none will: the nursery has died.
            OSError: none could be made.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(PATIENCE_MS):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        try:
            data = self._socket.recv(bearing.WORD)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        if data.startswith(bearing.FAILED):
            number = int(data[len(bearing.FAILED) :])
            raise OSError(number, os.strerror(number))
        self.pid = int(data)

    def open(self) -> None:
        """Let the process go: from here on it becomes the task."""
        with contextlib.suppress(OSError):  # it was killed: its status will tell
            self._socket.send(bearing.GO)
        self.close()

    def close(self) -> None:
        """Close the gate. A process that still waits ends, and was never the task."""
        self._socket.close()


class Nursery:
    """Starts the process, keeps it at hand, and starts it again when it has died.

    Args:
        mains: Children that are none of a task's: its own process is put there.
        cgroups: Its process must be in none of the slots'.
    """

    def __init__(self, mains: set[int], cgroups: Cgroups | None) -> None:
        self._mains = mains
        self._cgroups = cgroups
        self._socket: socket.socket | None = None
        self.pid = 0

    def make_ready(self) -> None:
        """Start the process if there is none.

        Raises:
            OSError: it cannot be started.
        """
        if self._socket is not None:
            return
        if self._cgroups is not None:
            self._cgroups.leave()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = commands.command_of_nursery()
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
        try:
            self.pid = os.posix_spawn(
                command[0],
                command,
                {},  # no variable of the service is ever a task's
                file_actions=[
                    null,
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), commands.CHANNEL_FD),
                ],
                setsigmask=(),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._mains.add(self.pid)
        self._socket = ours

    def bear(self, descriptors: Sequence[int], slot: int | None) -> Gate:
        """Return the gate behind which a new process waits.

        The order may be given twice, to a second nursery if the first one died: what
        nobody lets go never becomes a task.

        Args:
            descriptors: What becomes 0 to 4 in the process.
            slot: In whose cgroup it is, None: in none of a task's.

        Raises:
            OSError: there is none.
        """
        more = []
        if slot is not None and self._cgroups is not None:
            more.append(self._cgroups.way_into(slot))
        for _ in range(TRIES):
            self.make_ready()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            gate = Gate(ours)
            try:
                with theirs:
                    self._send([theirs.fileno(), *descriptors, *more])
                gate.hear()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                gate.close()
                self.close()
            except TimeoutError:
                gate.close()
                self.close()
                raise
            except OSError:
                gate.close()
                raise
            else:
                return gate
        raise OSError(errno.ECHILD, "the nursery died twice")

    def _send(self, descriptors: list[int]) -> None:
        if self._socket is not None:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            self._socket.sendmsg(
                [b"bear"], [(*rights, array.array("i", descriptors).tobytes())]
            )

    def reaped(self, pid: int) -> bool:
        """Take note of a child that has ended; say whether it was the nursery."""
        if not pid or pid != self.pid:
            return False
        self._mains.discard(pid)
        self.pid = 0
        if self._socket is not None:
            log("the nursery has died; the next start makes another")
            self._socket.close()
            self._socket = None
        return True

    def close(self) -> None:
        """End the process at once; whoever reaps it tells ``reaped``."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
