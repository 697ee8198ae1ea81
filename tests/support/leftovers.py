"""A run leaves no process: whatever survives it is named, ended and a failure.

What a test starts inherits a mark of the run in its environment; tasks, which inherit
nothing, work below a directory of the run.
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.polling import NotReachedError, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

#: No name of ours: programs do not hand those on to each other.
VARIABLE = "SUITE_RUN"
#: What ends by itself when the run does may take so long, seconds.
LATENESS_S = 10.0


def run_mark() -> str:
    """Return the mark of this run, the same one in each of its processes."""
    return os.environ.setdefault(VARIABLE, uuid.uuid4().hex[:8])


def left_behind(folders: Sequence[Path]) -> dict[int, str]:
    """End what this run has left; return it by process id, with its command line.

    Args:
        folders: Of this run: whose directory or command line is in one belongs to it.
    """

    def look() -> dict[int, str]:
        return survivors(folders)

    try:
        wait_for(look, LATENESS_S, until=lambda found: not found)
    except NotReachedError:
        found = look()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it bears the mark of this very run
        return found
    return {}


def survivors(folders: Sequence[Path]) -> dict[int, str]:
    """Return the processes of this run, but for those that run its tests."""
    variable = f"{VARIABLE}={run_mark()}".encode()
    places = [str(run_mark()).encode(), *(os.fsencode(folder) for folder in folders)]
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended, or is another user's
            line = (process / "cmdline").read_bytes()
            marks = [line, os.fsencode((process / "cwd").readlink())]
            ours = variable in (process / "environ").read_bytes().split(b"\0") or any(
                place in mark for place in places for mark in marks
            )
            if line and ours and not is_worker(line):
                text = line.decode(errors="replace").replace("\0", " ").strip()
                found[int(process.name)] = text
    return found


def is_worker(line: bytes) -> bool:
    """Say whether it runs tests; ``pytest-xdist`` ends its own."""
    return b"sys.stdin.readline" in line and b"exec(eval(" in line
