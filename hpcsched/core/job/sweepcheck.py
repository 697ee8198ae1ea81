"""What a sweep must have, and what only sweeps may (properties.md 4, lifecycle 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.job.bounds import INT32, check_count
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec


def check_sweep(field: str, task: TaskSpec, settings: Settings) -> None:
    """Refuse a sweep without elements, with too many, or of two kinds at once.

    Raises:
        HpcError: SWEEP_INCREMENT, SWEEP_INVALID, SWEEP_TOO_LARGE, OUT_OF_RANGE,
            INVALID_FIELD.
    """
    if not task.lines:
        if task.step < 1:
            raise HpcError(
                "SWEEP_INCREMENT", field=f"{field}.increment_value", value=task.step
            )
        if task.start < 1:
            problem = f"{task.start} is below 1"
            raise HpcError(
                "SWEEP_INVALID", field=f"{field}.start_value", problem=problem
            )
        if task.end < task.start:
            problem = f"{task.end} is below the start value {task.start}"
            raise HpcError("SWEEP_INVALID", field=f"{field}.end_value", problem=problem)
        check_count(f"{field}.end_value", task.end, 1, INT32)
        check_count(f"{field}.increment_value", task.step, 1, INT32)
    elif task.end:
        problem = (
            f"not together with {field}.end_value, which is {task.end}: a sweep is a "
            "range or one element per line"
        )
        raise HpcError("INVALID_FIELD", field=f"{field}.lines", problem=problem)
    elif any("\0" in line for line in task.lines):
        problem = "a line cannot contain a NUL character"
        raise HpcError("INVALID_FIELD", field=f"{field}.lines", problem=problem)
    if task.size > settings.max_sweep:
        raise HpcError(
            "SWEEP_TOO_LARGE",
            field=f"{field}.end_value",
            count=task.size,
            limit=settings.max_sweep,
        )


def check_no_sweep(field: str, task: TaskSpec) -> None:
    """Refuse what only makes sense for a sweep.

    Instances of a service may be limited as well.

    Raises:
        HpcError: PROPERTY_NOT_FOR_TYPE.
    """
    forbidden = {
        "start_value": task.start != 1,
        "end_value": bool(task.end),
        "increment_value": task.step != 1,
        "lines": bool(task.lines),
        "max_concurrent": bool(task.max_concurrent)
        and task.type is not TaskType.SERVICE,
    }
    forbid(field, task, forbidden)


def forbid(field: str, task: TaskSpec, forbidden: Mapping[str, bool]) -> None:
    """Refuse properties that a task of its type cannot have.

    Raises:
        HpcError: PROPERTY_NOT_FOR_TYPE.
    """
    for name, given in forbidden.items():
        if given:
            kind = task.type.label
            raise HpcError("PROPERTY_NOT_FOR_TYPE", field=f"{field}.{name}", type=kind)
