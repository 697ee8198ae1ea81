"""Use cases that look at jobs and tasks, each after the commits before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.job.model import UNBOUNDED
from hpcsched.core.job.searching import TaskSearch, search_tasks
from hpcsched.core.job.show import job_view, master_view, task_view, waiting_for
from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.job.stages import why_it_runs, why_it_stops
from hpcsched.core.job.states import JobState, PendingReason
from hpcsched.core.job.waiting import held_back
from hpcsched.core.orders import PurgeJob
from hpcsched.core.scheduling.needing import spread
from hpcsched.core.scheduling.words import needs
from hpcsched.core.task.elements import HAS_OUTPUT
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.demand import demand_of
from hpcsched.runtime.explaining import (
    why_held_back,
    why_it_is_held,
    why_it_waits,
    why_not_these_nodes,
)
from hpcsched.runtime.families import CHILDREN_SHOWN
from hpcsched.runtime.unreadable import bare_view, row_view
from hpcsched.runtime.using import job_in_use, master_in_use, task_in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.listing.ordering import Position
    from hpcsched.core.settings import Settings
    from hpcsched.core.views import JobView, TaskView
    from hpcsched.runtime.front import TaskKey, TaskPage
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World
    from hpcsched.store.base import JobQuery, JobRow, JobSearch

WAIT_LIMIT_S: Final = 55.0
SHOWN_TASKS: Final = 20
"""Waiting tasks of which the reason is told."""
BEFORE_QUEUE: Final = {
    JobState.CONFIGURING: "it has not been submitted: hpc job submit",
    JobState.EXTERNAL_VALIDATION: "the submission filter is deciding on it",
}
RESTORE_MODE: Final = (
    "nothing is started: the cluster is in restore mode, until an administrator "
    "sets RestoreMode to False"
)


class JobReads:
    """The reading half of ``runtime.front.JobFront``."""

    _world: World
    _ledgers: Ledgers
    _next_job: int
    _order: int

    @property
    def _settings(self) -> Settings:
        return self._world.settings

    def _now(self) -> float:
        return self._world.clock.wall()

    def _next_order(self) -> int:
        """Return the next place in the queue, behind every job that there is."""
        self._order += 1
        return self._order

    def _view(self, job: Job, *, full: bool = False) -> JobView:
        name_of, settings = self._world.name_of, self._settings
        view = job_view(job, name_of, settings, full=full)
        return self._now_seen(job_in_use(self._world, job, view, full=full))

    def _now_seen(self, view: JobView) -> JobView:
        """Add what follows from the rest of the cluster, and from the time."""
        view = self._within(view)
        if view.job_id in self._world.apart:
            view = replace(view, set_aside=self._world.apart.short(view.job_id))
        if view.submit_time is None:
            return view
        until = view.start_time or view.end_time or self._now()
        wait_s = max(0.0, until - view.submit_time)
        reason = view.pending_reason
        if view.state is JobState.QUEUED and not reason:
            reason = self._world.scheduler.why(view.job_id)
        return replace(view, wait_s=wait_s, pending_reason=reason)

    def _within(self, view: JobView) -> JobView:
        """Show what a job names that has no bounds, or is gone, as what there is.

        A computed maximum is no more than that (properties.md 3.2, note 2).
        """
        if view.pool not in self._world.pools:
            view = replace(view, pool=DEFAULT_POOL)
        there = self._world.scheduler.units[view.unit_type]
        if (
            not view.auto_max
            or view.most <= there
            or not (there or view.most == UNBOUNDED)
        ):
            return view
        return replace(view, most=max(view.least, there))

    async def get_job(self, caller: Caller, job_id: int, *, full: bool) -> JobView:
        """Return one job; its specification only for those who may operate it."""

        def look(job: Job) -> JobView:
            if full:
                caller.require_operator(
                    job.owner, f"read the specification of job {job_id}"
                )
            return self._view(job, full=full)

        try:
            view: JobView = await self._world.jobs.look(job_id, look)
        except HpcError:
            if not self._world.apart.is_unreadable(job_id):
                raise
            bare = await bare_view(self._world, job_id, self._settings)
            return self._now_seen(bare)
        if self._world.families.known:
            found = await self._world.store.children(job_id, CHILDREN_SHOWN)
            view = replace(view, child_job_ids=tuple(found))
        return view

    async def list_jobs(self, caller: Caller, query: JobQuery) -> Sequence[JobView]:
        """Return jobs as they are stored; names and states are for everybody."""
        del caller
        rows = await self._world.store.list_jobs(query)
        return [self._stored(row) for row in rows]

    async def search_jobs(
        self, caller: Caller, search: JobSearch
    ) -> Sequence[tuple[JobView, Position]]:
        """Return jobs as they are stored, in any order, by any property."""
        del caller
        settings = self._settings
        same = {"can_grow": int(settings.grow), "can_shrink": int(settings.shrink)}
        kept = []
        for one in search.conditions:
            name = one.property.name
            if name not in same:
                kept.append(one)
            elif not one.holds(same[name]):
                return []  # the cluster's parameters say it of every job
        search = replace(search, conditions=kept)
        found = await self._world.store.search_jobs(search)
        return [(self._stored(row), position) for row, position in found]

    def _stored(self, row: JobRow) -> JobView:
        return self._now_seen(row_view(self._world, row, self._settings))

    async def wait_job(self, caller: Caller, job_id: int, timeout_s: float) -> JobView:
        """Return the job when it is terminal, or as it is when the time is over."""
        await self._world.jobs.wait_end(job_id, min(timeout_s, WAIT_LIMIT_S))
        return await self.get_job(caller, job_id, full=False)

    async def explain(
        self, caller: Caller, job_id: int, task: TaskKey | None
    ) -> tuple[str, Sequence[str]]:
        """Say why a job or a task waits, or ended as it did."""

        def look(job: Job) -> tuple[str, Sequence[str]]:
            if task is not None:
                caller.require_operator(job.owner, f"read the tasks of job {job_id}")
                return self._why_task(job, task)
            return self._why_job(job)

        try:
            answer: tuple[str, Sequence[str]]
            answer = await self._world.jobs.look(job_id, look)
        except HpcError:
            if task is not None or not self._world.apart.is_unreadable(job_id):
                raise
            return "", self._world.apart.why(job_id)
        return answer

    def _why_job(self, job: Job) -> tuple[str, Sequence[str]]:
        stopping = job.state in {JobState.CANCELING, JobState.FINISHING}
        lines = self._world.apart.why(job.job_id, stopping=stopping)
        if self._settings.restore_mode and not job.state.terminal:
            lines.append(RESTORE_MODE)
        reason = PendingReason.NONE
        match job.state:
            case JobState.QUEUED:
                reason = held_back(job) or self._world.scheduler.why(job.job_id)
                lines.extend(self._why_queued(job, reason))
            case JobState.CONFIGURING | JobState.EXTERNAL_VALIDATION:
                lines.append(BEFORE_QUEUE[job.state])
            case JobState.RUNNING:
                lines.extend(self._why_running(job))
            case JobState.CANCELING | JobState.FINISHING:
                lines.extend(why_it_stops(job))
            case _:
                lines.append(f"it is {job.state.label}")
                failed = job.counts[TaskState.FAILED]
                if failed and "failed" not in job.error_params:
                    lines.append(f"{failed} of its tasks failed")
        if job.error_message:
            lines.append(job.error_message)
        return reason.label, lines

    def _why_queued(self, job: Job, reason: PendingReason) -> list[str]:
        if held_back(job):
            return why_held_back(self._world, job)
        if reason is PendingReason.ACTIVATION_FILTER:
            return why_it_waits(self._world, job.job_id)  # it has what it needs
        first = self._what_it_lacks(job, reason)
        return [
            first,
            *why_not_these_nodes(self._world, job.job_id),
            *why_it_waits(self._world, job.job_id),
        ]

    def _what_it_lacks(self, job: Job, reason: PendingReason) -> str:
        demand = demand_of(job, self._settings, {})
        if demand is None:
            return "it waits for its nodes"
        match reason:
            case PendingReason.HIGHER_PRIORITY_JOB:
                return "a job of higher priority goes first"
            case PendingReason.JOB_SUBMITTED_EARLIER:
                return "a job that was submitted earlier goes first"
            case _:
                nodes = list(self._world.scheduler.books.ready.values())
                return needs(spread(demand, nodes), nodes)

    def _why_task(self, job: Job, key: TaskKey) -> tuple[str, Sequence[str]]:
        view = self._task(job, key, full=False)
        name = show(job.job_id, key)
        lines = [f"task {name} is {view.state.label}"]
        reason = PendingReason.NONE
        if view.state is TaskState.QUEUED:
            lines.append(view.pending_reason)
            reason = PendingReason.NOT_ENOUGH_RESOURCE
            if job.doubts and held_back(job) is PendingReason.ATTEMPT_MAY_LIVE:
                reason = PendingReason.ATTEMPT_MAY_LIVE
                lines[1:] = why_held_back(self._world, job)
            if view.pending_reason.startswith("waits for ") and view.spec is None:
                record = job.tasks[key[0] - 1]
                if record.task_id in job.unready:
                    reason = PendingReason.DEPENDENCY_NOT_DONE
        record = job.tasks[key[0] - 1]
        if not key[1] and self._now() < record.not_before:
            lines.append(self._damped(record))
        if view.concluded and not view.state.terminal:
            lines.append(f"it is concluded; {record.open} instances have not ended")
        if view.error_message:
            lines.append(view.error_message)
        return reason.label, lines

    def _why_running(self, job: Job) -> list[str]:
        lines = why_it_runs(job)
        lines += why_it_is_held(self._world, job)
        for record in job.ordinary():
            if len(lines) >= SHOWN_TASKS:
                break
            if record.counts[TaskState.QUEUED]:
                lines.append(f"task {record.task_id} {waiting_for(job, record)}")
            if self._now() < record.not_before:
                lines.append(f"task {record.task_id}: {self._damped(record)}")
        return lines

    def _damped(self, record: TaskRecord) -> str:
        left = record.not_before - self._now()
        return f"its instances end at once; new ones start in {left:.0f} s"

    async def get_task(
        self, caller: Caller, job_id: int, task: TaskKey, *, full: bool
    ) -> TaskView:
        """Return one task with the beginning of its output."""

        def look(job: Job) -> tuple[TaskView, bool]:
            caller.require_operator(job.owner, f"read the tasks of job {job_id}")
            view = self._read_by(caller, job, self._task(job, task, full=full))
            record = job.tasks[task[0] - 1]
            if record.has_elements and not task[1]:
                return view, False
            flags = job.table_of(record).get("flags", record.row(task[1]))
            return view, bool(flags & HAS_OUTPUT)

        view, has_output = await self._world.jobs.look(job_id, look)
        if has_output:
            kept = await self._world.store.read_output(job_id, *task)
            if kept is not None and kept.attempt == view.attempt:
                view = replace(view, output=kept.text)
        answer: TaskView = view
        return answer

    def _task(self, job: Job, key: TaskKey, *, full: bool) -> TaskView:
        record, _ = find_elements(job, key)
        return self._show(job, record, key[1], full=full)

    def _show(
        self, job: Job, record: TaskRecord, instance: int, *, full: bool
    ) -> TaskView:
        if record.has_elements and not instance:
            master = master_view(job, record, self._world.name_of, full=full)
            return master_in_use(self._world, job, master) if full else master
        view = task_view(job, record, instance, self._world.name_of, full=full)
        return task_in_use(self._world, job, view)

    def _read_by(self, caller: Caller, job: Job, view: TaskView) -> TaskView:
        """Open the submitter's blob for the submitter, and for nobody else."""
        if view.spec is None or not view.spec.user_blob:
            return view
        if caller.user != job.owner:
            return replace(view, spec=replace(view.spec, user_blob=b""))
        return replace(view, spec=self._world.blobs.opened(view.spec))

    async def _tasks(
        self, caller: Caller, job_id: int, keys: Sequence[TaskKey]
    ) -> Sequence[TaskView]:
        def look(job: Job) -> list[TaskView]:
            caller.require_operator(job.owner, f"read the tasks of job {job_id}")
            return [self._task(job, key, full=False) for key in keys]

        views: Sequence[TaskView] = await self._world.jobs.look(job_id, look)
        return views

    async def list_tasks(
        self, caller: Caller, job_id: int, page: TaskPage
    ) -> tuple[Sequence[TaskView], str]:
        """Return a page of tasks, and the token of the next one.

        Raises:
            HpcError: JOB_NOT_FOUND, PERMISSION_DENIED, TASK_NOT_FOUND,
                PAGE_TOKEN_INVALID, LIST_TOO_LONG_TO_SORT.
        """
        search = TaskSearch(
            states=frozenset(page.states),
            elements=page.elements or bool(page.states),
            task_id=page.task_id,
            conditions=page.conditions,
            sort=page.sort,
            limit=page.limit,
            token=page.token,
        )

        def look(job: Job) -> tuple[list[TaskView], str]:
            caller.require_operator(job.owner, f"read the tasks of job {job_id}")
            if page.task_id and job.task(page.task_id) is None:
                name = show(job_id, (page.task_id, 0))
                raise HpcError("TASK_NOT_FOUND", job_id=job_id, task=name)
            found, token = search_tasks(job, search)
            views = [
                self._read_by(
                    caller, job, self._show(job, record, instance, full=page.full)
                )
                for record, instance in found
            ]
            return views, token

        answer: tuple[list[TaskView], str] = await self._world.jobs.look(job_id, look)
        return answer

    async def _purge(
        self, job_id: int, check: Callable[[Job], None], ledger: Ledger | None
    ) -> None:
        """Delete a job's record if ``check`` agrees, and its output on its nodes."""
        nodes = await self._world.jobs.purge(job_id, check, ledger)
        self._world.feed.floor = await self._world.store.floor()
        for node_id in nodes:
            self._world.nodes.send(node_id, PurgeJob(job_id=job_id))
