"""Use cases that change properties of jobs and tasks, and hold jobs back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.modifying import check_edit
from hpcsched.core.job.states import JobState
from hpcsched.core.job.turn import Turn
from hpcsched.runtime.edit_front import Edited
from hpcsched.runtime.job_calls import JobCalls, always
from hpcsched.runtime.preserved import warn_of_preserved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.front import Edit, Request


class EditCalls(JobCalls):
    """The part of ``runtime.front.JobFront`` that edits."""

    async def modify_job(
        self,
        caller: Caller,
        job_id: int,
        edit: Edit,
        request: Request,
        *,
        validate_only: bool = False,
    ) -> Edited:
        """Change a job, and its tasks with it, all or none (J28 to J30)."""
        _check(edit)
        command = c.ModifyJob(
            caller=caller,
            changes=edit.changes,
            entries=edit.entries,
            expected_revision=edit.expected_revision,
            tasks=tuple(map(self._sealed_task, edit.tasks)),
        )

        def check() -> None:
            if edit.tasks:
                self._admit(caller)

        if validate_only:
            check()
            await self._check_edit(caller, job_id, command)
            return Edited(job=await self.get_job(caller, job_id, full=False))
        warn_of_preserved(caller, f"job {job_id}", _environments(edit))
        before, _ = await self._submission_of(job_id)
        ids = await self._once(caller, job_id, command, request, before=check)
        submission, decides = await self._submission_of(job_id)
        if decides or submission != before:  # it was submitted again (J28)
            await self._verdict(job_id)
        job = await self.get_job(caller, job_id, full=False)
        return Edited(job=job, task_ids=tuple(ids or ()))

    async def _check_edit(
        self, caller: Caller, job_id: int, command: c.ModifyJob
    ) -> None:
        """Refuse what the edit would be refused for."""
        world = self._world

        def check(job: Job) -> None:
            turn = Turn(job, self._now(), caller.user, world.settings, world.nodes)
            check_edit(turn, command)

        await world.jobs.look(job_id, check)

    async def _submission_of(self, job_id: int) -> tuple[int, bool]:
        """Return which submission a job is at, and whether its filter decides on it."""
        deciding = JobState.EXTERNAL_VALIDATION
        found: tuple[int, bool] = await self._world.jobs.look(
            job_id, lambda job: (job.validation, job.state is deciding)
        )
        return found

    async def modify_task(
        self, caller: Caller, job_id: int, task_id: int, edit: Edit, request: Request
    ) -> TaskView:
        """Change properties of a task that is Configuring, all or none."""
        _check(edit)
        command = c.ModifyTask(
            caller=caller,
            task_id=task_id,
            changes=self._sealed(edit),
            entries=edit.entries,
            expected_revision=edit.expected_revision,
        )
        warn_of_preserved(caller, f"task {job_id}.{task_id}", _environments(edit))
        await self._once(caller, job_id, command, request)
        (view,) = await self._tasks(caller, job_id, [(task_id, 0)])
        return view

    def _sealed(self, edit: Edit | c.TaskEdit) -> Mapping[str, Any]:
        """Return the changes as they are stored."""
        blob = edit.changes.get("user_blob")
        if not blob:
            return edit.changes
        sealed = self._world.blobs.seal(blob, "spec")
        return {**edit.changes, "user_blob": sealed}

    def _sealed_task(self, edit: c.TaskEdit) -> c.TaskEdit:
        """Return an edit as it is stored, be the task changed or added."""
        if not edit.spec.user_blob:
            return edit
        (spec,) = self._world.blobs.sealed((edit.spec,))
        return replace(edit, spec=spec, changes=self._sealed(edit))

    async def hold_jobs(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        until: float | None,
        request: Request,
    ) -> Sequence[JobView]:
        """Hold queued jobs, in order; stop at the first refusal (J31)."""
        command = c.HoldJob(caller=caller, until=until)
        return await self._each(caller, job_ids, always(command), request)

    async def release_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]:
        """Let held jobs go, in order; stop at the first refusal (J31).

        One that is set aside after a fault goes on, which only administrators may say.
        """
        aside = [job_id for job_id in job_ids if job_id in self._world.apart]
        for job_id in aside:
            caller.require_administrator(f"let job {job_id} go on after a fault")
        for job_id in aside:
            self._world.apart.release(job_id)
        if aside and len(aside) == len(job_ids):
            return [await self.get_job(caller, one, full=False) for one in job_ids]
        held = [job_id for job_id in job_ids if job_id not in aside]
        command = c.ReleaseJob(caller=caller)
        return await self._each(caller, held, always(command), request)


def _environments(edit: Edit) -> tuple[Mapping[str, Any], ...]:
    found: list[Mapping[str, Any]] = []
    edits: list[Edit | c.TaskEdit] = [edit, *edit.tasks]
    for one in edits:
        whole, entries = one.changes.get("environment"), one.entries.get("environment")
        found += [pairs for pairs in (whole, entries) if pairs]
    return tuple(found)


def _check(edit: Edit) -> None:
    if not edit.changes and not edit.entries and not edit.tasks:
        raise HpcError("REQUIRED_FIELD", field="fields")
