"""The few system calls that Python has no function for, and descriptor hygiene."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PR_SET_CHILD_SUBREAPER = 36
SFD_NONBLOCK = os.O_NONBLOCK
SFD_CLOEXEC = os.O_CLOEXEC
SIGNALFD_INFO_BYTES = 128
SIGSET_BYTES = 128  # glibc and musl
FIRST_PRIVATE_FD = 3

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

FRONT_NAME = "hpc-supervisor"
REAPER_NAME = "hpc-reaper"
"""Names of the processes that reap for a spawner, see ``name_this_process``."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process instead of init's.

    Raises:
        OSError: the kernel is older than 3.4.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER. It is kept across exec, not by children.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "PR_SET_CHILD_SUBREAPER")


def signal_descriptor(signals: Iterable[signal.Signals]) -> int:
    """Block the signals and return a descriptor from which they are read.

    Nothing runs between two instructions of ours because of a signal, and a burst of
    SIGCHLD costs one read.

    Raises:
        OSError: signalfd(2) failed.
    """
    wanted = list(signals)
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    word_bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    mask = (ctypes.c_ulong * (8 * SIGSET_BYTES // word_bits))()
    for number in wanted:
        mask[(number - 1) // word_bits] |= 1 << ((number - 1) % word_bits)
    descriptor: int = _libc.signalfd(-1, ctypes.byref(mask), SFD_NONBLOCK | SFD_CLOEXEC)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "signalfd")
    return descriptor


def read_signals(descriptor: int) -> set[int]:
    """Return the numbers of the signals that have arrived since the last call."""
    arrived: set[int] = set()
    while True:
        try:
            data = os.read(descriptor, 16 * SIGNALFD_INFO_BYTES)
        except BlockingIOError:
            return arrived
        arrived.update(
            int.from_bytes(data[start : start + 4], sys.byteorder)
            for start in range(0, len(data), SIGNALFD_INFO_BYTES)
        )
        if len(data) < 16 * SIGNALFD_INFO_BYTES:
            return arrived


def default_signals() -> None:
    """Undo what the starter of this process ignored, so that no task inherits it.

    SIGPIPE and SIGXFSZ stay ignored, as Python needs them: launch.py resets the two
    in each child. A handler of ours is reset by exec by itself.
    """
    kept = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}
    for number in signal.valid_signals():
        if number not in kept and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def keep_descriptors_from_children() -> None:
    """Mark every descriptor but 0, 1 and 2 close-on-exec, and fill gaps below 3."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor >= FIRST_PRIVATE_FD:
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)  # noqa: FBT003
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= FIRST_PRIVATE_FD:
            try:
                os.set_inheritable(int(name), False)  # noqa: FBT003
            except OSError:  # the one that listed the directory
                continue


def name_this_process(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show (15 characters)."""
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(name[:15])
    except OSError:
        return
