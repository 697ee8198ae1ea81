"""What a user's task names: its program, and the files of its streams."""

from __future__ import annotations

import errno
import os
import stat

from node_agent.supervisor.failure import StartFailedError

OUTPUT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FILE_FLAGS = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def find_program(program: bytes, environment: dict[bytes, bytes]) -> bytes:
    """Return the path of a program as execvp(3) finds it in the task's PATH.

    Raises:
        OSError: ENOENT if there is none, EACCES if none may be executed.
    """
    if not program:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if b"/" in program:
        return program
    denied = False
    for folder in environment.get(b"PATH", os.defpath.encode()).split(b":"):
        path = os.path.join(folder or b".", program)
        if not os.path.isfile(path):
            continue
        if os.access(path, os.X_OK):
            return path
        denied = True
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, os.strerror(number))


def same_path(first: bytes, second: bytes) -> bool:
    """Say whether two paths are spelt for one file."""
    return os.path.normpath(first) == os.path.normpath(second)


def open_file(code: str, path: bytes, flags: int, opened: list[int]) -> int:
    """Open a file of the user's; never wait for the other end of a FIFO.

    Raises:
        StartFailedError: it cannot be opened, or is a directory, disk or socket.
    """
    try:
        descriptor = os.open(path, flags | FILE_FLAGS, 0o666)
        opened.append(descriptor)
        mode = os.fstat(descriptor).st_mode
        os.set_blocking(descriptor, True)
    except (OSError, ValueError) as error:
        raise StartFailedError(code, error, path) from None
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise StartFailedError(code, OSError(number, os.strerror(number)), path)
    return descriptor
