"""Whether the kernel's out-of-memory killer has struck lately.

A SIGKILL does not say who sent it. Without a memory controller for each task, all there
is is a counter: of the cgroup above the tasks where it has one, else of the machine. It
is sampled once a second while tasks run, and read again when one dies of a SIGKILL that
is not ours. Source: cgroup-v2.rst (memory.events), proc(5) (/proc/vmstat).
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY_S = 5.0
"""How old, in seconds, a kill may be that explains a death: a large process takes its
time to give its memory back before it can be reaped."""


class OomCounter:
    """The number of out-of-memory kills, with a short memory."""

    __slots__ = ("_paths", "_samples")

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float) -> None:
        """Take note of the counter."""
        self._samples.append((now, self._count()))
        while len(self._samples) > 1 and self._samples[1][0] <= now - MEMORY_S:
            self._samples.popleft()

    def has_struck(self) -> bool:
        """Say whether the counter has grown in the last seconds."""
        return bool(self._samples) and self._count() > self._samples[0][1]

    def _count(self) -> int:
        for path in self._paths:
            try:
                with open(path, encoding="ascii") as file:
                    for line in file:
                        name, _, value = line.partition(" ")
                        if name == "oom_kill":
                            return int(value)
            except (OSError, ValueError):
                continue
        return 0
