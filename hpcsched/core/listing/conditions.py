"""Filters: all must hold (api.md 11, 11.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.listing.moments import parse_moment
from hpcsched.core.listing.properties import Kind, Property, Value, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FLAGS: Final[Mapping[str, tuple[Value, ...]]] = {"true": (1,), "false": (0,)}
TEXT_LIMIT: Final = 1024
"""Characters of one value."""


class Operator(IntEnum):
    """The reference's operators with their numbers (FilterOperator)."""

    GREATER_THAN = 0
    GREATER_THAN_OR_EQUAL = 1
    LESS_THAN = 2
    LESS_THAN_OR_EQUAL = 3
    EQUAL = 4
    NOT_EQUAL = 5
    HAS_BIT_SET = 6
    HAS_NO_BIT_SET = 7
    IS_NULL = 8
    IS_NOT_NULL = 9
    HAS_EXCLUSIVE_BIT_SET = 10
    IN = 11
    START_WITH = 12


class Comparison(StrEnum):
    """What the operators come down to."""

    GREATER = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="
    IN = "in"
    NOT_IN = "not in"
    NULL = "has no value"
    NOT_NULL = "has a value"
    PREFIX = "begins with"


_COMPARISONS: Final = {
    Operator.GREATER_THAN: Comparison.GREATER,
    Operator.GREATER_THAN_OR_EQUAL: Comparison.AT_LEAST,
    Operator.LESS_THAN: Comparison.LESS,
    Operator.LESS_THAN_OR_EQUAL: Comparison.AT_MOST,
    Operator.EQUAL: Comparison.IN,
    Operator.NOT_EQUAL: Comparison.NOT_IN,
    Operator.HAS_BIT_SET: Comparison.IN,
    Operator.HAS_NO_BIT_SET: Comparison.NOT_IN,
    Operator.IS_NULL: Comparison.NULL,
    Operator.IS_NOT_NULL: Comparison.NOT_NULL,
    Operator.HAS_EXCLUSIVE_BIT_SET: Comparison.IN,
    Operator.IN: Comparison.IN,
    Operator.START_WITH: Comparison.PREFIX,
}
_BITS: Final = (Operator.HAS_BIT_SET, Operator.HAS_NO_BIT_SET)
_MANY: Final = (Operator.IN, *_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One filter. What has no value passes NULL and nothing else."""

    property: Property
    comparison: Comparison
    values: tuple[Value, ...] = ()

    def holds(self, value: Value | None) -> bool:
        """Does a value of the property pass?"""
        if value is None or self.comparison in {Comparison.NULL, Comparison.NOT_NULL}:
            return (value is None) is (self.comparison is Comparison.NULL)
        match self.comparison:
            case Comparison.IN:
                return self._names(value)
            case Comparison.NOT_IN:
                return not self._names(value)
            case Comparison.PREFIX:
                return str(value).startswith(str(self.values[0]))
        (bound,) = self.values
        low, high = (value, bound) if self.comparison in _DOWN else (bound, value)
        if self.comparison in {Comparison.AT_LEAST, Comparison.AT_MOST}:
            return low <= high  # type: ignore[operator]
        return low < high  # type: ignore[operator]

    def _names(self, value: Value) -> bool:
        """Is it one of the values, or (of several names at once) has it one of them?"""
        if not self.property.bits:
            return value in self.values
        return any(int(value) & int(one) for one in self.values)


_DOWN: Final = (Comparison.LESS, Comparison.AT_MOST)


def condition(
    properties: Mapping[str, Property],
    name: str,
    operator: Operator,
    texts: Sequence[str],
    field: str,
) -> Condition:
    """Return the condition of a filter.

    Args:
        properties: What can be filtered by.
        name: Of the property, ours or the reference's.
        operator: The reference's.
        texts: The values as texts: at least one for IN and the bit operators, none for
            IS_NULL and IS_NOT_NULL, else one. Names of states may be given by name,
            or as the reference's number, whose bits are states.
        field: Of the request, for refusals.

    Raises:
        HpcError: INVALID_FILTER_PROPERTY, INVALID_FIELD.
    """
    known = find(properties, name)
    _check(known, operator, texts, field)
    values: list[Value] = []
    for text in texts:
        values.extend(_values(known, operator, text, field))
    return Condition(
        property=known, comparison=_COMPARISONS[operator], values=tuple(values)
    )


def _check(
    known: Property, operator: Operator, texts: Sequence[str], field: str
) -> None:
    problem = ""
    if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
        if texts:
            problem = "takes no value"
    elif not texts:
        problem = "needs a value"
    elif len(texts) > 1 and operator not in _MANY:
        problem = f"takes one value, not {len(texts)}"
    elif operator is Operator.START_WITH and known.kind is not Kind.TEXT:
        problem = "is for texts"
    elif (
        operator in {*_BITS, Operator.HAS_EXCLUSIVE_BIT_SET}
        and known.kind is not Kind.NAME
    ):
        problem = "is for properties with named values"
    if problem:
        name = operator.name
        text = f"{name} of {known.name} {problem}"
        raise HpcError("INVALID_FIELD", field=field, problem=text)


def _values(
    known: Property, operator: Operator, text: str, field: str
) -> tuple[Value, ...]:
    if len(text) > TEXT_LIMIT:
        raise HpcError("TEXT_TOO_LONG", field=field, length=len(text), limit=TEXT_LIMIT)
    parsed = _parse(known, text.strip() if known.kind is not Kind.TEXT else text)
    wanted = known.kind.value
    if known.kind is Kind.NAME:
        wanted = f"one of {', '.join(known.numbers)}"
        if len(parsed) > 1 and operator not in _BITS:
            parsed = ()
    if not parsed:
        problem = f"{known.name} is {wanted}, not {text!r}"
        raise HpcError("INVALID_FIELD", field=field, problem=problem)
    return parsed


def _parse(known: Property, text: str) -> tuple[Value, ...]:
    """Return the values that a text stands for; none: it makes no sense."""
    match known.kind:
        case Kind.TEXT:
            return (text,)
        case Kind.FLAG:
            return _FLAGS.get(text.lower(), ())
        case Kind.TIME:
            return _time(text)
        case Kind.NUMBER:
            return (int(text),) if _is_whole(text) else ()
    return _named(known, text)


def _named(known: Property, text: str) -> tuple[Value, ...]:
    name = text.lower().removeprefix("state_").replace("_", "")
    if name in known.numbers:
        return (known.numbers[name],)
    return _numbered(known, int(text)) if _is_whole(text) else ()


def _numbered(known: Property, number: int) -> tuple[Value, ...]:
    """Return what the reference's number stands for."""
    numbers = known.numbers.values()
    if known.bits:
        named = tuple(n for n in numbers if number & n)
        return named if number == sum(named) else ()
    if not known.flags:
        return (number,) if number in numbers else ()
    bits = tuple(n for n in numbers if number & (1 << (n - 1)))
    return bits if number == sum(1 << (n - 1) for n in bits) else ()


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18  # noqa: PLR2004  fits 64 bits


def _time(text: str) -> tuple[Value, ...]:
    moment = parse_moment(text)
    return () if moment is None else (moment,)
