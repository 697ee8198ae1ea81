"""Dependencies by task name (lifecycle.md 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.task.spec import TaskSpec


def check_dependencies(tasks: Sequence[TaskSpec], first: int = 0) -> None:
    """Refuse unknown names, dependants without a name, and circles.

    Args:
        tasks: All tasks of the job.
        first: Position of the first one that is new; older ones were checked before.

    Raises:
        HpcError: DEPENDENCY_UNKNOWN, DEPENDANT_WITHOUT_NAME, DEPENDENCY_CYCLE.
    """
    if not any(task.depends_on for task in tasks):
        return
    needs: dict[str, set[str]] = {}
    names = {task.name for task in tasks if task.name}
    for number, task in enumerate(tasks):
        if not task.depends_on:
            continue
        field = f"spec.tasks[{number}].depends_on"
        if number >= first:
            if not task.name:
                raise HpcError("DEPENDANT_WITHOUT_NAME", field=field)
            for name in task.depends_on:
                if name not in names:
                    raise HpcError("DEPENDENCY_UNKNOWN", field=field, name=name or '""')
        needs.setdefault(task.name, set()).update(task.depends_on)
    cycle = find_cycle(needs)
    if cycle:
        where = next(i for i, task in enumerate(tasks) if task.name == cycle[0])
        raise HpcError(
            "DEPENDENCY_CYCLE",
            field=f"spec.tasks[{where}].depends_on",
            cycle=" -> ".join([*cycle, cycle[0]]),
        )


def find_cycle(needs: dict[str, set[str]]) -> list[str]:
    """Return the names on some circle, or nothing. Works without recursion."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(name)
                done.add(name)
            elif name in on_path:
                return path[path.index(name) :]
            elif name not in done:
                path.append(name)
                on_path.add(name)
                stack.append((name, True))
                stack.extend((need, False) for need in sorted(needs.get(name, ())))
    return []
