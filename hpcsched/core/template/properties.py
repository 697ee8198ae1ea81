"""Which properties of jobs a template may speak of, and their values as texts."""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import NodeGroupOp, UnitType

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIORITIES: Final = {
    "lowest": 0,
    "belownormal": 1000,
    "normal": 2000,
    "abovenormal": 3000,
    "highest": 4000,
}
"""The bands of properties.md 3.3, by the reference's names in lower case."""

INT32: Final = 2147483647
TEXT_LIMIT: Final = 1024


class Kind(StrEnum):
    """What the values of a property are."""

    NUMBER = "a whole number"
    SECONDS = "a number of seconds"
    FLAG = "true or false"
    TEXT = "a text"
    LIST = "a list with commas"
    NAME = "a name"


_NUMBERS: Final = (
    *("min_cores", "max_cores", "min_sockets", "max_sockets", "min_nodes", "max_nodes"),
    *("min_memory", "max_memory", "min_cores_per_node", "max_cores_per_node"),
    *("estimated_process_memory", "priority", "retry_limit", "target_resource_count"),
)
_FLAGS: Final = (
    *("auto_calculate_min", "auto_calculate_max", "single_node", "is_exclusive"),
    *("run_until_canceled", "fail_on_task_failure", "fail_dependent_tasks"),
    *("can_preempt", "notify_on_start", "notify_on_completion"),
)
_TEXTS: Final = (
    *("name", "project", "user_name", "order_by", "valid_exit_codes", "email_address"),
    *("software_license", "service_name"),
)
_LISTS: Final = ("requested_nodes", "excluded_nodes", "node_groups")
_ENUMS: Final[Mapping[str, type[IntEnum]]] = {
    "unit_type": UnitType,
    "node_group_op": NodeGroupOp,
}
KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(_NUMBERS, Kind.NUMBER),
    "runtime": Kind.SECONDS,
    **dict.fromkeys(_FLAGS, Kind.FLAG),
    **dict.fromkeys(_TEXTS, Kind.TEXT),
    **dict.fromkeys(_LISTS, Kind.LIST),
    **dict.fromkeys(_ENUMS, Kind.NAME),
}
"""Properties by name, as they are called in the job's specification."""

ORDERED: Final = (Kind.NUMBER, Kind.SECONDS)
"""Kinds with a minimum and a maximum."""

_ALIASES: Final = {
    "task_execution_failure_retry_limit": "retry_limit",
    "runtime_seconds": "runtime",
    "preemptable": "can_preempt",
    "job_valid_exit_codes": "valid_exit_codes",
}
_SHOWN: Final = {"retry_limit": "task_execution_failure_retry_limit"}
BUILT_IN: Final[Mapping[str, Any]] = {
    one.name: one.default
    for one in fields(JobSpec)
    if one.name in KINDS and one.default is not MISSING
}
"""What a property is that neither user nor template has set."""


def find(name: str) -> str:
    """Return the property of a name, whatever its spelling (``RunUntilCanceled``).

    Raises:
        HpcError: TEMPLATE_PROPERTY_UNKNOWN.
    """
    plain = _plain(name)
    for known in (*KINDS, *_ALIASES):
        if plain == _plain(known):
            return _ALIASES.get(known, known)
    known_names = ", ".join(sorted(map(shown, KINDS)))
    raise HpcError("TEMPLATE_PROPERTY_UNKNOWN", name=name, known=known_names)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def shown(name: str) -> str:
    """Return a property's name as the API calls it."""
    return _SHOWN.get(name, name)


def parse(name: str, text: str, field: str) -> Any:
    """Return the value of a property's text.

    Raises:
        HpcError: INVALID_FIELD, with what it may be.
    """
    kind = KINDS[name]
    value: Any = None
    wanted = kind.value
    if len(text) > TEXT_LIMIT:
        raise HpcError("TEXT_TOO_LONG", field=field, length=len(text), limit=TEXT_LIMIT)
    match kind:
        case Kind.NUMBER:
            value = _whole(text)
            if name == "priority":
                value = PRIORITIES.get(_plain(text), value)
                wanted = f"a whole number, or one of {', '.join(PRIORITIES)}"
        case Kind.SECONDS:
            whole = _whole(text)
            value = None if whole is None else float(whole)
        case Kind.FLAG:
            value = {"true": True, "false": False}.get(text.strip().lower())
        case Kind.TEXT:
            value = text
        case Kind.LIST:
            value = tuple(part.strip() for part in text.split(",") if part.strip())
        case Kind.NAME:
            kinds = {member.name.lower(): member for member in _ENUMS[name]}
            value = kinds.get(_plain(text))
            wanted = f"one of {', '.join(kinds)}"
    if value is None:
        problem = f"{shown(name)} is {wanted}, not {text!r}"
        raise HpcError("INVALID_FIELD", field=field, problem=problem)
    return value


def _whole(text: str) -> int | None:
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and int(digits) <= INT32:
        return int(digits)
    return None


def as_text(value: Any) -> str:
    """Return a value as ``parse`` reads it."""
    if isinstance(value, IntEnum):
        return value.name.capitalize()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:.0f}"
    return str(value)
