"""Whether numbers and times are within what their fields may hold."""

from __future__ import annotations

from typing import Final

from hpcsched.common.errors import HpcError

INT32: Final = 2147483647


def check_seconds(field: str, value: float) -> None:
    """Refuse what is no time span.

    Raises:
        HpcError: OUT_OF_RANGE.
    """
    if not 0 <= value <= INT32:
        limit = f"0 s to {INT32} s"
        raise HpcError("OUT_OF_RANGE", field=field, value=f"{value:g} s", limit=limit)


def check_count(field: str, value: int, low: int, high: int) -> None:
    """Refuse a number that is not from ``low`` to ``high``.

    Raises:
        HpcError: OUT_OF_RANGE.
    """
    if not low <= value <= high:
        raise HpcError(
            "OUT_OF_RANGE", field=field, value=value, limit=f"{low} to {high}"
        )
