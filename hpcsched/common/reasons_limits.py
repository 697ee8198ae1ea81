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
    "JOB_QUARANTINED": Reason(
        "FAILED_PRECONDITION",
        0,
        "job {job_id} is set aside after a fault of the head, incident {incident}",
        "it can be canceled; an administrator lets it go on: hpc job release {job_id}",
    ),
    "TOO_MANY_CALLS": Reason(
        _FULL, -2147220897, "{user} has {limit} calls under way, the limit ({setting})"
    ),
    "TOO_MANY_BYTES": Reason(
        _FULL,
        -2147220897,
        "requests of more than {limit} MiB would be under way, the limit ({setting})",
    ),
    "TOO_MANY_STREAMS": Reason(
        _FULL, -2147220897, "{limit} streams and waits are open, the limit ({setting})"
    ),
    "TOO_MANY_CONNECTIONS": Reason(
        _FULL, -2147220897, "{limit} connections are in use, the limit ({setting})"
    ),
}
