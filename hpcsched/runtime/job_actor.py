"""The actor of one job: owns its state, takes mail in batches.

One order, in one place: a batch of mail is decided on the state, committed, then answered,
published and acted on. While a commit is under way new mail gathers. An actor is plain data; it
is on the event loop only while it has something to do.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job import codec
from hpcsched.core.job.calls import deadline_of
from hpcsched.core.job.commands import SyncNode, TakeReports
from hpcsched.core.job.decide import decide
from hpcsched.core.job.effects import effects_of_turn, effects_on_node, held_cores
from hpcsched.core.reports import Ended
from hpcsched.core.views import EventView
from hpcsched.runtime.demand import demand_of
from hpcsched.runtime.feed import changes_view
from hpcsched.store.base import Delta, EventRow, JobRow, RequestRow, TaskOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Timer
    from hpcsched.core.job.commands import Command
    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.core.orders import Order
    from hpcsched.runtime.world import World

    Reply = Callable[[Any, BaseException | None], None]

_log = logging.getLogger(__name__)
BATCH: Final = 512
FAULTS: Final = 3


@dataclass(slots=True)
class Ledger:
    """What makes the answer to a call repeatable: written with the call's own commit."""

    principal: str
    request_id: str
    digest: bytes


@dataclass(slots=True)
class Mail:
    """One piece of mail: a command, or something that only looks.

    Attributes:
        look: Called with the job; its result is the answer.
    """

    reply: Reply | None
    command: Command | None = None
    look: Callable[[Job], Any] | None = None
    ledger: Ledger | None = None


class JobActor:
    """See the module."""

    __slots__ = (
        "_batch",
        "_deadline",
        "_decisions",
        "_faults",
        "_mail",
        "_scheduled",
        "_timer",
        "_world",
        "committing",
        "job",
        "job_id",
        "loading",
    )

    def __init__(self, job_id: int, world: World, job: Job | None) -> None:
        self.job_id = job_id
        self.job = job
        self.loading = job is None
        self.committing = False
        self._world = world
        self._mail: deque[Mail] = deque()
        self._scheduled = False
        self._batch: list[tuple[Mail, Any, BaseException | None]] = []
        self._decisions: list[tuple[Decision, Mail]] = []
        self._faults = 0
        self._timer: Timer | None = None
        self._deadline: float | None = None

    @property
    def idle(self) -> bool:
        """Has it nothing to do and nothing that could be lost?"""
        return not (self._mail or self.committing or self.loading or self._scheduled)

    def post(self, mail: Mail) -> None:
        """Take mail; it is answered in the order in which it came."""
        self._mail.append(mail)
        self._wake()

    def loaded(self, job: Job | None) -> None:
        """The store has answered: the job as it is there, or None for no such job."""
        self.loading = False
        self.job = job
        self._wake()

    def _wake(self) -> None:
        if (
            not self._scheduled
            and not self.committing
            and not self.loading
            and self._mail
        ):
            self._scheduled = True
            self._world.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.committing or self.loading:
            return
        batch = [self._mail.popleft() for _ in range(min(BATCH, len(self._mail)))]
        if self.job is None:
            for mail in batch:
                _answer(mail, None, HpcError("JOB_NOT_FOUND", job_id=self.job_id))
            self._world.jobs.forget(self.job_id)
            return
        first = self.job.revision
        now = self._world.clock.wall()
        for number, mail in enumerate(batch):
            try:
                self._take(mail, now)
            except Exception as fault:  # noqa: BLE001  a fault ends this turn, not the head
                self._fault(fault, mail, batch[:number] + batch[number + 1 :])
                return
        if self.job.revision == first:
            self._finish_batch()
            return
        self._commit(first)

    def _take(self, mail: Mail, now: float) -> None:
        assert self.job is not None  # noqa: S101  _turn has checked
        if mail.look is not None:
            try:
                self._batch.append((mail, mail.look(self.job), None))
            except HpcError as refusal:
                self._batch.append((mail, None, refusal))
            return
        assert mail.command is not None  # noqa: S101  mail is one or the other
        try:
            decision = decide(self.job, mail.command, now, self._world.settings)
        except HpcError as refusal:
            self._batch.append((mail, None, refusal))
            return
        self._decisions.append((decision, mail))
        self._batch.append((mail, decision.answer, decision.refusal))

    def _commit(self, first: int) -> None:
        self.committing = True
        self._world.store.commit(self._delta(first), self._committed)

    def _delta(self, first: int) -> Delta:
        job = self.job
        assert job is not None  # noqa: S101  only called with a job
        rows: list[EventRow] = []
        specs: dict[int, bytes] = {}
        notes: dict[int, bytes] = {}
        requests: list[RequestRow] = []
        revision = first
        for decision, mail in self._decisions:
            for event, changes in decision.turn.events:
                revision += 1
                rows.append(
                    event_row(
                        job, revision, event.time, codec.encode_event(event, changes)
                    )
                )
                for number, code, text in event.notes:
                    notes[number] = codec.pack((code, text))
                if event.added:
                    fresh = job.tasks[-len(event.added) :]
                    specs.update((t.task_id, codec.encode_spec(t.spec)) for t in fresh)
            if mail.ledger is not None:
                requests.append(
                    request_row(mail.ledger, decision, self._world.clock.wall())
                )
        return Delta(
            events=rows,
            job=job_row(job),
            specs=specs,
            chunks=take_chunks(job),
            outputs=self._outputs(),
            notes=notes,
            requests=requests,
        )

    def _outputs(self) -> list[TaskOutput]:
        found = []
        for _, mail in self._decisions:
            if not isinstance(mail.command, TakeReports):
                continue
            for report in mail.command.reports:
                if not isinstance(report, Ended):
                    continue
                for position, detail in report.details.items():
                    if detail.output:
                        found.append(
                            TaskOutput(
                                task_id=report.task_id,
                                instance_id=report.instances[position],
                                attempt=report.attempts[position],
                                text=detail.output,
                            )
                        )
        return found

    def _committed(self, seq: int, error: BaseException | None) -> None:
        self.committing = False
        if error is not None:
            self._lost(error)
            return
        assert self.job is not None  # noqa: S101  it was there when the commit began
        self._faults = 0
        publish(self._world, self.job, seq, self._decisions)
        decisions = self._decisions
        self._finish_batch()
        self._act(decisions)
        self._wake()

    def _finish_batch(self) -> None:
        batch, self._batch, self._decisions = self._batch, [], []
        for mail, answer, refusal in batch:
            _answer(mail, answer, refusal)
        self._wake()

    def _act(self, decisions: list[tuple[Decision, Mail]]) -> None:
        """Carry out what the new state asks for; never awaited."""
        job, world = self.job, self._world
        assert job is not None  # noqa: S101  _committed has checked
        for decision, mail in decisions:
            if isinstance(mail.command, SyncNode):
                node_id = mail.command.node_id
                orders: list[tuple[int, Order]] = [
                    (node_id, order)
                    for order in effects_on_node(
                        job, node_id, world.settings, world.scene
                    )
                ]
            else:
                orders = effects_of_turn(decision.turn, world.scene)
            for node_id, order in orders:
                world.nodes.send(node_id, order)
        world.nodes.note_uses(self.job_id, frozenset(job.uses))
        world.scheduler.update(
            self.job_id, demand_of(job, world.settings), held_cores(job)
        )
        world.jobs.note_state(self)
        self._arm()

    def _arm(self) -> None:
        """Set the timer of the run-time limit."""
        assert self.job is not None  # noqa: S101  only called with a job
        deadline = deadline_of(self.job, self._world.settings.release_s)
        if deadline == self._deadline:
            return
        self._deadline = deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            clock = self._world.clock
            when = clock.mono() + max(0.0, deadline - clock.wall())
            self._timer = clock.call_at(when, self._limit_reached)

    def _limit_reached(self) -> None:
        self._deadline = None
        self._world.jobs.tick(self.job_id)

    def begin(self, decisions: list[tuple[Decision, Mail]]) -> None:
        """A new job has become durable: do what it asks for."""
        self._act(decisions)

    def resume(self) -> None:
        """After a restart: say what the stored state asks for."""
        if self.job is None:
            return
        world, job = self._world, self.job
        world.nodes.note_uses(self.job_id, frozenset(job.uses))
        world.scheduler.update(
            self.job_id, demand_of(job, world.settings), held_cores(job)
        )
        self._arm()

    def _fault(self, fault: Exception, mail: Mail, others: list[Mail]) -> None:
        """A fault of ours: forget what was not committed, load again, leave the culprit out."""
        incident = self._world.ids.uuid()
        _log.error(
            "job %d: fault %s while handling %s",
            self.job_id,
            incident,
            type(mail.command or mail.look).__name__,
            exc_info=fault,
        )
        self._faults += 1
        self._batch, self._decisions = [], []
        _answer(mail, None, HpcError("INTERNAL", incident=incident))
        if self._faults >= FAULTS:
            for other in others:
                _answer(other, None, HpcError("INTERNAL", incident=incident))
            others = []
        self._mail.extendleft(reversed(others))
        self._reload()

    def _lost(self, error: BaseException) -> None:
        """The commit failed: nothing of the batch is true; the stored state is."""
        full = isinstance(error, OSError)
        reason = "DISK_FULL" if full else "OUTCOME_UNKNOWN"
        batch, self._batch, self._decisions = self._batch, [], []
        for mail, _, refusal in batch:
            _answer(mail, None, refusal or HpcError(reason))
        self._reload()

    def _reload(self) -> None:
        self.job = None
        self.loading = True
        self._world.jobs.load(self)


def _answer(mail: Mail, answer: Any, error: BaseException | None) -> None:
    if mail.reply is not None:
        mail.reply(answer, error)


def event_row(job: Job, revision: int, time: float, body: bytes) -> EventRow:
    """Return the row of one event."""
    return EventRow(
        job_id=job.job_id, revision=revision, time=time, owner=job.owner, body=body
    )


def job_row(job: Job) -> JobRow:
    """Return the row of a job."""
    return JobRow(
        job_id=job.job_id,
        owner=job.owner,
        name=job.spec.name,
        project=job.spec.project,
        state=int(job.state),
        priority=job.spec.priority,
        create_time=job.create_time,
        submit_time=job.submit_time,
        end_time=job.end_time,
        labels=job.spec.custom_properties,
        active=not job.state.terminal,
        blob=codec.encode_job(job),
    )


def take_chunks(job: Job) -> dict[tuple[int, int], bytes]:
    """Return the packed columns that changed since the last call."""
    return {
        (table_id, number): body
        for table_id, table in job.tables.items()
        if table.dirty
        for number, body in table.take_dirty().items()
    }


def request_row(ledger: Ledger, decision: Decision, now: float) -> RequestRow:
    """Return the row that makes the answer repeatable."""
    refusal = decision.refusal
    told = None if refusal is None else (refusal.reason, str(refusal), refusal.facts)
    return RequestRow(
        principal=ledger.principal,
        request_id=ledger.request_id,
        digest=ledger.digest,
        answer=codec.pack((decision.answer, told)),
        time=now,
    )


def publish(
    world: World, job: Job, seq: int, decisions: list[tuple[Decision, Mail]]
) -> None:
    """Show the events of a commit to watchers."""
    total = sum(len(decision.turn.events) for decision, _ in decisions)
    revision = job.revision - total
    views: list[EventView] = []
    for decision, _ in decisions:
        for event, changes in decision.turn.events:
            revision += 1
            views.append(
                EventView(
                    seq=seq + len(views),
                    job_id=job.job_id,
                    revision=revision,
                    time=event.time,
                    owner=job.owner,
                    name=event.name.value,
                    actor=event.actor,
                    changes=changes_view(changes),
                    message=event.message,
                )
            )
    world.feed.publish(views)
