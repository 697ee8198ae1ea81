"""What can be asked to be changed of a job and its tasks, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.task.spec import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdit:
    """A task that is changed, or added (RestoreFromXml).

    Attributes:
        task_id: The task of this number is meant where there is one; 0: the name says.
        changes: Fields of TaskSpec and their new values.
        entries: Entries of its maps, by field and name; None deletes one.
        spec: All of it, for a task that is added; its name says which one is meant.
    """

    spec: TaskSpec
    task_id: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyJob:
    """Change properties of a job, all or none (J28 to J30, properties.md 2).

    Attributes:
        changes: Fields of JobSpec and their new values. With ``explicit`` among them
            those that it names count as given where they have their built-in value;
            without it all that are named do.
        entries: Entries of maps of JobSpec, by field and name; None deletes one.
        expected_revision: What the caller has read; 0: anything.
        tasks: Tasks that are changed, or added, with it.
    """

    caller: Caller
    changes: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    expected_revision: int = 0
    tasks: Sequence[TaskEdit] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyTask:
    """Change properties of a task while it and its job are Configuring.

    Attributes:
        changes, entries: As for a job, of TaskSpec.
        expected_revision: Of the job; 0: anything.
    """

    caller: Caller
    task_id: int
    changes: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    expected_revision: int = 0
