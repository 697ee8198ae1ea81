"""Kinds of arguments that are a range of numbers: cores, and the values of a sweep."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import click

from hpcsched.cli.arguments import DIGITS, LARGEST

_CORES: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?", re.ASCII)
_ARRAY: Final = re.compile(r"([0-9]+)-([0-9]+)(?::([0-9]+))?(?:%([0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cores:
    """``MIN[-MAX]``."""

    minimum: int
    maximum: int | None


class CoresType(click.ParamType[Cores]):
    """``MIN[-MAX]`` cores."""

    name = "cores"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Cores:
        if isinstance(value, Cores):
            return value
        match = _CORES.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not MIN or MIN-MAX, such as 4 or 2-8", param, ctx)
        sizes = _fitting(self, match, param, ctx)
        return Cores(sizes[0] or 0, sizes[1])


def _fitting(
    kind: click.ParamType[Any],
    match: re.Match[str],
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> list[int | None]:
    """Return the numbers of a text, each of which fits a field of 32 bits."""
    for part in match.groups():
        if part and (len(part) > DIGITS or int(part) > LARGEST):
            kind.fail(f"{part[:DIGITS]} is greater than {LARGEST}", param, ctx)
    return [int(part) if part else None for part in match.groups()]


@dataclass(frozen=True, slots=True)
class Array:
    """``START-END[:STEP][%MAX]``; ``most`` is the largest number at once, 0 for any."""

    start: int
    end: int
    step: int
    most: int


class ArrayType(click.ParamType[Array]):
    """The range of a sweep."""

    name = "array"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Array:
        if isinstance(value, Array):
            return value
        match = _ARRAY.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not START-END[:STEP][%MAX]", param, ctx)
        start, end, step, most = _fitting(self, match, param, ctx)
        if start == 0 or step == 0 or most == 0 or end == 0:
            self.fail(f"{value!r}: values, step and %MAX are 1 or more", param, ctx)
        return Array(start or 1, end or 1, step or 1, most or 0)


CORES: Final = CoresType()
ARRAY: Final = ArrayType()
