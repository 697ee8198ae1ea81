"""Refusals of edits, holds, parents and fences: a part of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_INVALID = "INVALID_ARGUMENT"
_STATE = "FAILED_PRECONDITION"

EDITING: Final[Mapping[str, Reason]] = {
    "JOB_NOT_MODIFIABLE": Reason(
        _STATE,
        -2147220961,
        "job {job_id} is {state} and cannot be changed ({field})",
        "progress and progress_message can always be set; hpc job clone copies a job",
    ),
    "PROPERTY_NOT_MODIFIABLE": Reason(
        _STATE,
        -2147220962,
        "{field} cannot be changed while job {job_id} is {state}",
    ),
    "BACKFILL_RUNTIME": Reason(
        _STATE,
        -2147220963,
        "job {job_id} runs ahead of others (backfill): its run-time limit is fixed",
    ),
    "TASK_NOT_MODIFIABLE": Reason(
        _STATE,
        -2147220921,
        "task {task} is {state} in a job that is {job_state}; both must be Configuring",
        "hpc job configure",
    ),
    "ELEMENTS_HAVE_ENDED": Reason(
        _STATE,
        -2147220921,
        "task {task}: {field} cannot change, elements of it have ended",
        "clone the job instead",
    ),
    "REVISION_CONFLICT": Reason(
        "ABORTED",
        0,
        "job {job_id} has changed: it is at revision {revision}, not {expected}",
        "read the job again",
    ),
    "HOLD_STATE": Reason(
        _STATE, -2147220790, "job {job_id} is {state}; only a Queued one can be held"
    ),
    "HOLD_UNTIL_PAST": Reason(_INVALID, -2147220789, "{field} is not in the future"),
    "HOLD_UNTIL_TOO_FAR": Reason(
        _INVALID, -2147220783, "{field} is more than a year ahead"
    ),
    "PARENT_NOT_FOUND": Reason(
        _INVALID, -2147219976, "{field}: parent job {parent} does not exist"
    ),
    "PARENT_NOT_SUBMITTED": Reason(
        _INVALID, -2147219975, "{field}: parent job {parent} has not been submitted"
    ),
    "INVALID_PARENT": Reason(_INVALID, -2147220567, "{field}: {problem}"),
    "PROGRESS_OUT_OF_RANGE": Reason(
        _INVALID, -2147220917, "{field} is {value}; it must be 0 to 100"
    ),
    "NODE_SILENT": Reason(
        _STATE,
        0,
        "node {node} does not say whether job {job_id} has started there",
        "try again in a minute; a cancel is taken at once",
    ),
    "NODE_NOT_LOST": Reason(
        _STATE,
        0,
        "node {node} is not lost: only one that is unreachable can be fenced",
        "hpc node offline stops what runs there",
    ),
    "ATTEMPT_MAY_LIVE": Reason(
        _STATE,
        0,
        "task {task} may not run again: an attempt of it may live on node {node}, "
        "which is lost",
        "wait until the node is back; if it never comes: hpc node fence {node}",
    ),
    "TEMPLATE_NOT_FOUND": Reason(
        _INVALID, -2147220965, "{field}: no job template is called {name}"
    ),
}
