"""The part of the catalogue about pools (api.md 6, 12.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

POOL_REASONS: Final[Mapping[str, Reason]] = {
    "POOL_NOT_FOUND": Reason(
        "NOT_FOUND", -2147220590, "no pool is called {name}", "hpc pool list"
    ),
    "POOL_NAME_IN_USE": Reason(
        "ALREADY_EXISTS", -2147220592, "there is a pool called {name} already"
    ),
    "POOL_WEIGHT_INVALID": Reason(
        "INVALID_ARGUMENT",
        -2147220591,
        "{field} is {value}; it must be from 0 to {limit}",
    ),
    "DEFAULT_POOL": Reason(
        "FAILED_PRECONDITION", -2147220589, "the Default pool cannot be deleted"
    ),
    "POOLS_NOT_ENABLED": Reason(
        "FAILED_PRECONDITION",
        -2147220588,
        "pools are switched off",
        "hpc cluster set EnablePools=True",
    ),
    "POOL_IN_USE": Reason(
        "FAILED_PRECONDITION", -2147220587, "pool {name} is used by {users}", "--force"
    ),
    "TOO_MANY_POOLS": Reason(
        "RESOURCE_EXHAUSTED", -2147220586, "there are {limit} pools, the limit"
    ),
    "POOL_NAME_TOO_LONG": Reason(
        "INVALID_ARGUMENT",
        -2147220585,
        "{field} has {length} characters; the limit is {limit}",
    ),
    "POOL_NAME_INVALID": Reason(
        "INVALID_ARGUMENT",
        -2147220584,
        "{field} is {name}: letters, digits and _ . - only, a letter or digit first",
    ),
}
