"""Cluster parameters: names, ranges, defaults, meanings (properties.md 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hpcsched.common.errors import HpcError

INT32: Final = 2147483647
TEXT_LIMIT: Final = 1024
"""Characters of a parameter's text."""
_DIGITS: Final = 40
_PORTS: Final = 65535
_SERVER: Final = re.compile(
    r"(?:[^\s:@/\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_SENDER: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+")
SIGNALS: Final = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "KILL": 9,
    "USR1": 10,
    "USR2": 12,
    "TERM": 15,
}
DAYS: Final = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
)
LOG_LEVELS: Final = (
    *("Off", "Critical", "Error", "Warning", "Information", "Verbose"),
    *("ActivityTracing", "All"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        name: The reference's name.
        field: The attribute of ``Settings`` that holds its value.
        kind: ``int``, ``bool``, ``choice``, ``signal``, ``text``, ``path``, ``server``
            or ``sender``.
        default: As text.
        low, high: Range of an ``int``.
        choices: Of a ``choice``, spelled as they are shown; an empty one is given by
            an empty text.
    """

    name: str
    field: str
    kind: str
    default: str
    description: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()


def _int(  # noqa: PLR0917  a table reads best so
    name: str, field: str, default: int, low: int, high: int, description: str
) -> Parameter:
    return Parameter(
        name=name,
        field=field,
        kind="int",
        default=str(default),
        description=description,
        low=low,
        high=high,
    )


def _bool(name: str, field: str, default: str, description: str) -> Parameter:
    return Parameter(
        name=name,
        field=field,
        kind="bool",
        default=default,
        description=description,
    )


def _choice(
    name: str, field: str, choices: tuple[str, ...], default: str, description: str
) -> Parameter:
    return Parameter(
        name=name,
        field=field,
        kind="choice",
        default=default,
        description=f"{description} One of {', '.join(filter(None, choices))}.",
        choices=choices,
    )


def _text(kind: str, name: str, field: str, description: str) -> Parameter:
    return Parameter(
        name=name, field=field, kind=kind, default="", description=description
    )


PARAMETERS: Final[tuple[Parameter, ...]] = (
    _text(
        "path",
        "ActivationFilterProgram",
        "activation_filter",
        "Absolute path of the program that is asked whenever a job is about to start.",
    ),
    _int(
        *("ActivationFilterTimeout", "activation_timeout_s", 15, 1, 120),
        "Seconds after which the activation filter is killed; the job waits.",
    ),
    _choice(
        *("AffinityType", "affinity", ("AllJobs", "NonExclusiveJobs", "NoJobs")),
        "NonExclusiveJobs",
        "When tasks are pinned to their cores.",
    ),
    _int(
        *("AllocationHistoryTtl", "allocation_ttl_days", 5, 1, 36500),
        "Days that the rows of who held which cores are kept.",
    ),
    _bool(
        *("AllowNewUserConnections", "allow_users", "True"),
        "False: only administrators may connect, create and submit.",
    ),
    _bool(
        *("AutomaticGrowthEnabled", "grow", "True"),
        "Add free resources to running jobs with waiting tasks (Queued mode).",
    ),
    _bool(
        *("AutomaticShrinkEnabled", "shrink", "True"),
        "Take what running jobs do not need, never below their minimum (Queued mode).",
    ),
    _int(
        *("BackfillLookahead", "backfill", 1000, -INT32, INT32),
        "Waiting jobs examined for backfill; 0: none; below 0: all.",
    ),
    _int(
        *("DataExtensibilityTtl", "history_ttl_days", 365, 1, 36500),
        "Days that the history rows of jobs are kept.",
    ),
    _int(
        *("DefaultHoldDuration", "hold_s", 900, 1, INT32),
        "Seconds until a job that the activation filter holds is looked at again.",
    ),
    _text("sender", "EmailFromAddress", "email_from", "Sender of notifications."),
    _bool(
        *("EmailNotificationEnabled", "email", "False"),
        "Send the notifications that jobs ask for.",
    ),
    _text(
        *("server", "EmailSmtpServer", "email_server"),
        "Mail server, HOST or HOST:PORT.",
    ),
    _bool("EmailUseSsl", "email_ssl", "False", "Speak TLS with the mail server."),
    _bool(
        *("EnablePools", "pools", "False"),
        "Give each pool at least its guaranteed share of the cores.",
    ),
    _choice(
        *("EventLogLevel", "log_level", ("", *LOG_LEVELS), ""),
        "Least level that the head logs; empty: as its configuration says.",
    ),
    _int(
        *("ExcludedNodesLimit", "excluded_limit", 10, 0, INT32),
        "Nodes that a job may exclude.",
    ),
    _bool(
        *("GrowByPreemptionEnabled", "grow_by_preemption", "False"),
        "Running jobs may grow by preempting others.",
    ),
    _int(
        *("HeartbeatInterval", "heartbeat_s", 30, 1, 3600),
        "Seconds between heartbeats that count for reachability.",
    ),
    _int(
        *("InactivityCount", "inactivity", 3, 1, 1000),
        "Missed heartbeats before a node is unreachable.",
    ),
    _int(
        *("InactivityCountAzure", "inactivity_remote", 10, 1, 1000),
        "The same for remote nodes: those of the node group AzureNodes.",
    ),
    _choice(
        *("JobCleanUpDayOfWeek", "cleanup_day", ("", *DAYS), ""),
        "Day of the week of the purge of ended jobs; empty: every day.",
    ),
    _int(
        *("JobCleanupHour", "cleanup_hour", 2, 0, 23),
        "Local hour of the daily purge of ended jobs.",
    ),
    _int(
        *("JobRetryCount", "job_retries", 3, 0, INT32),
        "Automatic reruns of a job after system errors.",
    ),
    _int(
        *("MaxSweepInstances", "max_sweep", 1000000, 1, 1000000),
        "Elements of one sweep.",
    ),
    _int(
        *("MaxSweepTasksPerJob", "max_sweeps", 100, 1, 100000),
        "Sweeps in one job.",
    ),
    _int(
        *("NodeReleaseTaskTimeout", "release_s", 15, 0, 86400),
        "Seconds that a node release task may run; 0 disables release tasks.",
    ),
    _choice(
        *("PreemptionBalancedMode", "balanced_preemption"),
        *(("None", "Graceful", "Immediate"), "Graceful"),
        "How jobs give up resources in Balanced mode.",
    ),
    _choice(
        *("PreemptionType", "preemption", ("None", "Graceful", "Immediate")),
        "Graceful",
        "How jobs of higher priority take resources (Queued mode).",
    ),
    _choice(
        *("PriorityBias", "bias", ("HighBias", "MediumBias", "LowBias"), "MediumBias"),
        "How priority weighs when the surplus is shared (Balanced mode).",
    ),
    _int(
        *("RebalancingInterval", "rebalance_s", 10, 1, 86400),
        "Seconds between two rebalancings (Balanced mode).",
    ),
    _bool(
        *("RestoreMode", "restore_mode", "False"),
        "True: nothing is started until an administrator ends it.",
    ),
    _choice(
        *("SchedulingMode", "mode", ("Queued", "Balanced"), "Queued"),
        "Queued: queue order, most first. Balanced: the minimum for all first.",
    ),
    _text(
        "path",
        "SubmissionFilterProgram",
        "submission_filter",
        "Absolute path of the program that is asked about each submitted job.",
    ),
    _int(
        *("SubmissionFilterTimeout", "submission_timeout_s", 15, 1, 120),
        "Seconds after which the submission filter is killed; the job is rejected.",
    ),
    _int(
        *("TTLCompletedJobs", "ttl_days", 5, 1, 36500),
        "Days that ended jobs are kept.",
    ),
    _int(
        *("TaskCancelGracePeriod", "grace_s", 15, 0, 86400),
        "Seconds between the cancel signal and the kill.",
    ),
    Parameter(
        name="TaskCancelSignal",
        field="signal",
        kind="signal",
        default="TERM",
        description="Signal that starts the grace period: " + ", ".join(SIGNALS) + ".",
    ),
    _bool(
        *("TaskImmediatePreemptionEnabled", "task_preemption", "True"),
        "Preempt as few tasks as needed, not whole jobs.",
    ),
    _int(
        *("TaskOutputLimit", "output_limit", 4096, 0, 65536),
        "Bytes of output kept with a task.",
    ),
    _int(
        *("TaskRetryCount", "task_retries", 3, 0, INT32),
        "Automatic reruns of a task after system errors.",
    ),
)
_FLAGS: Final = {"true": True, "false": False}
_BY_NAME: Final = {p.name.lower(): p for p in PARAMETERS}


def known(name: str) -> Parameter | None:
    """Return a parameter of the system by its name in any case, or None."""
    return _BY_NAME.get(name.lower())


def find(name: str) -> Parameter:
    """Return a parameter by its name in any case.

    Raises:
        HpcError: PARAMETER_NOT_FOUND.
    """
    parameter = known(name)
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
            if (flag := _FLAGS.get(text.lower())) is not None:
                return flag
            problem = f"{text!r} is neither True nor False"
        case "choice":
            chosen = [c for c in parameter.choices if c.lower() == text.lower()]
            if chosen:
                return chosen[0]
            choices = ", ".join(filter(None, parameter.choices))
            problem = f"{text!r} is not one of {choices}"
        case "signal":
            name = text.upper().removeprefix("SIG")
            if name in SIGNALS:
                return SIGNALS[name]
            problem = f"{text!r} is not one of {', '.join(SIGNALS)}"
        case "text" | "path" | "server" | "sender":
            if len(text) <= TEXT_LIMIT and text.isprintable():
                return text
            problem = f"not at most {TEXT_LIMIT} printable characters"
        case _:
            if (number := _whole(parameter, text.strip())) is not None:
                return number
            low, high = parameter.low, parameter.high
            problem = f"{text[:40]!r} is not a whole number from {low} to {high}"
    raise HpcError("PARAMETER_INVALID", name=parameter.name, problem=problem)


def check(parameter: Parameter, text: str) -> None:
    """Refuse a text that an administrator may not set.

    What has been stored is only parsed: a head starts with what an older one took.

    Raises:
        HpcError: PARAMETER_INVALID, with what it should be.
    """
    parse(parameter, text)
    problem = _problem(parameter.kind, text) if text else ""
    if problem:
        raise HpcError("PARAMETER_INVALID", name=parameter.name, problem=problem)


def _problem(kind: str, text: str) -> str:
    match kind:
        case "path" if not text.startswith("/"):
            return f"{text!r} is not an absolute path"
        case "server":
            found = _SERVER.fullmatch(text)
            if found is None or not 0 < int(found["port"] or 1) <= _PORTS:
                return f"{text!r} is not HOST or HOST:PORT"
        case "sender" if _SENDER.fullmatch(text) is None:
            return f"{text!r} is not an address such as hpc@example.org"
    return ""


def _whole(parameter: Parameter, text: str) -> int | None:
    digits = text.removeprefix("-")
    # Longer ones fit no range, and Python itself refuses to convert the longest.
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS:
        return None
    value = int(text)
    return value if parameter.low <= value <= parameter.high else None
