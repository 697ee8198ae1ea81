"""The list of a task's hosts as MPI launchers want it (node-agent.md 3).

A task that sets CCP_MPI_HOSTFILE_FORMAT is given a file, made from CCP_NODES_CORES; its
path is in CCP_MPI_HOSTFILE. The file is the task's alone and goes when it ends.
"""

from __future__ import annotations

import contextlib
import os

FORMAT = b"CCP_MPI_HOSTFILE_FORMAT"
NODES = b"CCP_NODES_CORES"
PATH = b"CCP_MPI_HOSTFILE"

LAYOUTS = {b"1": b"%b:%b\n", b"2": b"%b slots=%b\n", b"3": b"%b %b\n"}
"""Line of a node by the value of the variable; any other value: names alone."""


def text_of(layout: bytes, nodes: bytes) -> bytes:
    """Return what is in the file.

    Args:
        layout: Value of CCP_MPI_HOSTFILE_FORMAT.
        nodes: Value of CCP_NODES_CORES: a count, then names and cores in turn.
    """
    words = nodes.split()[1:]
    pairs = zip(words[::2], words[1::2], strict=False)
    line = LAYOUTS.get(layout.strip())
    if line is None:
        return b"".join(b"%b\n" % name for name, _ in pairs)
    return b"".join(line % pair for pair in pairs)


def write(path: str, environment: dict[bytes, bytes], mode: int) -> None:
    """Write the file anew, and name it in the environment.

    Raises:
        OSError: it cannot be written.
    """
    remove(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    with open(descriptor, "wb") as file:
        file.write(text_of(environment[FORMAT], environment.get(NODES, b"")))
    environment[PATH] = os.fsencode(path)


def remove(path: str) -> None:
    """Remove the file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
