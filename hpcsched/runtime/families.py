"""Who waits for whom: children hear what becomes of their parents (lifecycle.md 3.4).

A queued child follows each parent that it does not know to have Finished: it asks, and
is told of every change that counts. Nothing of this is stored. What a child was told is
in its own state; after a restart it follows, and asks, again. So its state is right
whatever died between a parent's end and the child's knowing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import Kin, NoteParent
from hpcsched.core.job.parents import told_as
from hpcsched.core.job.states import JobState
from hpcsched.core.job.waiting import awaited_parents
from hpcsched.runtime.mail import Mail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.job.model import Job
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
RETRY_S: Final = 1.0
CHILDREN_SHOWN: Final = 1000
"""Children of a job that are shown with it."""


class Families:
    """See the module.

    Attributes:
        known: Some job named a parent, now or earlier.
    """

    def __init__(self, world: World, *, known: bool) -> None:
        self.known = known
        self._world = world
        self._children: dict[int, set[int]] = {}
        self._parents: dict[int, tuple[int, frozenset[int]]] = {}
        self._told: dict[int, JobState] = {}

    def note(self, job: Job) -> None:
        """A job's state has become durable: follow its parents, tell its children."""
        if job.spec.parent_job_ids:
            self.known = True
            self._follow(job)
        elif job.job_id in self._parents:
            self._follow(job)
        if job.job_id in self._children:
            state = told_as(job.state)
            if self._told.get(job.job_id) is not state:
                self._told[job.job_id] = state
                self._tell(job.job_id, state)

    def awaited(self, ids: range) -> list[int]:
        """Return the jobs of a range whose children want to hear of them."""
        return [job_id for job_id in self._children if job_id in ids]

    def gone(self, job_id: int) -> None:
        """A job has been deleted."""
        self._tell(job_id, None)

    def _tell(self, parent: int, state: JobState | None) -> None:
        for child in list(self._children.get(parent, ())):
            self._world.jobs.post(child, NoteParent(parent=parent, state=state))

    def _follow(self, job: Job) -> None:
        """Follow whom the job waits for. Each submission asks anew.

        Its answers to what it was told before may have been lost with the state that
        the submission replaced.
        """
        child, wanted = job.job_id, awaited_parents(job)
        order, followed = self._parents.pop(child, (0, frozenset[int]()))
        for parent in followed - wanted:
            self._leave(child, parent)
        if not wanted:
            return
        self._parents[child] = (job.submit_order, wanted)
        for parent in sorted(wanted):
            self._children.setdefault(parent, set()).add(child)
            if order != job.submit_order or parent not in followed:
                self._ask(child, parent)

    def _leave(self, child: int, parent: int) -> None:
        children = self._children.get(parent, set())
        children.discard(child)
        if not children:
            self._children.pop(parent, None)
            self._told.pop(parent, None)

    def _ask(self, child: int, parent: int) -> None:
        def answered(state: Any, error: BaseException | None) -> None:
            if child not in self._children.get(parent, ()):
                return
            if error is None:
                command = NoteParent(parent=parent, state=told_as(state))
                self._world.jobs.post(child, command)
            elif isinstance(error, HpcError) and error.reason == "JOB_NOT_FOUND":
                command = NoteParent(parent=parent, state=None)
                self._world.jobs.post(child, command)
            elif isinstance(error, HpcError) and error.reason == "QUEUE_FULL":
                clock = self._world.clock
                again = clock.mono() + RETRY_S
                clock.call_at(again, lambda: self._ask(child, parent))
            else:
                log.error("job %d: its parent %d is unknown: %s", child, parent, error)

        mail = Mail(answered, look=lambda job: job.state)
        self._world.jobs.actor(parent).post(mail)

    # Before a submission

    async def states_of(self, parents: Iterable[int]) -> dict[int, JobState]:
        """Return the states of the jobs that there are."""
        found: dict[int, JobState] = {}
        for number in dict.fromkeys(parents):
            seen = await self._look(number)
            if seen is not None:
                found[number] = seen[0]
        return found

    async def kin_of(self, job_id: int, parents: tuple[int, ...]) -> Kin:
        """Return what a draft must know of other jobs when it is submitted.

        Whom its parents wait for matters only where somebody waits for the draft: it
        was submitted before, and has been taken back since.
        """
        states = await self.states_of(parents)
        ancestors: set[int] = set()
        if await self._world.store.children(job_id, 1):
            todo = list(states)
            while todo and job_id not in ancestors:
                seen = await self._look(todo.pop())
                if seen is None or seen[0] is JobState.FINISHED:
                    continue
                todo.extend(n for n in seen[1] if n not in ancestors)
                ancestors.update(seen[1])
        return Kin(states=states, ancestors=frozenset(ancestors))

    async def _look(self, job_id: int) -> tuple[JobState, tuple[int, ...]] | None:
        try:
            found: tuple[JobState, tuple[int, ...]] = await self._world.jobs.look(
                job_id, lambda job: (job.state, job.spec.parent_job_ids)
            )
        except HpcError as refusal:
            if refusal.reason != "JOB_NOT_FOUND":
                raise
            return None
        return found
