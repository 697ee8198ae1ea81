"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from typing import Final

# Patterns are compiled, and modules imported, on their first use: a cold command line
# needs few of them.

#: Longer texts are refused unread.
LONGEST_TEXT: Final = 64

#: Milliseconds in each unit of a duration, in the order in which they are written.
MS: Final = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}

#: Bytes in each unit of a size. ``K``, ``KB`` and ``KiB`` are the same.
BYTES: Final = {
    "B": 1,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "T": 1 << 40,
    "P": 1 << 50,
}

_STEP: Final = 1024
_NUMBER: Final = r"[0-9]+(\.[0-9]+)?"
_PART: Final = r"([0-9]+(?:\.[0-9]+)?)\s*(ms|[wdhms])\s*"
_COLONS: Final = r"(?:([0-9]+)-)?([0-9]+):([0-9]+)(?::([0-9]+))?"
_SIZE: Final = r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(?:I?B)?|B)"


class UnitError(ValueError):
    """A text is no duration or no size.

    Attributes:
        text: What was given, cut to a length fit for a message.
        problem: What is wrong with it.
        hint: How to write it; never empty.
    """

    def __init__(self, text: str, problem: str, hint: str) -> None:
        self.text = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
        self.problem = problem
        self.hint = hint
        super().__init__(f"{self.text!r} {problem}: {hint}")


def parse_duration(text: str) -> float:
    """Return a duration in seconds, exact to the millisecond.

    >>> parse_duration("1h30m"), parse_duration("1-12:00:00"), parse_duration("250ms")
    (5400.0, 129600.0, 0.25)

    Args:
        text: Numbers with the units w, d, h, m, s, ms, largest first, or
            ``hours:minutes:seconds``, or either with ``days-`` before it. A bare number
            is refused, for one reader takes it for seconds and the next for minutes;
            so is ``1:30``.

    Raises:
        UnitError: the text is no duration, or has no unit.

    Source: cli.md section 2.
    """
    lowered = text.strip().lower()
    if len(lowered) > LONGEST_TEXT:
        raise UnitError(text, "is too long for a duration", "write it as 1h30m")
    if re.fullmatch(_NUMBER, lowered, re.ASCII):
        problem = "is a number without a unit"
        raise UnitError(text, problem, f"write {lowered}s or {lowered}m")
    if colons := re.fullmatch(_COLONS, lowered, re.ASCII):
        return _parse_colons(text, *colons.groups())
    return _parse_parts(text, lowered)


def _parse_colons(
    text: str, days: str | None, first: str, second: str, third: str | None
) -> float:
    if third is None and days is None:
        problem = "may be hours and minutes or minutes and seconds"
        raise UnitError(text, problem, f"write {first}h{second}m or {first}m{second}s")
    hours, minutes, seconds = int(first), int(second), int(third or 0)
    for name, value, limit in (
        ("hours", hours, 24 if days is not None else None),
        ("minutes", minutes, 60),
        ("seconds", seconds, 60),
    ):
        if limit is not None and value >= limit:
            problem = f"has {value} {name}"
            raise UnitError(text, problem, f"{name} go from 0 to {limit - 1} here")
    return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)


def _parse_parts(text: str, lowered: str) -> float:
    from fractions import Fraction  # noqa: PLC0415 - on first use

    total = Fraction(0)
    order = list(MS)
    position = 0
    while lowered:
        part = re.compile(_PART, re.ASCII).match(lowered, position)
        if part is None or part[2] not in order:
            break
        total += Fraction(part[1]) * MS[part[2]]
        order = order[order.index(part[2]) + 1 :]
        position = part.end()
        if position == len(lowered):
            return round(total) / 1000
    hint = "write it as 90s, 15m, 1h30m, 2d, 1:30:00 or 1-12:00:00"
    raise UnitError(text, "is no duration", hint)


def format_duration(seconds: float) -> str:
    """Return a duration as ``parse_duration`` reads it, in d, h, m, s and ms.

    >>> format_duration(5400), format_duration(0.25), format_duration(0)
    ('1h30m', '250ms', '0s')

    Args:
        seconds: Rounded to milliseconds. A negative duration gets a minus sign.
    """
    left = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 and left else ""
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return sign + ("".join(parts) or "0s")


def parse_size(text: str) -> int:
    """Return a size in bytes; a part of a byte is cut off.

    >>> parse_size("512M"), parse_size("1.5G")
    (536870912, 1610612736)

    Args:
        text: A number with B, K, M, G, T or P (powers of 1024), in any case, also as KB
            or KiB. A bare number is refused, for one reader takes it for bytes and the
            next for megabytes.

    Raises:
        UnitError: the text is no size, or has no unit.

    Source: cli.md section 2.
    """
    raised = text.strip().upper()
    if len(raised) > LONGEST_TEXT:
        raise UnitError(text, "is too long for a size", "write it as 512M")
    if re.fullmatch(_NUMBER, raised, re.ASCII):
        problem = "is a number without a unit"
        raise UnitError(text, problem, f"write {raised}M or {raised}B")
    from fractions import Fraction  # noqa: PLC0415 - on first use

    size = re.fullmatch(_SIZE, raised, re.ASCII)
    if size is None:
        raise UnitError(text, "is no size", "write it as 512M, 4G or 1.5T")
    return int(Fraction(size[1]) * BYTES[size[2] or "B"])


def format_size(count: int) -> str:
    """Return a number of bytes for people: at most one decimal, so it may be rounded.

    >>> format_size(536870912), format_size(1610612736), format_size(1000)
    ('512M', '1.5G', '1000B')
    """
    chosen = "B"
    for unit, size in BYTES.items():
        # Rounded first: 1023.96K is written 1M, not 1024K.
        if round(abs(count) / size * _STEP, 1) >= _STEP:
            chosen = unit
    return f"{count / BYTES[chosen]:.1f}".removesuffix(".0") + chosen
