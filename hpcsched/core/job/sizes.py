"""Cores, sockets and nodes that jobs and tasks ask for (properties.md 3.2, 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from hpcsched.core.task.spec import TaskSpec

INT32: Final = 2147483647


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
    check_size(field, "cores", task.min_cores, task.max_cores or None)
    check_size(field, "sockets", task.min_sockets, task.max_sockets or None)
    check_size(field, "nodes", task.min_nodes, task.max_nodes or None)
    for name in ("required_nodes", "requested_node_group", "is_exclusive"):
        if getattr(task, name):
            problem = "not supported by this version"
            raise HpcError("INVALID_FIELD", field=f"{field}.{name}", problem=problem)
