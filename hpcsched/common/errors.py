"""The catalogue of refusals: every reason, its status, its number and its text.

A refusal tells the caller what was wrong and what to do; it has no side effect. Its
``reason`` is stable, and every fact in its text is also in its metadata, so that programs
never parse sentences. A fault of ours is an ordinary exception and never in this list.

Numbers are the reference scheduler's where it has one (api.md section 12); 0 elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason as Reason  # noqa: PLC0414  users find it here
from hpcsched.common.reasons_asking import ASKING
from hpcsched.common.reasons_editing import EDITING
from hpcsched.common.reasons_limits import LIMITS
from hpcsched.common.reasons_pools import POOL_REASONS
from hpcsched.common.reasons_store import STORE_REASONS
from hpcsched.common.reasons_templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Mapping


_INVALID = "INVALID_ARGUMENT"
_STATE = "FAILED_PRECONDITION"
_MISSING = "NOT_FOUND"
_DENIED = "PERMISSION_DENIED"

REASONS: Final[Mapping[str, Reason]] = {
    **ASKING,
    # Not found
    "JOB_NOT_FOUND": Reason(_MISSING, -2147220986, "job {job_id} not found"),
    "TASK_NOT_FOUND": Reason(
        _MISSING, -2147220985, "task {task} not found in job {job_id}"
    ),
    "NODE_NOT_FOUND": Reason(_MISSING, -2147220978, "node {node} not found"),
    "TOKEN_NOT_FOUND": Reason(_MISSING, 0, "token {token_id} not found"),
    "PARAMETER_NOT_FOUND": Reason(
        _MISSING, 0, "no cluster parameter is called {name}", "hpc cluster get"
    ),
    "OUTPUT_GONE": Reason(
        _MISSING, 0, "the output of task {task} is no longer kept by node {node}"
    ),
    "OUTPUT_IN_FILE": Reason(
        _STATE, 0, "task {task} writes this stream to {path} on node {node}"
    ),
    "OUTPUT_NOT_YET": Reason(_STATE, 0, "task {task} has not started"),
    "NODE_UNREACHABLE": Reason(
        "UNAVAILABLE", -2147213988, "node {node} is not reachable"
    ),
    # Wrong state
    "JOB_NOT_CONFIGURING": Reason(
        _STATE,
        -2147220990,
        "job {job_id} is {state}; only a Configuring one can be submitted",
    ),
    "INVALID_CANCEL_JOB_STATE": Reason(
        _STATE, -2147220984, "job {job_id} is {state} and cannot be canceled"
    ),
    "INVALID_CANCEL_TASK_STATE": Reason(
        _STATE, -2147220983, "task {task} is {state} and cannot be canceled"
    ),
    "JOB_NOT_CONFIGURABLE": Reason(
        _STATE,
        -2147220982,
        "job {job_id} is {state}; only Canceled, Failed, Queued or Submitted ones can be configured",
    ),
    "SUBMISSION_FILTER_FAILED": Reason(_STATE, -2147219902, "{problem}"),
    "SUBMISSION_FILTER_TIMEOUT": Reason(
        _STATE,
        -2147219884,
        "the submission filter did not answer within {timeout} s; job {job_id} is Failed",
    ),
    "CANCELED_BEFORE_VERDICT": Reason(
        "ABORTED",
        -2147220991,
        "job {job_id} left its validation before the submission filter had decided: it is {state}",
    ),
    "INVALID_OPERATION": Reason(
        _STATE, -2147220977, "job {job_id} is {state}: {operation} is not possible"
    ),
    "TASK_NOT_CONFIGURING": Reason(
        _STATE,
        -2147220940,
        "task {task} is {state}; only a Configuring one can be submitted",
    ),
    "TASK_NOT_REQUEUEABLE": Reason(
        _STATE, -2147220916, "task {task} is {state} and cannot be queued again"
    ),
    "TASK_TYPE_NOT_REQUEUEABLE": Reason(
        _STATE, -2147220915, "task {task} is a {type} task and cannot be queued again"
    ),
    "TASK_NOT_RERUNNABLE": Reason(
        _STATE, -2147219950, "task {task} is not rerunnable", "clone the job instead"
    ),
    "TASK_NOT_RUNNING": Reason(
        _STATE,
        -2147220977,
        "task {task} is {state}; only a Running one can be finished",
    ),
    "COMMAND_NOT_RERUNNABLE": Reason(
        _STATE, -2147220977, "job {job_id} is a command and cannot be queued again"
    ),
    "TASK_TYPE_ADDED_LATE": Reason(
        _STATE,
        -2147220910,
        "a {type} task can only be added and submitted with job {job_id} itself",
    ),
    "NOT_A_SERVICE_TASK": Reason(
        _STATE,
        -2147220778,
        "task {task} is a {type} task; only a Service task can be concluded",
    ),
    "SERVICE_NOT_CONCLUDABLE": Reason(
        _STATE,
        -2147220778,
        "task {task} is {state} in a job that is {job_state} and cannot be concluded",
    ),
    **EDITING,
    **TEMPLATES,
    "RESTORE_MODE": Reason(
        _STATE,
        -2147220788,
        "the cluster is in restore mode: it takes no new work",
        "an administrator ends it with hpc cluster set RestoreMode=False",
    ),
    **POOL_REASONS,
    **STORE_REASONS,
    # Permission
    "PERMISSION_DENIED": Reason(_DENIED, -2147220981, "{user} may not {operation}"),
    "UNAUTHENTICATED": Reason(
        "UNAUTHENTICATED",
        -2147220980,
        "{problem}",
        "hpc --token-file FILE, or HPC_TOKEN_FILE",
    ),
    # Bad input
    "INVALID_FIELD": Reason(_INVALID, -2147220987, "{field}: {problem}"),
    "REQUIRED_FIELD": Reason(_INVALID, -2147219981, "{field} is required"),
    "CANCEL_MESSAGE_TOO_LONG": Reason(
        _INVALID,
        -2147220781,
        "message has {length} characters; the limit is {limit}",
    ),
    "TEXT_TOO_LONG": Reason(
        _INVALID, -2147220987, "{field} has {length} characters; the limit is {limit}"
    ),
    "SPEC_TOO_LARGE": Reason(
        _INVALID, 0, "{field} has {length} bytes; the limit is {limit}"
    ),
    "MIN_GREATER_THAN_MAX": Reason(
        _INVALID,
        -2147219958,
        "{field}: the minimum {minimum} is greater than the maximum {maximum}",
    ),
    "MISSING_COMMAND": Reason(
        _INVALID, -2147219952, "{field} is required: the task has no command"
    ),
    "TWO_COMMANDS": Reason(
        _INVALID,
        -2147220987,
        "{field}: give either arguments or a command line, not both",
    ),
    "OUT_OF_RANGE": Reason(
        _INVALID, -2147219978, "{field} is {value}; it must be {limit}"
    ),
    "PRIORITY_OUT_OF_RANGE": Reason(
        _INVALID, -2147220775, "{field} is {value}; it must be 0 to 4000"
    ),
    "SWEEP_INVALID": Reason(_INVALID, -2147219898, "{field}: {problem}"),
    "SWEEP_INCREMENT": Reason(
        _INVALID, -2147219899, "{field} is {value}; it must be at least 1"
    ),
    "SWEEP_TOO_LARGE": Reason(
        _INVALID,
        -2147219890,
        "{field}: the sweep has {count} elements; the limit is {limit}",
    ),
    "TOO_MANY_SWEEPS": Reason(
        _INVALID,
        -2147220906,
        "{field}: the job has {count} sweeps; the limit is {limit}",
    ),
    "DEPENDENCY_CYCLE": Reason(
        _INVALID,
        -2147219931,
        "{field}: tasks depend on each other in a circle: {cycle}",
    ),
    "DEPENDENCY_UNKNOWN": Reason(
        _INVALID, -2147219929, "{field}: no task of this job is called {name}"
    ),
    "DEPENDANT_WITHOUT_NAME": Reason(
        _INVALID,
        -2147219928,
        "{field}: a task that depends on others needs a name",
        "hpc job add JOB --name NAME --depends OTHER -- COMMAND",
    ),
    "TASK_NAME_INVALID": Reason(
        _INVALID,
        -2147220565,
        "{field}: comma and semicolon are not allowed in a task's name",
    ),
    "TASK_RUNTIME_TOO_LONG": Reason(
        _INVALID,
        -2147219941,
        "{field}: the task's limit of {value} is longer than the job's {limit}",
    ),
    "TASK_EXCLUSIVE_WHILE_JOB_NOT": Reason(
        _INVALID, -2147219943, "{field}: the job is not exclusive itself"
    ),
    "INVALID_EXIT_CODES": Reason(_INVALID, -2147220568, "{field}: {problem}"),
    "PROPERTY_NOT_FOR_TYPE": Reason(
        _INVALID, -2147220908, "{field} cannot be given for a {type} task"
    ),
    "TOO_MANY_PREP_TASKS": Reason(
        _INVALID, -2147219897, "{field}: a job has at most one node preparation task"
    ),
    "TOO_MANY_RELEASE_TASKS": Reason(
        _INVALID, -2147219896, "{field}: a job has at most one node release task"
    ),
    "ONLY_PREP_AND_RELEASE": Reason(
        _INVALID, -2147219895, "{field}: node preparation and release alone make no job"
    ),
    "RELEASE_TASKS_DISABLED": Reason(
        _INVALID,
        -2147219893,
        "{field}: node release tasks are disabled on this cluster",
    ),
    "RELEASE_RUNTIME_TOO_LONG": Reason(
        _INVALID,
        -2147219892,
        "{field}: the limit of {value} is longer than NodeReleaseTaskTimeout {limit}",
    ),
    "SERVICE_NOT_ALONE": Reason(
        _INVALID,
        -2147219887,
        "{field}: a service must be the job's only task beside preparation and release",
    ),
    "TASK_BESIDE_SERVICE": Reason(
        _INVALID,
        -2147220909,
        "{field}: the job has a service task and takes no other beside preparation and release",
    ),
    "CUSTOM_PROPERTY_NAME_TOO_LONG": Reason(
        _INVALID,
        -2147220772,
        "{field}: a name has {length} characters; the limit is {limit}",
    ),
    "CUSTOM_PROPERTY_VALUE_TOO_LONG": Reason(
        _INVALID,
        -2147220771,
        "{field}: a value has {length} characters; the limit is {limit}",
    ),
    "ENVIRONMENT_NAME_INVALID": Reason(
        _INVALID, -2147220931, "{field}: {name} is no name of a variable"
    ),
    "INVALID_FILTER_PROPERTY": Reason(
        _INVALID,
        -2147220925,
        "{name} cannot be filtered or sorted by",
        "these can: {known}",
    ),
    "LIST_TOO_LONG_TO_SORT": Reason(
        "FAILED_PRECONDITION",
        0,
        "{count} entries match; at most {limit} are sorted",
        "add filters, or take them in their own order",
    ),
    "PAGE_TOKEN_INVALID": Reason(
        _INVALID, 0, "page_token was not given out by this call"
    ),
    "CURSOR_UNKNOWN": Reason(_INVALID, 0, "cursor {cursor} was never given out"),
    "CURSOR_EXPIRED": Reason(
        "OUT_OF_RANGE",
        0,
        "events before {oldest_cursor} are gone",
        "resume from oldest_cursor",
    ),
    "REQUEST_ID_INVALID": Reason(
        _INVALID, 0, "request_id has {length} characters; the limit is {limit}"
    ),
    "REQUEST_ID_REUSED": Reason(
        "ALREADY_EXISTS", 0, "request_id {request_id} was used for another request"
    ),
    "PARAMETER_INVALID": Reason(_INVALID, -2147220987, "{name}: {problem}"),
    # Limits and weather
    **LIMITS,
    "QUEUE_FULL": Reason(
        "RESOURCE_EXHAUSTED", -2147220897, "the server is busy: {what}", "try again"
    ),
    "DISK_FULL": Reason(
        "RESOURCE_EXHAUSTED",
        -2147220988,
        "the head's disk is full; nothing was changed",
    ),
    "OUTCOME_UNKNOWN": Reason(
        "UNAVAILABLE",
        -2147220897,
        "the head stopped before it could answer",
        "try again with the same request_id",
    ),
    "HEAD_STOPPING": Reason(
        "UNAVAILABLE", -2147220897, "the head is stopping", "try again"
    ),
    "HEAD_UNREACHABLE": Reason(
        "UNAVAILABLE", 0, "the head at {address} does not answer: {problem}"
    ),
    "INTERNAL": Reason(
        "INTERNAL", -2147218991, "internal error {incident}; the head's log has details"
    ),
    # Nodes
    "NODE_GROUP_NOT_FOUND": Reason(
        _MISSING, -2147220937, "node group {group} not found", "hpc group list"
    ),
    "NODE_GROUP_EXISTS": Reason("ALREADY_EXISTS", 0, "there is a node group {group}"),
    "NODE_GROUP_MANAGED": Reason(
        _STATE, 0, "node group {group} is built in and cannot be changed"
    ),
    "NODE_NOT_FORGETTABLE": Reason(
        _STATE,
        0,
        "node {node} cannot be forgotten: {problem}",
        "take it offline, and stop its agent",
    ),
    # Agents
    "STALE_SESSION": Reason("ABORTED", 0, "another agent of node {node} has connected"),
    "NODE_CONFLICT": Reason(
        "ALREADY_EXISTS",
        0,
        "node {node} is connected already, and not from here: {problem}",
        "each machine needs a name, token, state directories and machine-id of its own",
    ),
    "PROTOCOL_MISMATCH": Reason(
        _STATE, 0, "the agent speaks protocols {low} to {high}, the head {ours}"
    ),
}


class HpcError(Exception):
    """A refusal: the caller's request cannot be carried out, and nothing was changed.

    Attributes:
        reason: Key of the catalogue.
        facts: Every fact in the text, as text, plus ``hresult`` where there is one.
        retry_after_s: How long the head asks its callers to wait; None: it does not.
    """

    retry_after_s: float | None = None

    def __init__(self, reason: str, **facts: object) -> None:
        entry = REASONS[reason]
        self.reason = reason
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}
        super().__init__(entry.text.format_map(_Facts(self.facts)))

    @property
    def entry(self) -> Reason:
        """The catalogue's entry."""
        return REASONS[self.reason]

    @property
    def hresult(self) -> int:
        """The reference's number; 0 where it has none."""
        return self.entry.hresult

    @property
    def hint(self) -> str:
        """What to do about it, with the facts; may be empty."""
        return self.entry.hint.format_map(_Facts(self.facts))

    @property
    def metadata(self) -> dict[str, str]:
        """The facts as they travel: with the number and the hint, where there are any."""
        extra = {}
        if self.entry.hresult:
            extra["hresult"] = str(self.entry.hresult)
        if self.entry.hint:
            extra["hint"] = self.hint
        return {**self.facts, **extra}

    @classmethod
    def from_wire(cls, reason: str, message: str, facts: Mapping[str, str]) -> HpcError:
        """Return a refusal that came over the wire; an unknown reason stays readable."""
        if reason in REASONS:
            error = cls(reason, **facts)
        else:
            error = cls("INTERNAL", incident="?")
            error.reason = reason if reason in REASONS else "INTERNAL"
            error.facts = dict(facts)
        error.args = (message,)
        return error


class _Facts(dict[str, str]):
    """Facts that a text names and nobody gave read as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"
