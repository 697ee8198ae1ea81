"""Cores, sockets and nodes that jobs and tasks ask for (properties.md 3.2, 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.job.bounds import INT32

if TYPE_CHECKING:
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec


def check_size(field: str, unit: str, least: int | None, most: int | None) -> None:
    """Check a minimum and a maximum; None is not given.

    Args:
        field: Of the specification, for refusals.
        unit: ``cores``, ``sockets`` or ``nodes``.
        least: The minimum.
        most: The maximum.

    Raises:
        HpcError: OUT_OF_RANGE, MIN_GREATER_THAN_MAX.
    """
    for name, value in ((f"min_{unit}", least), (f"max_{unit}", most)):
        if value is not None and not 1 <= value <= INT32:
            raise HpcError(
                "OUT_OF_RANGE", field=f"{field}.{name}", value=value, limit="at least 1"
            )
    if least is not None and most is not None and least > most:
        raise HpcError(
            "MIN_GREATER_THAN_MAX",
            field=f"{field}.min_{unit}",
            minimum=least,
            maximum=most,
        )


def check_task_size(field: str, task: TaskSpec) -> None:
    """Check what one process of a task takes, by itself.

    Raises:
        HpcError: OUT_OF_RANGE, MIN_GREATER_THAN_MAX, INVALID_FIELD.
    """
    if len(set(task.required_nodes)) < len(task.required_nodes):
        problem = "a node is named twice"
        raise HpcError(
            "INVALID_FIELD", field=f"{field}.required_nodes", problem=problem
        )
    check_size(field, "cores", task.min_cores, task.max_cores or None)
    check_size(field, "sockets", task.min_sockets, task.max_sockets or None)
    check_size(field, "nodes", task.min_nodes, task.max_nodes or None)


def given_sizes(task: TaskSpec) -> dict[str, bool]:
    """Return which properties are given that a task of a node's own cannot have."""
    return {
        "min_cores": task.min_cores > 1 or task.max_cores > 1,
        "min_sockets": task.min_sockets > 1 or task.max_sockets > 1,
        "min_nodes": task.min_nodes > 1 or task.max_nodes > 1,
        "required_nodes": bool(task.required_nodes),
        "requested_node_group": bool(task.requested_node_group),
        "is_exclusive": task.is_exclusive,
    }


def check_task_nodes(field: str, spec: JobSpec, task: TaskSpec) -> None:
    """Check what a task asks of its nodes against its job (properties.md 4.1).

    Raises:
        HpcError: TASK_EXCLUSIVE_WHILE_JOB_NOT, INVALID_FIELD, OUT_OF_RANGE.
    """
    computed = spec.least is None, spec.most is None
    if task.is_exclusive:
        name = f"{field}.is_exclusive"
        if not spec.is_exclusive:
            raise HpcError("TASK_EXCLUSIVE_WHILE_JOB_NOT", field=name)
        if any(computed):
            problem = "the job needs a minimum and a maximum that are not computed"
            raise HpcError("INVALID_FIELD", field=name, problem=problem)
    if not task.required_nodes:
        return
    name = f"{field}.required_nodes"
    if all(computed):
        problem = "the job needs a minimum or a maximum that is not computed"
        raise HpcError("INVALID_FIELD", field=name, problem=problem)
    for node in task.required_nodes:
        if spec.requested_nodes and node not in spec.requested_nodes:
            problem = f"node {node} is none of the job's requested_nodes"
            raise HpcError("INVALID_FIELD", field=name, problem=problem)
        if node in spec.excluded_nodes:
            problem = f"node {node} is one of the job's excluded_nodes"
            raise HpcError("INVALID_FIELD", field=name, problem=problem)
    count, most = len(task.required_nodes), spec.most
    if most is not None and count > most:
        limit = f"at most the job's maximum, {most}"
        raise HpcError("OUT_OF_RANGE", field=name, value=f"{count} nodes", limit=limit)
