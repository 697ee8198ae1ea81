"""The part of the front door that edits jobs and tasks, and holds jobs back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.edits import TaskEdit
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.front import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to change of a job or a task.

    Attributes:
        changes: Fields of the specification and their values.
        entries: Entries of its maps, by field and name; None deletes one.
        expected_revision: Of the job as the caller has read it; 0: anything.
        tasks: Tasks that are changed, or added, with the job.
    """

    changes: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    expected_revision: int = 0
    tasks: Sequence[TaskEdit] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit of a job has led to.

    Attributes:
        job: As it is now.
        task_ids: The tasks that the edit speaks of, in its order.
    """

    job: JobView
    task_ids: Sequence[int] = ()


class EditFront(Protocol):
    """Use cases that change properties, and holds."""

    async def submit_drafts(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        request: Request,
        *,
        validate_only: bool,
    ) -> Sequence[int]: ...
    async def modify_job(
        self,
        caller: Caller,
        job_id: int,
        edit: Edit,
        request: Request,
        *,
        validate_only: bool = False,
    ) -> Edited: ...
    async def modify_task(
        self, caller: Caller, job_id: int, task_id: int, edit: Edit, request: Request
    ) -> TaskView: ...
    async def hold_jobs(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        until: float | None,
        request: Request,
    ) -> Sequence[JobView]: ...
    async def release_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]: ...
