"""What jobs, tasks and nodes can be filtered and sorted by (api.md 11.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = int | float | str
"""A value of a property; what has none is None."""


class Kind(StrEnum):
    """What the values of a property are."""

    NUMBER = "a whole number"
    TIME = "a time such as 2026-03-01T08:00:00Z"
    TEXT = "a text"
    FLAG = "true or false"
    NAME = "a name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property.

    Attributes:
        name: As in the API's messages.
        kind: Of its values; a FLAG is 0 or 1, a TIME is seconds since 1970, UTC.
        numbers: Of a NAME: lower-case name to the number that is kept and sorted by.
        flags: The reference's number of a NAME is the bit ``1 << (number - 1)``.
        bits: A value of a NAME is several names at once: the sum of their numbers.
    """

    name: str
    kind: Kind
    numbers: Mapping[str, int] = field(default_factory=dict)
    flags: bool = False
    bits: bool = False


def _names(members: Iterable[JobState | TaskState | TaskType]) -> dict[str, int]:
    return {member.label.lower().replace(" ", ""): int(member) for member in members}


def _table(*properties: Property) -> dict[str, Property]:
    return {each.name: each for each in properties}


def _of(kind: Kind, *names: str) -> tuple[Property, ...]:
    return tuple(Property(name=name, kind=kind) for name in names)


def _state(name: str, members: Iterable[JobState | TaskState]) -> Property:
    return Property(name=name, kind=Kind.NAME, numbers=_names(members), flags=True)


_TIMES: Final = ("create_time", "submit_time", "start_time", "end_time", "change_time")
_SIZES: Final = (
    *("min_cores", "max_cores", "min_sockets", "max_sockets", "min_nodes", "max_nodes"),
)
_TASK_STATES: Final = tuple(state.label.lower() for state in TaskState)
TASK_COUNTS: Final = (
    "task_count",
    *(f"task_counts.{name}" for name in ("total", *_TASK_STATES)),
)
"""How many tasks a job has, and elements, all of them and by state, in their order."""
_UNITS: Final = {"core": 0, "socket": 1, "node": 2}
_JOB_TYPES: Final = {kind.name.lower(): int(kind) for kind in JobType}
_NODE_JOB_TYPES: Final = {"batch": 1, "admin": 2, "service": 4, "broker": 8}
_NODE_STATES: Final = {"offline": 1, "draining": 2, "online": 3}

JOB_PROPERTIES: Final = _table(
    *_of(Kind.NUMBER, "id", "priority", "requeue_count", "runtime", *_SIZES),
    *_of(Kind.NUMBER, *TASK_COUNTS),
    *_of(Kind.TEXT, "name", "owner", "user_name", "project", "job_template", "pool"),
    *_of(Kind.TIME, *_TIMES),
    *_of(Kind.FLAG, "run_until_canceled", "is_exclusive"),
    *_of(Kind.FLAG, "auto_calculate_min", "auto_calculate_max"),
    *_of(Kind.FLAG, "can_grow", "can_shrink"),
    _state("state", JobState),
    _state("previous_state", JobState),
    Property(name="unit_type", kind=Kind.NAME, numbers=_UNITS),
    Property(name="job_type", kind=Kind.NAME, numbers=_JOB_TYPES),
)
TASK_PROPERTIES: Final = _table(
    *_of(Kind.NUMBER, "job_id", "task_id", "instance_id", "exit_code"),
    *_of(Kind.NUMBER, "requeue_count", "runtime", *_SIZES),
    *_of(Kind.TEXT, "name"),
    *_of(Kind.TIME, *_TIMES),
    *_of(Kind.FLAG, "is_rerunnable", "is_exclusive", "is_parametric"),
    _state("state", TaskState),
    _state("previous_state", TaskState),
    Property(name="type", kind=Kind.NAME, numbers=_names(TaskType)),
)
NODE_PROPERTIES: Final = _table(
    *_of(Kind.NUMBER, "id", "cores", "sockets", "memory_bytes", "cores_in_use"),
    *_of(Kind.NUMBER, "running_tasks", "cpu_mhz"),
    *_of(Kind.TEXT, "name", "guid", "reason", "agent_version"),
    *_of(Kind.TIME, "online_time", "offline_time", "join_time"),
    *_of(Kind.FLAG, "reachable", "forced_offline"),
    Property(name="job_types", kind=Kind.NAME, numbers=_NODE_JOB_TYPES, bits=True),
    Property(name="state", kind=Kind.NAME, numbers=_NODE_STATES, flags=True),
)

_ALIASES: Final = {
    "runtimeseconds": "runtime",
    "numcores": "cores",
    "numsockets": "sockets",
    "memorysize": "memory_bytes",
    "cpuspeed": "cpu_mhz",
    "jobtype": "job_types",
    "parentjobid": "job_id",
    **{f"{name}taskcount": f"task_counts.{name}" for name in _TASK_STATES},
}


def find(properties: Mapping[str, Property], name: str) -> Property:
    """Return a property by its name, or by the reference's (``SubmitTime``).

    Raises:
        HpcError: INVALID_FILTER_PROPERTY (api.md 11.1).
    """
    plain = name.replace("_", "").replace("-", "").lower()
    for known in properties.values():
        if plain == known.name.replace("_", "") or _ALIASES.get(plain) == known.name:
            return known
    raise HpcError(
        "INVALID_FILTER_PROPERTY", name=name, known=", ".join(sorted(properties))
    )
