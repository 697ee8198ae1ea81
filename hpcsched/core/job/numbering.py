"""Numbers of attempts after an older store was put back: none is given out twice.

What was started since the backup is not in the store, and nodes may still have it, or
remember it, by its number. A node that was ordered that number again would answer with
what it knows, and the other attempt's end would be taken for this one's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.task.elements import SENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

ATTEMPTS_AHEAD: Final = 10_000
"""Between the first numbers of two generations: more than an element is tried before an
older store is put back."""


def first_attempt(generation: int) -> int:
    """Return the lowest number of a generation, from 0, for jobs of earlier ones."""
    return generation * ATTEMPTS_AHEAD + 1


def may_have_ended(turn: Turn, attempt: int) -> bool:
    """May an attempt have run since the backup that was put back, and be forgotten?

    A node that has not got it any more takes no order of it again, and says nothing.
    """
    old_jobs, least = turn.settings.restored
    return turn.job.job_id < old_jobs and attempt < least


def renumbered(job: Job, moves: Sequence[TaskMove], least: int) -> list[TaskMove]:
    """Return moves; those that send attempts number them from the least on."""
    return [_renumbered(job, one, least) if one.flags & SENT else one for one in moves]


def _renumbered(job: Job, move: TaskMove, least: int) -> TaskMove:
    record = job.tasks[move.task_id - 1]
    numbers: Any
    if move.was == 0:
        numbers = max(record.floor, least)
    else:
        table = job.table_of(record)
        after = int(move.clear)
        numbers = [
            max((table.get("attempt", row) or 1) + after, least)
            for first, last in move.ranges
            for row in range(record.row(first), record.row(last) + 1)
        ]
        if numbers.count(numbers[0]) == len(numbers):
            numbers = numbers[0]
    return replace(move, columns={**move.columns, "attempt": numbers})
