"""Sort keys, and positions in a sorted list (api.md 11)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.listing.properties import Kind, Property, Value, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SORT_LIMIT: Final = 8
"""Keys of one list."""

LARGEST: Final = (1 << 63) - 1
"""A position comes back from outside: numbers above fit in no store."""

Position = tuple[Value | None, ...]
"""The values of the sort keys, and of the ids that make the order total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One key; the first given is the primary one. No value comes before any value."""

    property: Property
    descending: bool = False


def sort_key(
    properties: Mapping[str, Property], name: str, *, descending: bool
) -> SortKey:
    """Return a sort key.

    Raises:
        HpcError: INVALID_FILTER_PROPERTY.
    """
    return SortKey(property=find(properties, name), descending=descending)


class Place:
    """Where something stands in a sorted list: comparable, smaller is earlier."""

    __slots__ = ("_descending", "_values")

    def __init__(self, values: Position, descending: Sequence[bool]) -> None:
        self._values = values
        self._descending = descending

    def __lt__(self, other: Place) -> bool:
        pairs = zip(self._values, other._values, self._descending, strict=False)
        for mine, theirs, descending in pairs:
            if mine == theirs:
                continue
            none = mine is None or theirs is None
            earlier = mine is None if none else mine < theirs  # type: ignore[operator]
            return earlier is not descending
        return False


def encode_position(position: Position) -> str:
    """Return a position as text."""
    return json.dumps(position, separators=(",", ":"))


def decode_position(text: str, keys: Sequence[SortKey], ids: int) -> Position:
    """Return the position of such a text.

    Args:
        text: What ``encode_position`` gave.
        keys: The sort keys of the list.
        ids: How many ids follow their values.

    Raises:
        HpcError: PAGE_TOKEN_INVALID.
    """
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    count = len(keys)
    good = isinstance(found, list) and len(found) == count + ids
    if not (
        good
        and all(map(_fits, keys, found))
        and all(isinstance(one, int) and _is_stored(one) for one in found[count:])
    ):
        raise HpcError("PAGE_TOKEN_INVALID", field="page_token")
    return tuple(found)


def _fits(key: SortKey, value: object) -> bool:
    """May a property have this value, or none?"""
    if isinstance(value, str):
        return key.property.kind is Kind.TEXT and _is_text(value)
    if isinstance(value, int | float):
        return key.property.kind is not Kind.TEXT and _is_stored(value)
    return value is None


def _is_stored(number: float) -> bool:
    """Does a store take a number? That leaves out NaN, too."""
    return -LARGEST <= number <= LARGEST


def _is_text(text: str) -> bool:
    """Is it Unicode? JSON can name halves of characters, which no store takes."""
    return not any("\ud800" <= one <= "\udfff" for one in text)
