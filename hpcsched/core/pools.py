"""What a pool may be called and weigh (api.md 6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_LIMIT: Final = 64
WEIGHT_LIMIT: Final = 999_999
POOL_LIMIT: Final = 256
DEFAULT_WEIGHT: Final = 1
"""Of the Default pool, until an administrator says otherwise."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def check_weight(weight: int) -> None:
    """Refuse a weight out of range.

    Raises:
        HpcError: POOL_WEIGHT_INVALID.
    """
    if not 0 <= weight <= WEIGHT_LIMIT:
        raise HpcError(
            "POOL_WEIGHT_INVALID", field="weight", value=weight, limit=WEIGHT_LIMIT
        )


def check_new(name: str, known: Iterable[str]) -> None:
    """Refuse a name that a new pool cannot have.

    Raises:
        HpcError: REQUIRED_FIELD, POOL_NAME_TOO_LONG, POOL_NAME_INVALID,
            POOL_NAME_IN_USE, TOO_MANY_POOLS.
    """
    if not name:
        raise HpcError("REQUIRED_FIELD", field="name")
    if len(name) > NAME_LIMIT:
        raise HpcError(
            "POOL_NAME_TOO_LONG", field="name", length=len(name), limit=NAME_LIMIT
        )
    if not _NAME.match(name):
        raise HpcError("POOL_NAME_INVALID", field="name", name=name)
    others = list(known)
    for other in others:
        if other.casefold() == name.casefold():
            raise HpcError("POOL_NAME_IN_USE", field="name", name=other)
    if len(others) >= POOL_LIMIT:
        raise HpcError("TOO_MANY_POOLS", limit=POOL_LIMIT)


def check_deletable(name: str) -> None:
    """Refuse to delete the Default pool.

    Raises:
        HpcError: DEFAULT_POOL.
    """
    if name == DEFAULT_POOL:
        raise HpcError("DEFAULT_POOL")
