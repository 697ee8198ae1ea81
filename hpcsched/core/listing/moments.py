"""Times in texts, without a clock and without a calendar of the machine's."""

from __future__ import annotations

import re
from typing import Final

DAY_S: Final = 86400
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?",
    re.ASCII | re.IGNORECASE,
)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_moment(text: str) -> float | None:
    """Return seconds since 1970, UTC, of a time such as 2026-03-01T08:00:00Z.

    The time of day and the zone (UTC) may be left out. None: it is no such time.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(part or 0) for part in match.groups()[:6]
    )
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month)):  # noqa: PLR2004
        return None
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004
        return None
    moment = days_since_1970(year, month, day) * DAY_S
    moment += hour * 3600 + minute * 60 + second - _offset(match[8])
    return moment + float(match[7] or 0)


def days_since_1970(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar."""
    year -= month <= 2  # noqa: PLR2004  years begin in March, so leap days are last
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)  # noqa: PLR2004
    return _DAYS[month - 1] + leap


def _offset(zone: str | None) -> int:
    """Return the seconds that a zone is ahead of UTC."""
    if not zone or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return (1 if zone[0] == "+" else -1) * (hours * 3600 + minutes * 60)
