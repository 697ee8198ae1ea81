"""The nursery: a small process, ready as root, of which tasks of other accounts begin.

It has loaded what a start needs and nothing else: no order, no file and no variable of
any task is ever in it. For each order it makes a copy of itself that is the *spawner's*
child from its first instant (``CLONE_PARENT``). The copy enters the task's cgroup,
tells its process id and waits: it does nothing of the task before the spawner, having
that number in its journal, lets it go. A copy whose spawner died reads the end of its
gate instead, and ends; so an attempt whose process id nobody has on record has never
been started.
"""

from __future__ import annotations

import array
import ctypes
import gc
import os
import signal
import socket

from node_agent.supervisor import dropping
from node_agent.supervisor.commands import CHANNEL_FD
from node_agent.supervisor.linux import IGNORED_BY_PYTHON, name_this_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SYS_CLONE3 = 435  # of every architecture; Linux 5.3
CLONE_PARENT = 0x8000

GO = b"go"
FAILED = b"!"
GIVEN = 6
"""Gate, then stdin, stdout, stderr, order and failure: what they become are 0 to 4; and
perhaps the file that leads into a cgroup."""

HIGH = 32
GATE_FD = 5
LAST_FD = 1024
WORD = 16

# Held, for whoever calls into Python's own state must hold its lock.
_libc = ctypes.PyDLL(None, use_errno=True)


class _CloneArgs(ctypes.Structure):
    """struct clone_args in its first version, see clone3(2)."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid"),
            *("exit_signal", "stack", "stack_size", "tls"),
        )
    )


def serve() -> NoReturn:
    """Make a copy per order until the spawner is gone; return never."""
    name_this_process("hpc-nursery")
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number not in IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    dropping.hide_memory()
    channel = socket.socket(fileno=CHANNEL_FD)
    channel.set_inheritable(False)
    gc.collect()
    gc.freeze()  # what is never looked at again is never copied
    while True:
        given = _receive(channel)
        if not given:
            os._exit(0)
        try:
            pid = _copy()
        except OSError as error:
            _tell(given[0], FAILED + b"%d" % (error.errno or 0))
        else:
            if pid == 0:
                _begin(given)
        for descriptor in given:
            os.close(descriptor)


def _receive(channel: socket.socket) -> list[int]:
    """Return the descriptors of the next order, none when the spawner is gone."""
    found = array.array("i")
    room = socket.CMSG_SPACE((GIVEN + 1) * found.itemsize)
    data, parts, _, _ = channel.recvmsg(WORD, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in parts:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(content) - len(content) % found.itemsize
            found.frombytes(content[:whole])
    return list(found) if data else []


def _copy() -> int:
    """Make a copy of this process, a child of its parent; return 0 in the copy.

    Raises:
        OSError: the kernel refuses.
    """
    arguments = _CloneArgs(flags=CLONE_PARENT)
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc.syscall(SYS_CLONE3, ctypes.byref(arguments), size)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    number = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number), "clone3")
    return pid


def _begin(given: list[int]) -> NoReturn:
    """Take the order's descriptors, tell the process id, wait, and go; return never."""
    try:
        for way in given[GIVEN:]:
            _enter(way, given[0])
        os.setsid()
        high: list[int] = []
        for descriptor in given[:GIVEN]:
            high.append(HIGH + len(high))
            os.dup2(descriptor, high[-1], inheritable=False)
        gate, *others = high
        for target, descriptor in enumerate(others):
            os.dup2(descriptor, target)
        os.dup2(gate, GATE_FD, inheritable=False)
        os.closerange(GATE_FD + 1, LAST_FD)
        os.write(GATE_FD, b"%d" % os.getpid())
        is_let_go = os.read(GATE_FD, WORD) == GO
    except OSError:
        is_let_go = False
    if is_let_go:
        os.close(GATE_FD)
        dropping.run_task()
    os._exit(dropping.EXIT_NOT_STARTED)


def _enter(cgroup: int, gate: int) -> None:
    """Enter the task's cgroup, before there can be a second process of the task."""
    try:
        os.write(cgroup, b"0")
    except OSError as error:
        _tell(gate, FAILED + b"%d" % (error.errno or 0))
        raise


def _tell(gate: int, text: bytes) -> None:
    try:
        os.write(gate, text)
    except OSError:  # the spawner has died meanwhile
        return
