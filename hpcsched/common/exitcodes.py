"""Which exit codes count as success: ``0,3..5,min..-1``.

Source of all rules here: properties.md 4.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hpcsched.common.ranges import Ranges, contains, normalize

SMALLEST: Final = -(1 << 31)
LARGEST: Final = (1 << 31) - 1

_END: Final = re.compile(r"min|max|-?[0-9]{1,10}", re.ASCII)


class ExitCodesError(ValueError):
    """A text is no list of exit codes; the message quotes the item that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCodes:
    """A set of exit codes.

    Attributes:
        ranges: 32-bit integers; equal sets have equal ranges.
    """

    ranges: Ranges

    def __str__(self) -> str:
        return ",".join(
            _end(first) if first == last else f"{_end(first)}..{_end(last)}"
            for first, last in self.ranges
        )

    def matches(self, code: int) -> bool:
        """Return whether a task that ended with the code has succeeded."""
        return contains(self.ranges, code)


@lru_cache(maxsize=256)
def parse_exit_codes(text: str) -> ExitCodes:
    """Return the set of a text such as ``0,3..5``.

    Args:
        text: Items, comma-separated, blanks around them ignored. An item is a 32-bit
            integer or ``a..b``, both ends included; ``min`` and ``max`` stand for the
            smallest and the largest of them.

    Raises:
        ExitCodesError: an item has another form, is out of range, or ends before it
            starts; or there is none.
    """
    return ExitCodes(ranges=normalize(_parse_item(item) for item in text.split(",")))


def _parse_item(item: str) -> tuple[int, int]:
    start, dots, end = (part.strip() for part in item.partition(".."))
    ends = (start, end) if dots else (start, start)
    if not all(_END.fullmatch(end) for end in ends):
        raise ExitCodesError(f"{item[:40]!r} is no exit code and no range such as 3..5")
    first, last = (_number(end) for end in ends)
    if last < first:
        raise ExitCodesError(f"{item[:40]!r} ends before it starts")
    return first, last


def _number(end: str) -> int:
    if end == "min":
        return SMALLEST
    if end == "max":
        return LARGEST
    number = int(end)
    if not SMALLEST <= number <= LARGEST:
        raise ExitCodesError(f"{end} is not between {SMALLEST} and {LARGEST}")
    return number


def _end(number: int) -> str:
    return {SMALLEST: "min", LARGEST: "max"}.get(number, str(number))


#: What counts as success where nothing else is said.
ZERO: Final = parse_exit_codes("0")
