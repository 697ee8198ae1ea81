"""Refusals of job templates: a part of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_INVALID = "INVALID_ARGUMENT"

TEMPLATES: Final[Mapping[str, Reason]] = {
    "TEMPLATE_PROPERTY_UNKNOWN": Reason(
        _INVALID,
        0,
        "no template can speak of {name}",
        "properties that it can speak of: {known}",
    ),
    "TEMPLATE_NOT_ALLOWED": Reason(
        "PERMISSION_DENIED",
        -2147220967,
        "{user} may not use the job template {template}",
    ),
    "TEMPLATE_VALUE_INVALID": Reason(
        _INVALID,
        -2147220881,
        "{field} is {value!r}; the job template {template} allows {allowed}",
    ),
    "TEMPLATE_VALUE_TOO_SMALL": Reason(
        _INVALID,
        -2147220880,
        "{field} is {value}; the job template {template} wants {limit} at least",
    ),
    "TEMPLATE_VALUE_TOO_LARGE": Reason(
        _INVALID,
        -2147220879,
        "{field} is {value}; the job template {template} allows {limit} at most",
    ),
    "TEMPLATE_VALUE_REQUIRED": Reason(
        _INVALID, -2147220878, "{field} is required by the job template {template}"
    ),
    "TEMPLATE_EXISTS": Reason(
        "ALREADY_EXISTS", 0, "there is a job template {name} already"
    ),
    "TEMPLATE_IS_DEFAULT": Reason(
        "FAILED_PRECONDITION", 0, "the job template {name} always exists"
    ),
    "TEMPLATE_CHANGED": Reason(
        "ABORTED",
        0,
        "the job template {name} is at revision {revision}, not {expected}",
        "read it again",
    ),
}
