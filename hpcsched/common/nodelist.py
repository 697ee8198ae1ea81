"""Names of nodes, written short: ``n[01-16,20],login``."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Final

from hpcsched.common.ranges import from_sorted_iterable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Most names that one text may stand for.
LARGEST_EXPANSION: Final = 65_536

_ITEM: Final = re.compile(r"(?:[^\[\],]|\[[^\[\]]*\])+")
_PIECE: Final = re.compile(r"\[([^\[\]]*)\]|[^\[\]]+")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_SPAN: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)
_LAST_DIGITS: Final = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.ASCII)

#: Widths of the groups of ``fold``, beside those from 2 that are padded.
_NO_NUMBER: Final = 0
_AS_WIDE_AS_IT_IS: Final = 1


class NodeListError(ValueError):
    """A text is no list of nodes, or stands for too many; the message quotes it."""


def expand(text: str, *, limit: int = LARGEST_EXPANSION) -> tuple[str, ...]:
    """Return the names that a node list stands for, in its order, doubles left out.

    >>> expand("n[01-03,20],login")
    ('n01', 'n02', 'n03', 'n20', 'login')

    Args:
        text: Names, comma-separated. Each may have ranges in brackets, in several
            places; a leading zero asks for numbers of that width.
        limit: Most names that may come of it, so that a slip of the finger is refused
            and not expanded.

    Raises:
        NodeListError: the text has another form, or the limit is passed.
    """
    names: dict[str, None] = {}
    left = limit
    for item in _split(text):
        choices = [list(_spans(item, piece)) for piece in _PIECE.finditer(item)]
        size = 1
        for spans in choices:
            size *= sum(
                len(span) if isinstance(span, range) else 1 for _, span in spans
            )
        if size > left:
            raise NodeListError(f"{item[:80]!r} makes more than {limit} nodes")
        left -= size
        for parts in product(*(list(_texts(spans)) for spans in choices)):
            name = "".join(parts)
            if _NAME.fullmatch(name) is None:
                raise NodeListError(f"{name[:80]!r} cannot be the name of a node")
            names[name] = None
    return tuple(names)


def _split(text: str) -> Iterator[str]:
    rest = text.strip()
    position = 0
    while True:
        match = _ITEM.match(rest, position)
        if match is None:
            raise NodeListError(
                f"{text[:80]!r} is no list of nodes such as n[01-16,20]"
            )
        yield match[0].strip()
        position = match.end()
        if position == len(rest):
            return
        if rest[position] != ",":
            raise NodeListError(f"{text[:80]!r} has a bracket without its partner")
        position += 1


def _spans(item: str, piece: re.Match[str]) -> Iterator[tuple[int, range | str]]:
    """Yield (width, numbers) for brackets and (0, text) for what stands outside."""
    if piece[1] is None:
        yield 0, piece[0]
        return
    for part in piece[1].split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise NodeListError(
                f"{part[:40]!r} in {item[:80]!r} is no range like 01-16"
            )
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise NodeListError(f"{part[:40]!r} in {item[:80]!r} ends before it starts")
        longer = len(last) > len(first) and not _is_padded(last)
        if len(last) != len(first) and not longer:
            raise NodeListError(f"{part[:40]!r} in {item[:80]!r} mixes widths")
        width = len(first) if _is_padded(first) else 0
        yield width, range(int(first), int(last) + 1)


def _is_padded(number: str) -> bool:
    return len(number) > 1 and number[0] == "0"


def _texts(spans: Iterable[tuple[int, range | str]]) -> Iterator[str]:
    for width, span in spans:
        if isinstance(span, str):
            yield span
        else:
            yield from (str(number).zfill(width) for number in span)


def fold(names: Iterable[str]) -> str:
    """Return a short text for a set of names; ``expand`` gives the same set back.

    >>> fold(["n1", "login", "n3", "n2"])
    'n[1-3],login'

    Args:
        names: Names of nodes. Those that differ in the last number of their host part
            (before the first dot) share brackets; groups stand in order of their first
            name.
    """
    split = [_digits(name) for name in names]
    padded = {
        (prefix, suffix, len(digits))
        for prefix, digits, suffix in split
        if _is_padded(digits)
    }
    groups: dict[tuple[str, str, int], list[int]] = {}
    for prefix, digits, suffix in split:
        # n10 beside n09 has two digits by rule, n10 beside n9 by chance.
        key = (prefix, suffix, len(digits))
        if digits and key not in padded:
            key = (prefix, suffix, _AS_WIDE_AS_IT_IS)
        groups.setdefault(key, []).append(int(digits or 0))
    return ",".join(_fold_group(*key, numbers) for key, numbers in groups.items())


def _digits(name: str) -> tuple[str, str, str]:
    """Return what stands before, in and after the number that brackets may replace."""
    host, dot, domain = name.partition(".")
    match = _LAST_DIGITS.fullmatch(host)
    if match is None:
        return name, "", ""
    return match[1], match[2], match[3] + dot + domain


def _fold_group(prefix: str, suffix: str, width: int, numbers: list[int]) -> str:
    if width == _NO_NUMBER:
        return prefix
    spans = [
        f"{first:0{width}d}" + (f"-{last:0{width}d}" if last > first else "")
        for first, last in from_sorted_iterable(sorted(numbers))
    ]
    middle = (
        spans[0] if spans[0].isdigit() and len(spans) == 1 else f"[{','.join(spans)}]"
    )
    return prefix + middle + suffix
