"""Use cases that change jobs and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.calls import check_stop
from hpcsched.core.job.submitting import check_submission
from hpcsched.core.job.turn import Turn
from hpcsched.core.jobviews import JobViews
from hpcsched.runtime.creation import JobCreation
from hpcsched.runtime.in_turn import InTurn, counted
from hpcsched.runtime.preserved import warn_of_preserved
from hpcsched.runtime.unreadable import delete_unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.front import Exclusion, Request, Stop, TaskKey
    from hpcsched.runtime.mail import Ledger


class JobCalls(JobCreation):
    """The mutations of ``runtime.front.JobFront``."""

    async def submit_job(
        self, caller: Caller, job_id: int, request: Request
    ) -> JobView:
        """Submit a draft; the verdict of the validation is the answer (J3 to J7)."""
        kin = await self._kin(job_id)
        order = self._next_order()
        command = c.SubmitJob(caller=caller, submit_order=order, kin=kin)
        await self._once(
            caller, job_id, command, request, before=lambda: self._admit(caller)
        )
        await self._verdict(job_id)
        return await self.get_job(caller, job_id, full=False)

    async def submit_drafts(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        request: Request,
        *,
        validate_only: bool,
    ) -> Sequence[int]:
        """Submit drafts, all or none: each is checked before the first (4.3).

        Who asks again with the same request id after the head has died in between has
        the rest submitted.
        """
        ids = _some(job_ids)
        if validate_only:
            self._admit(caller)
            await self._check_drafts(caller, ids)
            return []
        for done, job_id in enumerate(ids):

            async def act(
                ledger: Ledger | None, job_id: int = job_id, done: int = done
            ) -> Any:
                if not done:
                    self._admit(caller)
                    await self._check_drafts(caller, ids)
                    self._world.submissions.together(ids)
                command = c.SubmitJob(
                    caller=caller,
                    submit_order=self._next_order(),
                    kin=await self._kin(job_id),
                )
                return await self._world.jobs.ask(job_id, command, ledger)

            try:
                await self._ledgers.once(caller, request, act, part=done)
            except HpcError as refusal:
                self._world.submissions.apart(ids[done:])
                raise counted(refusal, done) from None
        for job_id in ids:
            await self._verdict(job_id)
        return ids

    async def _check_drafts(self, caller: Caller, ids: Sequence[int]) -> None:
        """Refuse all of them for what is wrong with one.

        Raises:
            HpcError: what is wrong; ``job_id`` says with which.
        """
        for job_id in ids:
            kin = await self._kin(job_id)
            command = c.SubmitJob(caller=caller, submit_order=0, kin=kin)

            def check(job: Job, command: c.SubmitJob = command) -> None:
                world = self._world
                turn = Turn(job, self._now(), caller.user, world.settings, world.nodes)
                check_submission(turn, command)

            try:
                await self._world.jobs.look(job_id, check)
            except HpcError as refusal:
                refusal.facts.setdefault("job_id", str(job_id))
                raise counted(refusal, 0) from None

    async def add_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskSpec],
        request: Request,
        *,
        submit: bool,
    ) -> Sequence[int]:
        """Add tasks, all or none."""
        if not tasks:
            raise HpcError("REQUIRED_FIELD", field="tasks")

        def check() -> None:
            self._admit(caller)
            self._check_task_nodes(tasks)

        own = [task.environment for task in tasks if task.environment]
        warn_of_preserved(caller, f"job {job_id}", own)
        sealed = self._world.blobs.sealed(tasks)
        command = c.AddTasks(caller=caller, tasks=sealed, submit=submit)
        ids: Sequence[int] = await self._once(
            caller, job_id, command, request, before=check
        )
        return ids

    async def submit_tasks(
        self, caller: Caller, job_id: int, task_ids: Sequence[int], request: Request
    ) -> None:
        """Submit added tasks, all or none."""
        self._admit(caller)
        if not task_ids:
            raise HpcError("REQUIRED_FIELD", field="task_ids")
        command = c.SubmitTasks(caller=caller, task_ids=tuple(task_ids))
        await self._once(caller, job_id, command, request)

    async def cancel_jobs(
        self, caller: Caller, job_ids: Sequence[int], stop: Stop, request: Request
    ) -> Sequence[JobView]:
        """Cancel in order; stop at the first refusal (S3, 4.3)."""
        check_stop(stop.message, force=stop.force, graceful=stop.graceful)
        command = c.CancelJob(
            caller=caller,
            message=stop.message,
            force=stop.force,
            graceful=stop.graceful,
        )
        return await self._each(caller, job_ids, always(command), request)

    async def finish_jobs(
        self, caller: Caller, job_ids: Sequence[int], stop: Stop, request: Request
    ) -> Sequence[JobView]:
        """Finish in order; stop at the first refusal (J22)."""
        check_stop(stop.message, force=stop.force, graceful=stop.graceful)
        command = c.FinishJob(
            caller=caller,
            message=stop.message,
            force=stop.force,
            graceful=stop.graceful,
        )
        return await self._each(caller, job_ids, always(command), request)

    async def requeue_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]:
        """Queue again in order; stop at the first refusal (S1, 4.3)."""
        self._admit(caller)

        async def command(job_id: int) -> c.Command:
            kin, order = await self._kin(job_id), self._next_order()
            return c.RequeueJob(caller=caller, submit_order=order, kin=kin)

        return await self._each(caller, job_ids, command, request, then=self._verdict)

    async def configure_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]:
        """Take back to Configuring in order; stop at the first refusal (J27)."""
        command = c.ConfigureJob(caller=caller)
        return await self._each(caller, job_ids, always(command), request)

    async def exclude_nodes(
        self, caller: Caller, job_id: int, change: Exclusion, request: Request
    ) -> JobView:
        """Forbid nodes to a job, or allow them again, all or none (api.md 4)."""
        command = c.ExcludeNodes(
            caller=caller, add=change.add, remove=change.remove, clear=change.clear
        )
        await self._once(caller, job_id, command, request)
        return await self.get_job(caller, job_id, full=False)

    async def cancel_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskKey],
        stop: Stop,
        request: Request,
    ) -> Sequence[TaskView]:
        """Cancel in order; stop at the first refusal (S5, 4.3)."""
        command = c.CancelTasks(
            caller=caller, tasks=_some(tasks), message=stop.message, force=stop.force
        )
        await self._once(caller, job_id, command, request)
        return await self._tasks(caller, job_id, tasks)

    async def requeue_tasks(
        self, caller: Caller, job_id: int, tasks: Sequence[TaskKey], request: Request
    ) -> Sequence[TaskView]:
        """Queue again in order; stop at the first refusal (S2)."""
        self._admit(caller)
        kin, order = await self._kin(job_id), self._next_order()
        command = c.RequeueTasks(
            caller=caller, tasks=_some(tasks), submit_order=order, kin=kin
        )
        await self._once(caller, job_id, command, request)
        await self._verdict(job_id)
        return await self._tasks(caller, job_id, tasks)

    async def finish_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskKey],
        stop: Stop,
        request: Request,
    ) -> Sequence[TaskView]:
        """End as Finished in order; stop at the first refusal (T21)."""
        command = c.FinishTasks(caller=caller, tasks=_some(tasks), message=stop.message)
        await self._once(caller, job_id, command, request)
        return await self._tasks(caller, job_id, tasks)

    async def conclude_service(
        self,
        caller: Caller,
        job_id: int,
        task_id: int,
        request: Request,
        *,
        cancel_sub_tasks: bool,
    ) -> TaskView:
        """Let a service start no more instances."""
        command = c.ConcludeService(
            caller=caller, task_id=task_id, cancel_sub_tasks=cancel_sub_tasks
        )
        await self._once(caller, job_id, command, request)
        return (await self._tasks(caller, job_id, [(task_id, 0)]))[0]

    async def forget_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> None:
        """Delete the records of terminal jobs, in order; stop at the first refusal."""
        for done, job_id in enumerate(_some(job_ids)):

            async def act(ledger: Ledger | None, job_id: int = job_id) -> Any:
                try:
                    await self._purge(job_id, _forgettable(caller, job_id), ledger)
                except HpcError as refusal:
                    unreadable = self._world.apart.is_unreadable(job_id)
                    if refusal.reason != "JOB_QUARANTINED" or not unreadable:
                        raise
                    await delete_unreadable(self._world, caller, job_id, ledger)

            try:
                await self._ledgers.once(caller, request, act, part=done)
            except HpcError as refusal:
                raise counted(refusal, done) from None

    # How it is done

    async def _kin(self, job_id: int) -> c.Kin:
        """Return what a job must know of other jobs when it is submitted (again)."""
        spec: JobSpec = await self._world.jobs.look(job_id, lambda job: job.spec)
        if not spec.parent_job_ids:
            return c.NO_KIN
        return await self._world.families.kin_of(job_id, spec.parent_job_ids)

    async def _once(
        self,
        caller: Caller,
        job_id: int,
        command: c.Command,
        request: Request,
        *,
        before: Callable[[], object] | None = None,
    ) -> Any:
        """Do it once; ``before`` may refuse it, unless it was done before."""

        async def act(ledger: Ledger | None) -> Any:
            if before is not None:
                before()
            return await self._world.jobs.ask(job_id, command, ledger)

        return await self._ledgers.once(caller, request, act, likely_new=True)

    async def _each(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        command: Callable[[int], Awaitable[c.Command]],
        request: Request,
        *,
        then: Callable[[int], Awaitable[None]] | None = None,
    ) -> Sequence[JobView]:
        """Do it to one after the other; those before a refusal stay done (4.3)."""
        ids = _some(job_ids)
        turn = InTurn(self._world, self._ledgers, caller, request, command)
        if then is None:
            await turn.all(ids)
            return await self._shown(caller, ids, turn)
        views = []
        for done, job_id in enumerate(ids):
            try:
                await turn.one(job_id, done)
                await then(job_id)
                views.append(await self.get_job(caller, job_id, full=False))
            except HpcError as refusal:
                raise counted(refusal, done) from None
        return views

    async def _shown(
        self, caller: Caller, ids: Sequence[int], turn: InTurn
    ) -> JobViews:
        """Return jobs as a call on all of them has left them."""
        views, part = JobViews(), 0
        while part < len(ids):
            alike = turn.alike.get(part)
            if alike is None or self._world.families.known:
                views.add(await self._seen(caller, ids[part]))
                part += 1
            else:
                views.add(self._view(alike.like), alike.ids)
                part += len(alike.ids)
        return views

    async def _seen(self, caller: Caller, job_id: int) -> JobView:
        """Return a job, without mail where it has nothing to do."""
        actor = self._world.jobs.get(job_id)
        still = actor is not None and actor.idle and not self._world.families.known
        if still and actor is not None and actor.job is not None:
            return self._view(actor.job)
        return await self.get_job(caller, job_id, full=False)


def always(command: c.Command) -> Callable[[int], Awaitable[c.Command]]:
    """Return what gives each job the same command."""

    async def same(_: int) -> c.Command:
        return command

    return same


def _forgettable(caller: Caller, job_id: int) -> Callable[[Job], None]:
    def check(job: Job) -> None:
        caller.require_owner(job.owner, f"forget job {job_id}")
        if not job.state.terminal:
            state = job.state.label
            raise HpcError(
                "INVALID_OPERATION", job_id=job_id, state=state, operation="forget"
            )

    return check


def _some(items: Sequence[Any]) -> Sequence[Any]:
    if not items:
        raise HpcError("REQUIRED_FIELD", field="ids")
    return items
