"""Kinds of arguments: durations, cores, states, ranges and pairs.

Only what the command line alone shows to be malformed is refused here; rules and limits
are the head's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.common.units import UnitError, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bands of priority and where they start.
BANDS: Final = {
    "lowest": 0,
    "belownormal": 1000,
    "normal": 2000,
    "abovenormal": 3000,
    "highest": 4000,
}

#: States in the order of their numbers in the API, from 1.
JOB_STATES: Final = (
    "configuring",
    "submitted",
    "validating",
    "external_validation",
    "queued",
    "running",
    "finishing",
    "finished",
    "failed",
    "canceled",
    "canceling",
)
TASK_STATES: Final = (
    "configuring",
    "submitted",
    "validating",
    "queued",
    "dispatching",
    "running",
    "finishing",
    "finished",
    "failed",
    "canceled",
    "canceling",
)

#: Before the name of a node group, in place of the names of its nodes.
GROUP_PREFIX: Final = "group:"

_COUNT: Final = r"[0-9]{1,9}"
_WHOLE: Final = r"[+-]?[0-9]+"
_PRIORITY: Final = r"([a-z]+) *([+-] *[0-9]{1,9})?"
LARGEST: Final = (1 << 31) - 1
"""What a field of 32 bits holds; smaller limits are the head's."""
_LONGEST_S: Final = 315_576_000_000
"""What a duration of the API holds."""
OLDEST_S: Final = 31_557_600_000.0
DIGITS: Final = 40
"""Longer numbers fit no field, and are not shown in full."""


class WholeType(click.ParamType[int]):
    """A whole number that the API's field can hold; other limits are the head's."""

    name = "number"

    def __init__(self, low: int, high: int = LARGEST) -> None:
        self._low = low
        self._high = high

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        if re.fullmatch(_WHOLE, value, re.ASCII) is None:
            self.fail(f"{value[:DIGITS]!r} is no whole number", param, ctx)
        number = int(value[:DIGITS])
        if not self._low <= number <= self._high:
            self.fail(
                f"{value[:DIGITS]} is not {self._low} to {self._high}", param, ctx
            )
        return number


class DurationType(click.ParamType[float]):
    """Seconds, from a text with units or colons."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration(value)
        except UnitError as error:
            self.fail(f"{error.text!r} {error.problem}: {error.hint}", param, ctx)
        if seconds > _LONGEST_S:
            self.fail(f"{value[:DIGITS]!r} is more than 10,000 years", param, ctx)
        return seconds


class AgeType(DurationType):
    """How long ago, in seconds; what is older than everything is a thousand years."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        return min(super().convert(value, param, ctx), OLDEST_S)


class MemoryType(click.ParamType[int]):
    """Mebibytes, from a size such as ``512M`` or ``4G``; a part of one counts whole."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            size = -(-parse_size(value) // (1 << 20))
        except UnitError as error:
            self.fail(f"{error.text!r} {error.problem}: {error.hint}", param, ctx)
        if size > LARGEST:
            self.fail(f"{value!r} is more than 2047T", param, ctx)
        return size


class PriorityType(click.ParamType[int]):
    """A number, or the name of a band, or one and how far from it: Normal+100."""

    name = "priority"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        named = re.fullmatch(_PRIORITY, value.strip().lower(), re.ASCII)
        if named is not None and named[1] in BANDS:
            return BANDS[named[1]] + int((named[2] or "0").replace(" ", ""))
        if re.fullmatch(r"-?[0-9]{1,9}", value, re.ASCII) is None:
            names = ", ".join(BANDS)
            self.fail(
                f"{value!r} is no number and none of {names}, nor one of them with a "
                "number, such as normal+100",
                param,
                ctx,
            )
        return int(value)


class PairType(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``."""

    name = "pair"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, text


class CriticalType(click.ParamType[int]):
    """A number of failures; ``yes``, the option without one, becomes 0."""

    name = "count"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        if value == "yes":
            return 0
        if re.fullmatch(_COUNT, value, re.ASCII) is None or int(value) == 0:
            self.fail(f"{value!r} is no number of 1 or more", param, ctx)
        return int(value)


class StatesType(click.ParamType[tuple[int, ...]]):
    """States, comma-separated, as numbers of the API."""

    name = "states"

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(parse_state(one, self._names) for one in value.split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_state(text: str, names: tuple[str, ...]) -> int:
    """Return the API's number of a state, written short or in full, in any case.

    Raises:
        ValueError: there is no such state; the message lists those that there are.
    """
    short = text.strip().lower().removeprefix("state_").replace("-", "_")
    if short == "externalvalidation":
        short = "external_validation"
    if short in names:
        return names.index(short) + 1
    raise ValueError(f"{text.strip()!r} is none of the states {', '.join(names)}")


class ListType(click.ParamType[tuple[str, ...]]):
    """Texts, comma-separated."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found = tuple(one.strip() for one in value.split(",") if one.strip())
        if not found:
            self.fail(f"{value!r} names nothing", param, ctx)
        return found


class JobsListType(click.ParamType[tuple[int, ...]]):
    """Numbers of jobs, comma-separated."""

    name = "jobs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [one.strip() for one in value.split(",")]
        for one in parts:
            if re.fullmatch(r"[1-9][0-9]{0,9}", one, re.ASCII) is None:
                self.fail(f"{one!r} is no number of a job", param, ctx)
        return tuple(int(one) for one in parts)


class NodesType(click.ParamType[tuple[str, ...]]):
    """Names of nodes, also written short: ``n[01-16,20]``; ``group:NAME`` if asked."""

    name = "nodes"

    def __init__(self, *, groups: bool = False) -> None:
        self._groups = groups

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        if self._groups and value.startswith(GROUP_PREFIX):
            return (value,)
        from hpcsched.common.nodelist import NodeListError, expand

        try:
            return expand(value)
        except NodeListError as error:
            self.fail(str(error), param, ctx)


DURATION: Final = DurationType()
AGE: Final = AgeType()
MEMORY: Final = MemoryType()
PRIORITY: Final = PriorityType()
PAIR: Final = PairType()
CRITICAL: Final = CriticalType()
JOB_STATE: Final = StatesType(JOB_STATES)
TASK_STATE: Final = StatesType(TASK_STATES)
LIST: Final = ListType()
NODES: Final = NodesType()
NODES_OR_GROUP: Final = NodesType(groups=True)
JOBS_LIST: Final = JobsListType()
WHOLE: Final = WholeType(-LARGEST - 1)
COUNT: Final = WholeType(1)
OFFSET: Final = WholeType(-(1 << 63), (1 << 63) - 1)


def joined(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return the items of an option that was given several times, each once."""
    return tuple(dict.fromkeys(item for part in parts for item in part))
