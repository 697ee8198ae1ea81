"""Use cases that make new jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import REASONS, HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.accounts import check_run_as
from hpcsched.core.job.decide import decide, new_job
from hpcsched.core.job.details import check_hold
from hpcsched.core.job.resourcecheck import check_known, check_task_known
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.job.ticking import lasting_ticks
from hpcsched.core.job.validation import validate_new, validate_texts
from hpcsched.core.template.applying import (
    apply_template,
    check_sizes,
    check_user,
    check_values,
    template_of,
)
from hpcsched.runtime.deadlines import fresh
from hpcsched.runtime.demand import demand_of
from hpcsched.runtime.durable import refusal_of
from hpcsched.runtime.front import NewJob
from hpcsched.runtime.job_reads import JobReads
from hpcsched.runtime.mail import Ledger, Mail
from hpcsched.runtime.making import Made, are_alike, begin, join_alike, runs_of
from hpcsched.runtime.node_record import JobTypes
from hpcsched.runtime.preserved import warn_of_preserved
from hpcsched.runtime.turns import new_job_delta, request_row
from hpcsched.runtime.wide import order_of
from hpcsched.store.errors import DuplicateRequestError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.views import JobView
    from hpcsched.runtime.front import Request

FILTER_REASONS: Final = {
    REASONS[name].hresult: name
    for name in ("SUBMISSION_FILTER_FAILED", "SUBMISSION_FILTER_TIMEOUT")
}
COMMAND_NAME: Final = 80
"""Characters of a command that its job is named after."""


class JobCreation(JobReads):
    """The part of ``runtime.front.JobFront`` that begins jobs."""

    async def create_job(
        self, caller: Caller, new: NewJob, request: Request, *, validate_only: bool
    ) -> JobView:
        """Create a draft (J1, J2)."""
        if validate_only:
            self._admit(caller)
            checked = self._check_new(caller, new, submit=False)
            job, _ = new_job(
                0, caller.user, checked.spec, checked.tasks, self._now(), self._settings
            )
            return self._view(job)

        async def act(ledger: Ledger | None) -> Any:
            # Not before: what was made once is answered, whatever holds by now.
            self._admit(caller)
            made = self._check_new(caller, new, submit=False)
            return await self._create(caller, [made], ledger, submit=False)

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
        if not new:
            raise HpcError("REQUIRED_FIELD", field="specs")
        if validate_only:
            self._admit(caller)
            self._check_all(caller, new)
            return []

        async def act(ledger: Ledger | None) -> Any:
            # Not before: what was made once is answered, whatever holds by now.
            self._admit(caller)
            checked = self._check_all(caller, new)
            parents = {n for one in checked for n in one.spec.parent_job_ids}
            kin = c.NO_KIN
            if parents:
                kin = c.Kin(states=await self._world.families.states_of(parents))
            return await self._create(caller, checked, ledger, submit=True, kin=kin)

        ids: Sequence[int] = await self._ledgers.once(
            caller, request, act, likely_new=True
        )
        if self._settings.submission_filter:
            for job_id in ids:
                await self._verdict(job_id)
        return ids

    async def clone_job(self, caller: Caller, job_id: int, request: Request) -> JobView:
        """Copy a job into a new draft (api.md 3.1)."""

        def copy(job: Job) -> tuple[str, NewJob]:
            caller.require_owner(job.owner, f"clone job {job_id}")
            if job.spec.job_type is JobType.ADMIN:
                raise HpcError("COMMAND_NOT_RERUNNABLE", job_id=job_id)
            tasks = tuple(record.spec for record in job.tasks)
            return job.owner, NewJob(spec=cloned(job.spec), tasks=tasks)

        async def act(ledger: Ledger | None) -> Any:
            self._admit(caller)
            owner, new = await self._world.jobs.look(job_id, copy)
            return await self._create(caller, [new], ledger, submit=False, owner=owner)

        (new_id,) = await self._ledgers.once(caller, request, act)
        return await self.get_job(caller, new_id, full=False)

    async def create_command(
        self, caller: Caller, nodes: Sequence[str], template: TaskSpec, request: Request
    ) -> JobView:
        """Run a command on nodes at once, outside the queue (api.md 8)."""
        caller.require_administrator("run commands on nodes")
        if not nodes:
            raise HpcError("REQUIRED_FIELD", field="nodes")
        names = sorted(set(nodes))
        label = template.command_line or " ".join(template.arguments)
        spec = JobSpec(name=label[:COMMAND_NAME], job_type=JobType.ADMIN, project="")
        tasks = [replace(template, node=name, is_rerunnable=False) for name in names]

        async def act(ledger: Ledger | None) -> Any:
            # Not before: a node on which it has run may be forgotten by now.
            self._admit(caller)
            for name in names:
                self._world.nodes.find(name)
            validate_new(spec, tasks, self._settings)
            new = NewJob(spec=spec, tasks=tuple(tasks))
            return await self._create(caller, [new], ledger, submit=True)

        (job_id,) = await self._ledgers.once(caller, request, act)
        return await self.get_job(caller, job_id, full=False)

    # How it is done

    async def _verdict(self, job_id: int) -> None:
        """Wait for the submission filter, if there is one (D9).

        Raises:
            HpcError: SUBMISSION_FILTER_FAILED, SUBMISSION_FILTER_TIMEOUT: its verdict;
                CANCELED_BEFORE_VERDICT.
        """
        if not self._settings.submission_filter:
            return
        waited = await self._world.submissions.left(job_id)
        state, code, text = await self._world.jobs.look(
            job_id, lambda job: (job.state, job.error_code, job.error_message)
        )
        if state is JobState.FAILED and code in FILTER_REASONS:
            facts = {"job_id": str(job_id)}
            raise HpcError.from_wire(FILTER_REASONS[code], text, facts)
        if waited and state in {JobState.CANCELED, JobState.CONFIGURING}:
            raise HpcError("CANCELED_BEFORE_VERDICT", job_id=job_id, state=state.label)

    def _admit(self, caller: Caller) -> None:
        if self._world.stopping:
            raise HpcError("HEAD_STOPPING")
        if self._world.unsafe:
            raise HpcError("SAFE_MODE", problem=self._world.unsafe)
        if self._world.full:
            raise HpcError("DISK_LOW", problem=self._world.full)
        if self._settings.restore_mode:
            raise HpcError("RESTORE_MODE")
        if not self._settings.allow_users and not caller.administrator:
            operation = "create or submit jobs while AllowNewUserConnections is False"
            raise HpcError("PERMISSION_DENIED", user=caller.user, operation=operation)

    def _check_all(self, caller: Caller, new: Sequence[NewJob]) -> list[NewJob]:
        """Return what becomes of jobs of one call; a refusal says which it is of."""
        checked: list[NewJob] = []
        known: dict[int, NewJob] = {}
        like: tuple[NewJob, NewJob] | None = None
        for number, one in enumerate(new):
            try:
                found = known.get(id(one))
                if found is None and like and are_alike(like[0], one):
                    found = self._check_texts(caller, like[1], one)
                elif found is None:
                    found = known[id(one)] = self._check_new(caller, one, submit=True)
                    like = (one, found)
                checked.append(found)
            except HpcError as refusal:
                raise _numbered(refusal, number, len(new)) from None
        return checked

    def _check_new(self, caller: Caller, new: NewJob, *, submit: bool) -> NewJob:
        """Return the job with what its template makes of it, if it can be made."""
        templates = self._settings.templates
        template = template_of(new.spec, templates)
        check_user(template, caller)
        spec = apply_template(new.spec, template)
        check_sizes(spec, template)
        self._world.sound.check(spec, new.tasks, self._settings)
        check_hold("spec.hold_until", spec.hold_until, self._now())
        check_run_as(spec.user_name, caller.user, caller)
        if submit:
            sound = self._world.sound
            sound.check(spec, new.tasks, self._settings, together=True)
            unit = spec.unit_type
            low = max((t.bounds(unit)[0] for t in new.tasks), default=1)
            least = low if spec.least is None else spec.least
            check_known(spec, least, self._world.nodes)
            self._check_task_nodes(new.tasks)
            check_values(spec, template)
        own = (spec.environment, *(task.environment for task in new.tasks))
        if any(own):
            warn_of_preserved(caller, "a new job", own)
        return NewJob(spec=spec, tasks=self._world.blobs.sealed(new.tasks))

    def _check_texts(self, caller: Caller, like: NewJob, new: NewJob) -> NewJob:
        """Return a job like one that was checked, but for what its task runs."""
        (task,) = new.tasks
        validate_texts(like.spec, task)
        if task.environment:
            own = (like.spec.environment, task.environment)
            warn_of_preserved(caller, "a new job", own)
        return NewJob(spec=like.spec, tasks=new.tasks)

    def _check_task_nodes(self, tasks: Iterable[TaskSpec]) -> None:
        """Refuse nodes and groups of tasks that are not there."""
        for number, task in enumerate(tasks):
            if task.is_picky:
                check_task_known(f"spec.tasks[{number}]", task, self._world.nodes)

    def _check_nodes(self, spec: JobSpec) -> None:
        """Refuse nodes and groups that are not there (a filter may have named them)."""
        check_known(spec, spec.least or 1, self._world.nodes)

    async def _create(
        self,
        caller: Caller,
        new: Sequence[NewJob],
        ledger: Ledger | None,
        *,
        submit: bool,
        owner: str = "",
        kin: c.Kin = c.NO_KIN,
    ) -> Sequence[int]:
        """Make jobs durable together, then let them live.

        A refusal leaves no trace, not even used numbers. The owner is the caller, if it
        is nobody else; ``kin`` is of the parents of all of them.
        """
        now = self._now()
        ids = range(self._next_job, self._next_job + len(new))

        def make(at: int) -> Made:
            who = owner or caller.user
            one, others = new[at], len(new)
            job, decision = new_job(
                ids[at], who, one.spec, one.tasks, now, self._settings
            )
            decided = [(decision, Mail(None))]
            if submit:
                decided += self._submitted(caller, job, kin, now)
                decided += self._start_at_once(job, others, now)
            moments = lasting_ticks(job, self._settings, now)
            job.due = fresh(self._world.clock, moments, self._world.boot_id)
            return Made(job, decided, new_job_delta(job, decided, now))

        made: list[Made] = []
        for at, count in runs_of(new):
            first = make(at)
            made.append(first)
            some = new[at : at + count]
            if submit and count > 1 and join_alike(self._world, first, some, now):
                self._order += count - 1
            else:
                made += map(make, range(at + 1, at + count))
        self._next_job += len(new)
        made[0].delta.counters = {"next_job": self._next_job}
        if ledger is not None:
            made[0].delta.requests = [request_row(ledger, list(ids), now)]
        if submit:
            self._world.submissions.together(ids)
        try:
            await self._commit_new(made, ids)
        except Exception:
            self._world.submissions.apart(ids)
            raise
        return ids

    def _submitted(
        self, caller: Caller, job: Job, kin: c.Kin, now: float
    ) -> list[tuple[Decision, Mail]]:
        """Submit a new job in the commit that makes it."""
        command = self._submission(caller, job, kin)
        submitted = decide(job, command, now, self._settings, self._world.nodes)
        if submitted.refusal is not None:
            raise submitted.refusal
        return [(submitted, Mail(None))]

    def _submission(self, caller: Caller, job: Job, kin: c.Kin) -> c.Command:
        if job.spec.job_type is not JobType.ADMIN:
            order = self._next_order()
            # _check_new has looked at it.
            return c.SubmitJob(caller=caller, submit_order=order, kin=kin, checked=True)
        nodes: dict[int, int | None] = {}
        refused: dict[int, str] = {}
        for record in job.tasks:
            actor = self._world.nodes.find(record.spec.node)
            if JobTypes.ADMIN not in actor.record.job_types:
                nodes[record.task_id] = None
                refused[record.task_id] = f"node {actor.record.name} takes no commands"
            else:
                # One that is away for a moment gets its task when it is back, and fails
                # it when it is unreachable.
                gone = actor.known_lost
                nodes[record.task_id] = None if gone else actor.record.node_id
        return c.StartCommand(caller=caller, nodes=nodes, refused=refused)

    def _start_at_once(
        self, job: Job, others: int, now: float
    ) -> list[tuple[Decision, Mail]]:
        """Start a single new job in the commit that makes it, if cores wait for it."""
        demand = demand_of(job, self._settings, self._world.scheduler.units)
        if others > 1 or demand is None:
            return []
        cores = self._world.scheduler.give(demand)
        if not cores:
            return []
        order = order_of(self._world.scheduler.books, demand, cores)
        started = decide(job, order, now, self._settings)
        return [(started, Mail(None))]

    async def _commit_new(self, made: Sequence[Made], ids: range) -> None:
        future: asyncio.Future[None] = self._world.loop.create_future()

        def done(seqs: Sequence[int], error: BaseException | None) -> None:
            for one in made:
                self._world.scheduler.given(one.job.job_id, kept=error is None)
            if error is None:
                begin(self._world, made, seqs)
            if future.done():
                return  # whoever asked has gone; what was committed stands
            if error is None:
                future.set_result(None)
            elif isinstance(error, DuplicateRequestError):
                if self._next_job == ids.stop:
                    self._next_job = ids.start  # nobody has seen the numbers
                future.set_exception(error)  # the ledger knows the answer
            else:
                future.set_exception(refusal_of(error))

        self._world.store.commit_together([one.delta for one in made], done)
        await future


def cloned(spec: JobSpec) -> JobSpec:
    """Return what a clone takes over; the rest starts from defaults (api.md 3.1)."""
    return replace(
        spec,
        excluded_nodes=(),
        can_preempt=False,
        progress=None,
        progress_message="",
        hold_until=None,
        email_address="",
        notify_on_start=False,
        notify_on_completion=False,
    )


def _numbered(refusal: HpcError, number: int, total: int) -> HpcError:
    """Name the job of a batch that was refused."""
    if total > 1:
        field = refusal.facts.get("field", "")
        refusal.facts["field"] = field.replace("spec", f"specs[{number}]", 1)
        refusal.args = (f"specs[{number}]: {refusal}",)
    return refusal
