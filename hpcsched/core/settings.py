"""Cluster parameters that this version obeys, as typed values (properties.md 6)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

INT32: Final = 2147483647
SIGNALS: Final = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "KILL": 9,
    "USR1": 10,
    "USR2": 12,
    "TERM": 15,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: reference name, field of Settings, kind, range, meaning."""

    name: str
    field: str
    kind: str
    default: str
    low: int
    high: int
    description: str


_P = Parameter

PARAMETERS: Final[tuple[Parameter, ...]] = (
    _P(
        "AffinityType",
        "affinity",
        "choice",
        "NonExclusiveJobs",
        0,
        0,
        "When tasks are pinned to their cores: AllJobs, NonExclusiveJobs, NoJobs.",
    ),
    _P(
        "AllowNewUserConnections",
        "allow_users",
        "bool",
        "True",
        0,
        0,
        "False: only administrators may create or submit jobs.",
    ),
    _P(
        "AutomaticGrowthEnabled",
        "grow",
        "bool",
        "True",
        0,
        0,
        "Add free resources to running jobs with waiting tasks.",
    ),
    _P(
        "AutomaticShrinkEnabled",
        "shrink",
        "bool",
        "True",
        0,
        0,
        "Take resources that running jobs do not need, never below their minimum.",
    ),
    _P(
        "ExcludedNodesLimit",
        "excluded_limit",
        "int",
        "10",
        0,
        INT32,
        "Nodes that a job may exclude.",
    ),
    _P(
        "HeartbeatInterval",
        "heartbeat_s",
        "int",
        "30",
        1,
        3600,
        "Seconds between heartbeats that count for reachability.",
    ),
    _P(
        "InactivityCount",
        "inactivity",
        "int",
        "3",
        1,
        1000,
        "Missed heartbeats before a node is unreachable.",
    ),
    _P(
        "JobCleanupHour",
        "cleanup_hour",
        "int",
        "2",
        0,
        23,
        "Local hour of the daily purge of ended jobs.",
    ),
    _P(
        "JobRetryCount",
        "job_retries",
        "int",
        "3",
        0,
        INT32,
        "Automatic reruns of a job after system errors.",
    ),
    _P(
        "MaxSweepInstances",
        "max_sweep",
        "int",
        "1000000",
        1,
        1000000,
        "Elements of one sweep.",
    ),
    _P(
        "MaxSweepTasksPerJob",
        "max_sweeps",
        "int",
        "100",
        1,
        100000,
        "Sweeps in one job.",
    ),
    _P(
        "NodeReleaseTaskTimeout",
        "release_s",
        "int",
        "15",
        0,
        86400,
        "Seconds that a node release task may run; 0 disables release tasks.",
    ),
    _P(
        "TTLCompletedJobs",
        "ttl_days",
        "int",
        "5",
        1,
        36500,
        "Days that ended jobs are kept.",
    ),
    _P(
        "TaskCancelGracePeriod",
        "grace_s",
        "int",
        "15",
        0,
        86400,
        "Seconds between the cancel signal and the kill.",
    ),
    _P(
        "TaskCancelSignal",
        "signal",
        "signal",
        "TERM",
        0,
        0,
        "Signal that starts the grace period: " + ", ".join(SIGNALS) + ".",
    ),
    _P(
        "TaskOutputLimit",
        "output_limit",
        "int",
        "4096",
        0,
        65536,
        "Bytes of output kept with a task.",
    ),
    _P(
        "TaskRetryCount",
        "task_retries",
        "int",
        "3",
        0,
        INT32,
        "Automatic reruns of a task after system errors.",
    ),
)
_BY_NAME: Final = {p.name.lower(): p for p in PARAMETERS}
_AFFINITY: Final = ("AllJobs", "NonExclusiveJobs", "NoJobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parameters in force. Times in seconds. Defaults are the reference's."""

    affinity: str = "NonExclusiveJobs"
    allow_users: bool = True
    grow: bool = True
    shrink: bool = True
    excluded_limit: int = 10
    heartbeat_s: int = 30
    inactivity: int = 3
    cleanup_hour: int = 2
    job_retries: int = 3
    max_sweep: int = 1000000
    max_sweeps: int = 100
    release_s: int = 15
    ttl_days: int = 5
    grace_s: int = 15
    signal: int = 15
    output_limit: int = 4096
    task_retries: int = 3

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Settings:
        """Return the settings of stored texts; unknown names are passed over."""
        known = {f.name for f in fields(cls)}
        values = {}
        for name, text in texts.items():
            parameter = _BY_NAME.get(name.lower())
            if parameter is not None and parameter.field in known:
                values[parameter.field] = parse(parameter, text)
        return cls(**values)  # type: ignore[arg-type]


def find(name: str) -> Parameter:
    """Return a parameter by its name in any case.

    Raises:
        HpcError: PARAMETER_NOT_FOUND.
    """
    parameter = _BY_NAME.get(name.lower())
    if parameter is None:
        raise HpcError("PARAMETER_NOT_FOUND", name=name)
    return parameter


def parse(parameter: Parameter, text: str) -> int | bool | str:
    """Return the value of a parameter's text.

    Raises:
        HpcError: PARAMETER_INVALID, with the range.
    """
    match parameter.kind:
        case "bool":
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            problem = f"{text!r} is neither True nor False"
        case "choice":
            for choice in _AFFINITY:
                if choice.lower() == text.lower():
                    return choice
            problem = f"{text!r} is not one of {', '.join(_AFFINITY)}"
        case "signal":
            name = text.upper().removeprefix("SIG")
            if name in SIGNALS:
                return SIGNALS[name]
            problem = f"{text!r} is not one of {', '.join(SIGNALS)}"
        case _:
            low, high = parameter.low, parameter.high
            if (
                text.strip().isascii()
                and text.strip().isdigit()
                and low <= int(text) <= high
            ):
                return int(text)
            problem = f"{text!r} is not a whole number from {low} to {high}"
    raise HpcError("PARAMETER_INVALID", name=parameter.name, problem=problem)
