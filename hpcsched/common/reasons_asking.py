"""The part of the catalogue about what jobs ask of nodes (api.md 12.1, 12.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_INVALID = "INVALID_ARGUMENT"
_STATE = "FAILED_PRECONDITION"

ASKING: Final[Mapping[str, Reason]] = {
    "RUN_UNTIL_CANCELED_AUTOMATIC": Reason(
        _INVALID,
        -2147219964,
        "{field}: run_until_canceled is not possible with auto_calculate_min and "
        "auto_calculate_max",
    ),
    "UNKNOWN_NODE_GROUP": Reason(
        _INVALID, -2147220937, "{field}: there is no node group {group}"
    ),
    "EXCLUDED_NODE_REQUIRED": Reason(
        _INVALID, -2147220887, "{field}: node {node} is required by task {task}"
    ),
    "EXCLUDED_TOO_MANY_NODES": Reason(
        _INVALID,
        -2147220886,
        "{field}: job {job_id} needs {wanted} {unit}, and the nodes that would be left "
        "have {available}",
    ),
    "EXCLUDED_NODE_UNKNOWN": Reason(
        _INVALID, -2147220885, "{field}: node {node} is not in this cluster"
    ),
    "INVALID_EXCLUSION_STATE": Reason(
        _STATE,
        -2147220884,
        "job {job_id} is {state}: its excluded nodes cannot be changed any more",
    ),
    "UNKNOWN_NODE": Reason(
        _INVALID, -2147219965, "{field}: node {node} is not in this cluster"
    ),
    "TOO_MANY_EXCLUDED_NODES": Reason(
        _INVALID, -2147220782, "{field} names {count} nodes; the limit is {limit}"
    ),
    "CLUSTER_TOO_SMALL": Reason(
        _INVALID,
        -2147219956,
        "{field}: {wanted} {unit} are asked for, and the nodes that the job may use "
        "have {available}",
    ),
    "RUN_UNTIL_CANCELED_WITHOUT_SIZE": Reason(
        _INVALID,
        -2147219963,
        "{field}: run_until_canceled needs a minimum and a maximum of {unit}",
    ),
}
