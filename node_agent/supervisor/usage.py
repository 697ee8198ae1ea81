"""What running tasks use: read when the agent asks, a bounded number at a time.

Times are those that /proc has of the processes that live, and of those of their
children that have ended and were waited for. So they come from the same counters as the
final ones, which the kernel tells when the main process is reaped.
Source: proc(5), node-agent.md 10.
"""

from __future__ import annotations

import os
from itertools import islice

from node_agent.supervisor import procfs
from node_agent.supervisor.cgroup import processes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.node import Node

YOUNGEST_S = 1.0
"""Attempts that have lived for less are not looked at: most are over soon."""
MOST_TASKS = 256
"""Of one answer; the others come in the next ones."""
MOST_PROCESSES = 64
"""Of one attempt that are read and named."""
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Usage:
    """Reads what the node's attempts use, in turns."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._after = (0, 0, 0)

    def read(self) -> list[list[Any]]:
        """Return an entry for each attempt of this turn.

        An entry is [job, task, instance, attempt, user ms, system ms, resident KiB,
        number of processes, [process ids]].
        """
        entries = []
        for attempt in self._turn():
            entry = self._entry(attempt)
            if entry is not None:
                entries.append(entry)
        return entries

    def _turn(self) -> list[Attempt]:
        latest = self._node.clock.boot() - YOUNGEST_S
        found = [
            attempt
            for attempt in self._node.table.live.values()
            if attempt.pid and attempt.status is None and attempt.tried_at <= latest
        ]
        if len(found) <= MOST_TASKS:
            return found
        found.sort(key=lambda one: one.instance_key)
        rest = [one for one in found if one.instance_key > self._after]
        turn = (rest + found)[:MOST_TASKS]
        self._after = turn[-1].instance_key
        return turn

    def _entry(self, attempt: Attempt) -> list[Any] | None:
        user = system = resident = 0
        pids = []
        for pid in self._processes(attempt):
            times = read_times(pid)
            if times is not None:
                pids.append(pid)
                user += times[0]
                system += times[1]
                resident += times[2]
        if not pids:
            return None
        in_ms = 1000 / procfs.TICKS_PER_S
        counts = [int(user * in_ms), int(system * in_ms), resident * PAGE_KB]
        return [*attempt.key, *counts, len(pids), pids]

    def _processes(self, attempt: Attempt) -> list[int]:
        cgroups = self._node.cgroups
        own = os.getpid()
        if attempt.contained and cgroups is not None:
            found = processes_in(cgroups.path_of(attempt.slot))
            return [pid for pid in islice(found, MOST_PROCESSES) if pid != own]
        return procfs.descendants_of([attempt.pid], MOST_PROCESSES)


def read_times(pid: int) -> tuple[int, int, int] | None:
    """Return user and system time in ticks, and resident pages; None: it is gone.

    Children that have ended and were waited for are counted with their parent.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read()
        fields = data[data.rindex(b")") + 2 :].split()
        user = int(fields[11]) + int(fields[13])
        system = int(fields[12]) + int(fields[14])
        return user, system, max(0, int(fields[21]))
    except (OSError, ValueError, IndexError):
        return None
