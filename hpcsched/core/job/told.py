"""What a node tells of the cores of one attempt, as far as it can be believed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.reports import Ended, LiveAttempt, Started
    from hpcsched.core.task.elements import ElementTable

CORE_LIMIT: Final = 65535
"""Core ids are below it; the ``core`` column keeps them plus one."""

SEVERAL: Final = 2


class Told(NamedTuple):
    """The ids of an attempt's cores.

    Attributes:
        whole: All of them are known, and there are several.
        others: They, where they do not follow each other.
    """

    whole: bool = False
    others: tuple[int, ...] = ()


NOTHING: Final = Told()


def told_cores(
    record: TaskRecord, table: ElementTable, row: int, report: Started | Ended, at: int
) -> Told:
    """Return what a report says at a position; nothing of a process of one core."""
    if at >= len(report.widths) or report.widths[at] < SEVERAL:
        return NOTHING
    return _told(record.width(table, row), report.widths[at], report, at)


def _told(width: int, count: int, report: Started | Ended, at: int) -> Told:
    first = report.cores[at]
    if count != width or first < 0:
        return NOTHING
    others = report.sets.get(at, ())
    if not others:
        return Told(whole=first + width <= CORE_LIMIT)
    return _several(others, first, width)


def _several(cores: tuple[int, ...], first: int, width: int) -> Told:
    if len(cores) != width or cores[0] != first or cores[-1] >= CORE_LIMIT:
        return NOTHING
    if any(a >= b for a, b in pairwise(cores)):
        return NOTHING
    consecutive = cores[-1] - first == width - 1
    return Told(whole=True, others=() if consecutive else cores)


def told_live(
    record: TaskRecord, table: ElementTable, row: int, live: LiveAttempt
) -> Told:
    """Return what a node that is back says of an attempt's cores."""
    if len(live.cores) < SEVERAL:
        return NOTHING
    return _several(live.cores, live.core, record.width(table, row))


def sane_core(core: int) -> int:
    """Return what the ``core`` column keeps: the number plus one, 0 for none."""
    return core + 1 if 0 <= core < CORE_LIMIT else 0
