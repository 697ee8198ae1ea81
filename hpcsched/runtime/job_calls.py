"""Use cases that change jobs and tasks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.calls import check_stop
from hpcsched.core.job.decide import Decision, decide, new_job
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.job.validation import validate_new, validate_together
from hpcsched.runtime.creation import Draft, creation_of
from hpcsched.runtime.job_actor import Ledger, Mail, publish, request_row
from hpcsched.runtime.job_reads import JobReads
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.front import NewJob, Request, Stop, TaskKey


class JobCalls(JobReads):
    """The mutations of ``runtime.front.JobFront``."""

    async def create_job(
        self, caller: Caller, new: NewJob, request: Request, *, validate_only: bool
    ) -> JobView:
        """Create a draft (J1, J2)."""
        self._admit(caller)
        self._check_new(caller, new, submit=False)
        if validate_only:
            job, _ = new_job(
                0, caller.user, new.spec, new.tasks, self._now(), self._settings
            )
            return self._view(job)

        async def act(ledger: Ledger | None) -> Any:
            return await self._create(caller, [new], ledger, submit=False)

        (job_id,) = await self._ledgers.once(caller, request, act)
        return await self.get_job(caller, job_id, full=False)

    async def submit_jobs(
        self,
        caller: Caller,
        new: Sequence[NewJob],
        request: Request,
        *,
        validate_only: bool,
    ) -> Sequence[int]:
        """Create and submit jobs, all or none (QueueJobs)."""
        self._admit(caller)
        if not new:
            raise HpcError("REQUIRED_FIELD", field="specs")
        for number, one in enumerate(new):
            try:
                self._check_new(caller, one, submit=True)
            except HpcError as refusal:
                raise _numbered(refusal, number, len(new)) from None
        if validate_only:
            return []

        async def act(ledger: Ledger | None) -> Any:
            return await self._create(caller, new, ledger, submit=True)

        ids: Sequence[int] = await self._ledgers.once(caller, request, act)
        return ids

    async def submit_job(
        self, caller: Caller, job_id: int, request: Request
    ) -> JobView:
        """Submit a draft; the verdict of the validation is the answer (J3 to J7)."""
        self._admit(caller)
        await self._check_nodes_of(job_id)
        command = c.SubmitJob(caller=caller, submit_order=self._next_order())
        await self._once(caller, job_id, command, request)
        return await self.get_job(caller, job_id, full=False)

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
        self._admit(caller)
        if not tasks:
            raise HpcError("REQUIRED_FIELD", field="tasks")
        command = c.AddTasks(caller=caller, tasks=tuple(tasks), submit=submit)
        ids: Sequence[int] = await self._once(caller, job_id, command, request)
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
        return await self._each(caller, job_ids, lambda: command, request)

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
        return await self._each(caller, job_ids, lambda: command, request)

    async def requeue_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]:
        """Queue again in order; stop at the first refusal (S1, 4.3)."""
        self._admit(caller)

        def command() -> c.Command:
            return c.RequeueJob(caller=caller, submit_order=self._next_order())

        return await self._each(caller, job_ids, command, request)

    async def configure_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]:
        """Take back to Configuring in order; stop at the first refusal (J27)."""
        command = c.ConfigureJob(caller=caller)
        return await self._each(caller, job_ids, lambda: command, request)

    async def clone_job(self, caller: Caller, job_id: int, request: Request) -> JobView:
        """Copy a job into a new draft (api.md 3.1)."""
        self._admit(caller)

        def copy(job: Job) -> tuple[JobSpec, list[TaskSpec]]:
            caller.require_owner(job.owner, f"clone job {job_id}")
            if job.spec.job_type is JobType.ADMIN:
                raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job_id)
            return job.spec, [record.spec for record in job.tasks]

        spec, tasks = await self._world.jobs.look(job_id, copy)
        spec = replace(spec, excluded_nodes=(), can_preempt=False)

        async def act(ledger: Ledger | None) -> Any:
            new = Draft(spec, tuple(tasks))
            return await self._create(caller, [new], ledger, submit=False)

        (new_id,) = await self._ledgers.once(caller, request, act)
        return await self.get_job(caller, new_id, full=False)

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
        order = self._next_order()
        command = c.RequeueTasks(caller=caller, tasks=_some(tasks), submit_order=order)
        await self._once(caller, job_id, command, request)
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

    async def forget_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> None:
        """Delete the records of terminal jobs, in order."""
        del request  # forgetting twice is finding nothing
        for done, job_id in enumerate(_some(job_ids)):
            try:
                await self._forget(caller, job_id)
            except HpcError as refusal:
                raise _counted(refusal, done) from None

    async def create_command(
        self, caller: Caller, nodes: Sequence[str], template: TaskSpec, request: Request
    ) -> JobView:
        """Run a command on nodes at once, outside the queue (api.md 8)."""
        caller.require_administrator("run commands on nodes")
        self._admit(caller)
        names = sorted(set(_some(nodes)))
        for name in names:
            self._world.nodes.find(name)
        label = template.command_line or " ".join(template.arguments)
        spec = JobSpec(name=label[:80], job_type=JobType.ADMIN, project="")
        tasks = [replace(template, node=name, is_rerunnable=False) for name in names]
        validate_new(spec, tasks, self._settings)

        async def act(ledger: Ledger | None) -> Any:
            return await self._create(
                caller, [Draft(spec, tuple(tasks))], ledger, submit=True
            )

        (job_id,) = await self._ledgers.once(caller, request, act)
        return await self.get_job(caller, job_id, full=False)

    # -- how it is done --

    def _admit(self, caller: Caller) -> None:
        if self._world.stopping:
            raise HpcError("HEAD_STOPPING")
        if not self._settings.allow_users and not caller.administrator:
            operation = "create or submit jobs while AllowNewUserConnections is False"
            raise HpcError("PERMISSION_DENIED", user=caller.user, operation=operation)

    def _check_new(self, caller: Caller, new: NewJob, *, submit: bool) -> None:
        spec = new.spec
        validate_new(spec, new.tasks, self._settings)
        if spec.user_name and spec.user_name != caller.user:
            caller.require_administrator(f"run tasks as {spec.user_name}")
        if submit:
            validate_together(spec, new.tasks, self._settings)
            self._check_nodes(spec)

    def _check_nodes(self, spec: JobSpec) -> None:
        for field in ("requested_nodes", "excluded_nodes"):
            for name in getattr(spec, field):
                if not self._world.nodes.known(name):
                    raise HpcError("UNKNOWN_NODE", field=f"spec.{field}", node=name)

    async def _check_nodes_of(self, job_id: int) -> None:
        spec = await self._world.jobs.look(job_id, lambda job: job.spec)
        self._check_nodes(spec)

    async def _once(
        self, caller: Caller, job_id: int, command: c.Command, request: Request
    ) -> Any:
        async def act(ledger: Ledger | None) -> Any:
            return await self._world.jobs.ask(job_id, command, ledger)

        return await self._ledgers.once(caller, request, act)

    async def _each(
        self,
        caller: Caller,
        job_ids: Sequence[int],
        command: Callable[[], c.Command],
        request: Request,
    ) -> Sequence[JobView]:
        """Do it to one after the other; those before a refusal stay done (4.3)."""
        views = []
        for done, job_id in enumerate(_some(job_ids)):

            async def act(ledger: Ledger | None, job_id: int = job_id) -> Any:
                return await self._world.jobs.ask(job_id, command(), ledger)

            try:
                await self._ledgers.once(caller, request, act, part=done)
                views.append(await self.get_job(caller, job_id, full=False))
            except HpcError as refusal:
                raise _counted(refusal, done) from None
        return views

    async def _create(
        self, caller: Caller, new: Sequence[Any], ledger: Ledger | None, *, submit: bool
    ) -> list[int]:
        """Make jobs durable together, then let them live."""
        deltas: list[Delta] = []
        made: list[tuple[Job, list[tuple[Decision, Mail]]]] = []
        now = self._now()
        first = self._next_job
        self._next_job += len(new)
        ids = list(range(first, first + len(new)))
        for job_id, one in zip(ids, new, strict=True):
            job, decision = new_job(
                job_id, caller.user, one.spec, one.tasks, now, self._settings
            )
            decisions = [(decision, Mail(None))]
            if submit:
                submitted = decide(
                    job, self._submission(caller, job), now, self._settings
                )
                if submitted.refusal is not None:
                    raise submitted.refusal
                decisions.append((submitted, Mail(None)))
            made.append((job, decisions))
            deltas.append(creation_of(job, decisions))
        deltas[0].counters = {"next_job": self._next_job}
        if ledger is not None:
            answer = Decision(made[0][1][0][0].turn, answer=ids)
            deltas[0].requests = [request_row(ledger, answer, now)]
        await self._commit_new(deltas, made)
        return ids

    def _submission(self, caller: Caller, job: Job) -> c.Command:
        if job.spec.job_type is not JobType.ADMIN:
            return c.SubmitJob(caller=caller, submit_order=self._next_order())
        nodes: dict[int, int | None] = {}
        for record in job.tasks:
            actor = self._world.nodes.find(record.spec.node)
            nodes[record.task_id] = actor.record.node_id if actor.session else None
        return c.StartCommand(caller=caller, nodes=nodes)

    async def _commit_new(
        self, deltas: list[Delta], made: list[tuple[Job, list[tuple[Decision, Mail]]]]
    ) -> None:
        future: asyncio.Future[None] = self._world.loop.create_future()

        def done(seqs: Sequence[int], error: BaseException | None) -> None:
            if error is None:
                for (job, decisions), seq in zip(made, seqs, strict=True):
                    publish(self._world, job, seq, decisions)
                for job, decisions in made:
                    actor = self._world.jobs.adopt(job)
                    actor.begin(decisions)
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                full = isinstance(error, OSError)
                future.set_exception(
                    HpcError("DISK_FULL" if full else "OUTCOME_UNKNOWN")
                )

        self._world.store.commit_together(deltas, done)
        await future

    async def _forget(self, caller: Caller, job_id: int) -> None:
        def check(job: Job) -> tuple[JobState, tuple[int, ...]]:
            caller.require_owner(job.owner, f"forget job {job_id}")
            return job.state, job.last_nodes

        state, nodes = await self._world.jobs.look(job_id, check)
        if not state.terminal:
            label = state.label
            raise HpcError(
                "INVALID_OPERATION", job_id=job_id, state=label, operation="forget"
            )
        await self._purge(job_id, nodes)


def _some(items: Sequence[Any]) -> Sequence[Any]:
    if not items:
        raise HpcError("REQUIRED_FIELD", field="ids")
    return items


def _counted(refusal: HpcError, done: int) -> HpcError:
    refusal.facts["done"] = str(done)
    return refusal


def _numbered(refusal: HpcError, number: int, total: int) -> HpcError:
    """Name the job of a batch that was refused."""
    if total > 1:
        field = refusal.facts.get("field", "")
        refusal.facts["field"] = field.replace("spec", f"specs[{number}]", 1)
        refusal.args = (f"specs[{number}]: {refusal}",)
    return refusal
