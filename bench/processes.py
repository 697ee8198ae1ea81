"""What processes take, from /proc: the measure that other work beside hardly moves."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, without its children's."""
    total = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(stat.read_text().split()[0])
        except (OSError, ValueError):  # a thread that has just ended
            continue
    return total / 1e9


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE / (1 << 20)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in file.read_text().split()]
    return found


class Meter:
    """CPU seconds of named processes since it was made."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def us_per(self, count: int) -> dict[str, float]:
        """Return microseconds of CPU by program, each for one of ``count`` things."""
        return {
            name: round((cpu_s(pid) - self._before[name]) * 1e6 / count, 2)
            for name, pid in self._pids.items()
        }

    def shares(self, seconds: float) -> dict[str, float]:
        """Return the share of a core by program."""
        return {
            name: (cpu_s(pid) - self._before[name]) / seconds
            for name, pid in self._pids.items()
        }
