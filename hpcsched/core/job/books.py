"""What a job has been charged so far: a value that the job carries along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Totals = tuple[int, int, int, int]
"""Core-milliseconds held, user and kernel time in ms, memory in KiB."""


@dataclass(frozen=True, slots=True)
class Books:
    """Sums over the whole life of a job, and where they stood when it last ended.

    Attributes:
        core_ms: Core-milliseconds of allocations that were given back.
        charged: The totals when the job last reached a terminal state: its next row of
            history has what came after.
        canceled_by: Who asked last for its cancel; empty: nobody did.
    """

    core_ms: int = 0
    charged: Totals = (0, 0, 0, 0)
    canceled_by: str = ""


NO_BOOKS: Final = Books()
"""Of a job that has been charged nothing: most of those that wait."""
