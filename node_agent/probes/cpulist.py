"""The kernel's way of writing sets of CPUs."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"(\d+)(?:-(\d+)(?::(\d+)/(\d+))?)?")

#: No machine has more; a list that says so is garbage.
MOST_CPUS: Final = 1 << 16


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the logical CPU ids in a kernel CPU list.

    >>> sorted(parse_cpu_list("0-2,8"))
    [0, 1, 2, 8]
    >>> sorted(parse_cpu_list("0-7:2/4"))
    [0, 1, 4, 5]

    Args:
        text: As in /sys/devices/system/cpu/online. Ids are the kernel's logical CPUs:
            hardware threads, not cores. Empty means no CPU.

    Raises:
        ValueError: the text is not such a list; the message quotes it.

    Source: cpuset(7), "List format".
    """
    ids: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"not a list of CPUs: {text!r}")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first or last >= MOST_CPUS:
            raise ValueError(f"not a list of CPUs: {text!r}")
        used, group = int(match[3] or 1), int(match[4] or 1)
        if not 0 < used <= group:
            raise ValueError(f"not a list of CPUs: {text!r}")
        ids.update(i for i in range(first, last + 1) if (i - first) % group < used)
    return frozenset(ids)
