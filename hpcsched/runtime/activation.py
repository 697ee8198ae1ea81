"""The activation filter: asked each time a job is about to start or grow (3.2, D8).

One question at a time, in queue order, as the reference does: a filter counts licences
or the like, and what it answers for one job depends on what it let go before. The cores
are booked for the job while its filter runs; everything else goes on meanwhile. A job
is started by exit code 0 alone: whatever else happens, it waits and is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from hpcsched.core.job.commands import FailActivation, HoldActivation
from hpcsched.runtime.filter_documents import snapshot_of, variables_of
from hpcsched.runtime.filter_program import FilterCall, FilterOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.common.clock import Timer
    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.books import Cores
    from hpcsched.runtime.filter_documents import JobSnapshot
    from hpcsched.runtime.submission import FilterKit
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
RETRY_S: Final = 10.0
"""Seconds until a job that was not started is asked about again."""
START, BLOCK, RESERVE, HOLD, FAIL = range(5)
NOT_LAUNCHED: Final = -2147213989
LONGEST_HOLD_S: Final = 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A grant that waits for the filter.

    Attributes:
        cores: What the job would then hold, on the nodes where that changes.
    """

    demand: Demand
    cores: Cores
    backfill: bool = False

    @property
    def job_id(self) -> int:
        """Whose it is."""
        return self.demand.job_id


class Grants(Protocol):
    """The scheduler, as the gate sees it."""

    def reserve(self, question: Question) -> None:
        """Book the cores of a grant that is not given yet."""

    def hand_over(self, question: Question) -> None:
        """Give a job what is booked for it."""

    def take_back(self, job_id: int) -> None:
        """Book the cores as free again."""

    def is_whole(self, question: Question) -> bool:
        """Do all nodes of a booked grant still take work?"""
        ...

    def wake(self) -> None:
        """Make a plan soon."""


@dataclass(slots=True)
class _Rest:
    """Why a job is not asked about now, and until when (``Clock.mono``)."""

    until: float
    text: str


class ActivationGate:
    """See the module."""

    def __init__(self, world: World, grants: Grants) -> None:
        self.kit: FilterKit | None = None
        self._world = world
        self._grants = grants
        self._asking: Question | None = None
        self._running: asyncio.Task[None] | None = None
        self._rests: dict[int, _Rest] = {}
        self._reserved: dict[int, Question] = {}
        self._blocked_until = 0.0
        self._timer: Timer | None = None
        self._timer_at = 0.0

    @property
    def is_there(self) -> bool:
        """Is there a filter?"""
        return bool(self._world.settings.activation_filter)

    def rests(self, job_id: int) -> bool:
        """Is a job not to be planned for now?"""
        rest = self._rests.get(job_id)
        if rest is None:
            return False
        if not self.is_there or rest.until <= self._world.clock.mono():
            if job_id not in self._reserved:
                del self._rests[job_id]
            return False
        return True

    def text(self, job_id: int) -> str:
        """Return what the filter has said about a job; empty: nothing yet."""
        if self._asking is not None and self._asking.job_id == job_id:
            return "the activation filter is being asked"
        rest = self._rests.get(job_id)
        return "" if rest is None or not self.is_there else rest.text

    def forget(self, job_id: int) -> None:
        """A job wants nothing any more: its question is over."""
        self._rests.pop(job_id, None)
        asked = self._asking is not None and self._asking.job_id == job_id
        if asked and self._running is not None:
            self._running.cancel()
        if asked or self._reserved.pop(job_id, None) is not None:
            self._asking = None if asked else self._asking
            self._grants.take_back(job_id)
            self._grants.wake()

    def admit(self, found: Iterable[Question]) -> None:
        """Ask about the first of those that a plan would start or let grow.

        Without a filter all of them are let through, and what was reserved as well.
        """
        if not self.is_there:
            for question in list(self._reserved.values()):
                self._let_go(question)
            for question in found:
                self._grants.reserve(question)
                self._grants.hand_over(question)
            return
        now = self._world.clock.mono()
        if self._asking is not None:
            return
        if now < self._blocked_until:
            self._expect(self._blocked_until)
            return
        due = [q for q in self._reserved.values() if not self.rests(q.job_id)]
        first = min((*due, *found), key=lambda q: q.demand.order, default=None)
        if first is None:
            return
        if first.job_id in self._reserved:
            del self._reserved[first.job_id]
            self._rests.pop(first.job_id, None)
        else:
            self._grants.reserve(first)
            self._world.jobs.actor(first.job_id)  # it may have slept so far
        self._asking = first
        self._world.spawn(self._ask(first))

    def _let_go(self, question: Question) -> None:
        self._reserved.pop(question.job_id, None)
        self._rests.pop(question.job_id, None)
        if self._grants.is_whole(question):
            self._grants.hand_over(question)
        else:
            self._grants.take_back(question.job_id)
        self._grants.wake()

    # Asking

    async def _ask(self, question: Question) -> None:
        if self._asking is not question:
            return
        async with asyncio.TaskGroup() as tasks:
            # A task of its own, for it may be cancelled while the head lives on.
            self._running = tasks.create_task(self._carry_out(question))
        self._running = None

    async def _carry_out(self, question: Question) -> None:
        world, job_id = self._world, question.job_id
        outcome = FilterOutcome(problem="it could not be asked")
        until: float | None = None
        try:
            snapshot = await world.jobs.look(
                job_id, lambda job: snapshot_of(job, world.name_of)
            )
            outcome = await self._outcome(snapshot)
            if outcome.exit_code == HOLD:
                until = await self._hold_of(outcome, snapshot)
        except Exception as problem:
            log.exception("job %d: the activation filter was not asked", job_id)
            outcome = FilterOutcome(problem=str(problem))
        if self._asking is question:
            self._asking = None
            self._take(question, outcome, until)
            self._grants.wake()

    async def _outcome(self, snapshot: JobSnapshot) -> FilterOutcome:
        world, kit = self._world, self.kit
        if kit is None:
            return FilterOutcome(problem="this head cannot run filter programs")
        call = FilterCall(
            program=world.settings.activation_filter,
            document=lambda: kit.documents.write(snapshot),
            environment=variables_of(snapshot, world.scene.cluster, world.scene.head),
            timeout_s=world.settings.activation_timeout_s,
        )
        return await kit.programs.run(call)

    async def _hold_of(
        self, outcome: FilterOutcome, snapshot: JobSnapshot
    ) -> float | None:
        """Return the HoldUntil that the filter has set in the XML; None: none."""
        assert self.kit is not None  # noqa: S101  it has just run a program
        try:
            found = await asyncio.to_thread(
                self.kit.documents.read, outcome.document, snapshot
            )
        except Exception as problem:  # noqa: BLE001  the job is held all the same
            job_id = snapshot.job.job_id
            log.warning("job %d: the XML of its filter: %s", job_id, problem)
            return None
        return found.hold_until

    # What is answered

    def _take(
        self, question: Question, outcome: FilterOutcome, until: float | None
    ) -> None:
        job_id, now = question.job_id, self._world.clock.mono()
        said = outcome.message
        if not self.is_there or outcome.exit_code == START:
            self._let_go(question)
            return
        if outcome.exit_code == RESERVE:
            self._reserved[job_id] = question
            self._rest(job_id, RETRY_S, said or "the activation filter reserves for it")
            return
        self._grants.take_back(job_id)
        growing = question.demand.running
        hold_s = float(self._world.settings.hold_s)
        if outcome.exit_code == BLOCK:
            self._blocked_until = now + RETRY_S
            self._rest(
                job_id, RETRY_S, said or "the activation filter blocks the queue"
            )
        elif outcome.exit_code == HOLD and not growing:
            wall = self._world.clock.wall()
            if until is None or until <= wall:
                until = wall + hold_s
            until = min(until, wall + LONGEST_HOLD_S)
            self._tell(job_id, HoldActivation(until=until, message=said))
        elif outcome.exit_code == FAIL and not growing:
            self._tell(job_id, FailActivation(message=said))
        elif outcome.exit_code in {HOLD, FAIL}:
            self._rest(job_id, hold_s, said or "the activation filter lets it not grow")
        else:
            text = _not_started(outcome)
            log.warning("job %d is not started: %s", job_id, text)
            self._rest(job_id, RETRY_S, text)

    def _tell(self, job_id: int, command: FailActivation | HoldActivation) -> None:
        """Tell the job; until its state says so it is not asked about again."""
        text = "the activation filter has decided"
        self._rest(job_id, RETRY_S, text)

        def answered(_: Any, error: BaseException | None) -> None:
            if error is not None:
                log.warning("job %d: %s was not taken: %s", job_id, command, error)

        self._world.jobs.tell(job_id, command, answered)

    def _rest(self, job_id: int, seconds: float, text: str) -> None:
        until = self._world.clock.mono() + seconds
        self._rests[job_id] = _Rest(until, text)
        self._expect(until)

    def _expect(self, when: float) -> None:
        """Have the scheduler make a plan then; the earliest such time counts."""
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._world.clock.call_at(when, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        now = self._world.clock.mono()
        later = [rest.until for rest in self._rests.values() if rest.until > now]
        if later:
            self._expect(min(later))
        self._grants.wake()


def _not_started(outcome: FilterOutcome) -> str:
    if outcome.timed_out:
        return f"the activation filter did not answer: {outcome.problem}"
    if outcome.problem:
        return (
            f"the activation filter could not be run ({NOT_LAUNCHED}): "
            f"{outcome.problem}"
        )
    code = f"exit code {outcome.exit_code}"
    return f"the activation filter: {outcome.message or code}"
