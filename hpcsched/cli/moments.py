"""Points in time as arguments: ``2026-01-31 18:00``, ``18:00``, ``+2h``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

import click

from hpcsched.common.clock import SystemClock
from hpcsched.common.units import UnitError, parse_duration

_CLOCK: Final = re.compile(
    r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII
)
_LATEST: Final = 253_402_214_400
"""The last day of the year 9999: what the API's times hold."""
_EXAMPLES: Final = "2026-01-31T18:00:00Z, '2026-01-31 18:00' (local), 18:00 or +2h"


class MomentType(click.ParamType[float]):
    """Seconds since 1970: a time with its zone or a local one, or from now on."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_moment(value, SystemClock().wall())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_moment(text: str, now: float) -> float:
    """Return a point in time as seconds since 1970.

    Args:
        text: ISO 8601 (local where it names no zone; a day is its midnight), a time of
            day (the next such one, local), or ``+`` and a duration from now.
        now: Seconds since 1970.

    Raises:
        ValueError: it is none of these; the message says what would be.
    """
    text = text.strip()
    if text.startswith("+"):
        try:
            moment = now + parse_duration(text[1:])
        except UnitError as error:
            problem = f"{text!r} {error.problem}: {error.hint}"
            raise ValueError(problem) from None
        if moment > _LATEST:
            raise ValueError(f"{text[:40]!r} is after the year 9999")
        return moment
    match = _CLOCK.fullmatch(text)
    if match is not None:
        hour, minute, second = (int(part or 0) for part in match.groups())
        return _next(time(hour, minute, second), now)
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else found.astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no time, such as {_EXAMPLES}") from None


def _next(at: time, now: float) -> float:
    local = datetime.fromtimestamp(now, UTC).astimezone()
    day = local.date()
    found = datetime.combine(day, at).astimezone()
    if found <= local:
        found = datetime.combine(day + timedelta(days=1), at).astimezone()
    return found.timestamp()


MOMENT: Final = MomentType()
