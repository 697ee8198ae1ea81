"""What a process uses, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def memory_kib(pid: int | None = None) -> int:
    """Return the resident memory of a process, KiB; by default our own."""
    return _status(pid, "VmRSS")


def threads(pid: int | None = None) -> int:
    """Return the threads of a process."""
    return _status(pid, "Threads")


def descriptors(pid: int | None = None) -> int:
    """Return how many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid or os.getpid()}/fd").iterdir())


def _status(pid: int | None, key: str) -> int:
    text = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ValueError(key)
