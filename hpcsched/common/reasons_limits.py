"""The part of the catalogue about hostile input and limits (RELIABILITY 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_FULL: Final = "RESOURCE_EXHAUSTED"

LIMITS: Final[Mapping[str, Reason]] = {
    "MALFORMED_REQUEST": Reason(
        "INVALID_ARGUMENT", 0, "the request cannot be read: {problem}"
    ),
}
