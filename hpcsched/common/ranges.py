"""Sets of whole numbers as ranges: a sweep of a million elements stays one pair.

A set is a tuple of ``(first, last)`` pairs, both ends included, in ascending order,
with a gap between any two of them. So equal sets are equal tuples, and the text of a
set (``1-64,70``) is the only one it has.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Ranges: TypeAlias = tuple[tuple[int, int], ...]

#: The set without numbers.
NOTHING: Final[Ranges] = ()

_ITEM: Final = re.compile(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?", re.ASCII)


class RangesError(ValueError):
    """A text is no set of ranges; the message quotes the part that is wrong."""


def parse_ranges(text: str) -> Ranges:
    """Return the set of a text such as ``1-64,70``, in any order, overlaps allowed.

    >>> parse_ranges("70,1-32,30-64")
    ((1, 64), (70, 70))

    Args:
        text: Numbers and ranges from 0 to 9,999,999,999, comma-separated; blanks around
            them are ignored. A blank text is the empty set.

    Raises:
        RangesError: the text has another form, or a range ends before it starts.
    """
    if not text.strip():
        return NOTHING
    pairs: list[tuple[int, int]] = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise RangesError(f"{item[:40]!r} is no number and no range such as 3-7")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise RangesError(f"{item[:40]!r} ends before it starts")
        pairs.append((first, last))
    return normalize(pairs)


def format_ranges(ranges: Ranges) -> str:
    """Return the text of a set; the empty set is the empty text."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in ranges
    )


def normalize(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Return the set of all numbers in the pairs, which may overlap, in any order."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(pairs):
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def from_sorted_iterable(values: Iterable[int]) -> Ranges:
    """Return the set of numbers that come in ascending order, doubles allowed."""
    each = iter(values)
    first = next(each, None)
    if first is None:
        return NOTHING
    found: list[tuple[int, int]] = []
    expected = first + 1
    for value in each:
        if value == expected:
            expected += 1
        elif value > expected:
            found.append((first, expected - 1))
            first = value
            expected = value + 1
    found.append((first, expected - 1))
    return tuple(found)


def iterate(ranges: Ranges) -> Iterator[int]:
    """Return the numbers of a set in ascending order, one at a time."""
    return chain.from_iterable(range(first, last + 1) for first, last in ranges)


def count(ranges: Ranges) -> int:
    """Return how many numbers are in a set."""
    return sum(last - first + 1 for first, last in ranges)


def contains(ranges: Ranges, number: int) -> bool:
    """Return whether a number is in a set."""
    index = bisect_right(ranges, number, key=_first) - 1
    return index >= 0 and number <= ranges[index][1]


def union(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers that are in either set."""
    if not one or not other:
        return one or other
    return normalize(one + other)


def intersect(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers that are in both sets."""
    found: list[tuple[int, int]] = []
    left = right = 0
    while left < len(one) and right < len(other):
        first = max(one[left][0], other[right][0])
        last = min(one[left][1], other[right][1])
        if first <= last:
            found.append((first, last))
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return tuple(found)


def difference(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers of the first set that are not in the second."""
    found: list[tuple[int, int]] = []
    start = 0
    for begin, end in one:
        first = begin
        while start < len(other) and other[start][1] < first:
            start += 1
        index = start
        while index < len(other) and other[index][0] <= end:
            if first < other[index][0]:
                found.append((first, other[index][0] - 1))
            first = other[index][1] + 1
            index += 1
        if first <= end:
            found.append((first, end))
    return tuple(found)


def _first(pair: tuple[int, int]) -> int:
    return pair[0]
