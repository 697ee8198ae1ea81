"""Task groups of a job file, to and from the names in DependsOn.

The reference's files say it twice: tasks have the number of a group, and Dependencies
says which group waits for which. Here a task waits for names (lifecycle.md 5.1).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.texts import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.api.v1.task_pb2 import TaskSpec
    from hpcsched.jobfile.elements import Element

MOST_WAITS: Final = 2_000_000
"""Names that tasks wait for, in all: 4 MiB of specification have no room for more."""


def dependencies(root: Element) -> dict[int, dict[int, None]]:
    """Return, by group, the groups that it waits for.

    Raises:
        JobFileError: a group's number is missing or none.
    """
    parents: dict[int, dict[int, None]] = {}
    for section in root.all("Dependencies"):
        for parent in section.all("Parent"):
            before = _group(parent)
            for child in parent.all("Child"):
                parents.setdefault(_group(child), {})[before] = None
    return parents


def _group(element: Element) -> int:
    for name, value in element.attributes.items():
        if name.lower() == "groupid":
            try:
                return whole(value)
            except JobFileError as error:
                problem = f"{element.name}: GroupId: {error}"
                raise JobFileError(problem, element.line) from None
    raise JobFileError(f"{element.name} has no GroupId", element.line)


def resolve(
    tasks: Sequence[TaskSpec],
    groups: Sequence[int],
    parents: Mapping[int, Iterable[int]],
) -> None:
    """Add to the tasks' ``depends_on`` what their groups wait for.

    Tasks without a name that others wait for, or that wait, are given one.

    Args:
        tasks: Changed in place.
        groups: The number of each one's group; 0: none.
        parents: By group, the groups that it waits for.

    Raises:
        JobFileError: the name of a task that others wait for is also in another group,
            or more is waited for than any job can have.
    """
    concerned = {*parents, *(before for found in parents.values() for before in found)}
    members: dict[int, list[TaskSpec]] = {}
    homes: dict[str, set[int]] = {}
    for task, group in zip(tasks, groups, strict=True):
        members.setdefault(group, []).append(task)
        if task.name:
            homes.setdefault(task.name, set()).add(group)
    for group in sorted(concerned & members.keys()):
        _name(group, members[group], homes)
    waits = 0
    for group, befores in parents.items():
        names: dict[str, None] = {}
        for before in befores:
            for task in members.get(before, ()):
                if homes[task.name] != {before}:
                    problem = (
                        f"tasks of several groups are called {task.name!r}, and group "
                        f"{group} waits for group {before} alone: give them other names"
                    )
                    raise JobFileError(problem)
                names[task.name] = None
        waiting = members.get(group, ())
        waits += len(waiting) * len(names)
        if waits > MOST_WAITS:
            raise JobFileError(
                f"the tasks of group {group} wait for {len(names)} names each: more "
                f"than {MOST_WAITS} in the file; give the tasks of a group one name"
            )
        for task in waiting:
            known = set(task.depends_on)
            task.depends_on.extend(name for name in names if name not in known)


def _name(group: int, tasks: Sequence[TaskSpec], homes: dict[str, set[int]]) -> None:
    name, number = f"group{group}", 1
    while homes.get(name, {group}) != {group}:
        number += 1
        name = f"group{group}-{number}"
    for task in tasks:
        if not task.name:
            task.name = name
            homes.setdefault(name, set()).add(group)


def grouped(tasks: Sequence[TaskSpec]) -> tuple[list[int], dict[int, list[int]]]:
    """Return each task's group, and by group the groups that wait for it.

    Tasks of one name are a group, and so is each task without one; a job without
    dependencies has no groups. What waits for a name that there is not is left out.
    """
    if not any(task.depends_on for task in tasks):
        return [0] * len(tasks), {}
    numbers: dict[str, int] = {}
    groups = []
    for position, task in enumerate(tasks, start=1):
        groups.append(
            numbers.setdefault(task.name, position) if task.name else position
        )
    children: dict[int, list[int]] = {}
    seen: Counter[tuple[int, int]] = Counter()
    for task, group in zip(tasks, groups, strict=True):
        for name in task.depends_on:
            before = numbers.get(name)
            if before is not None and not seen[before, group]:
                seen[before, group] += 1
                children.setdefault(before, []).append(group)
    return groups, children
