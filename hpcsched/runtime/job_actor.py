"""The actor of one job: owns its state, takes mail in batches.

One order, in one place: a batch of mail is decided on the state, committed, then
answered, published and acted on. While a commit is under way new mail gathers. An actor
is plain data; it is on the event loop only while it has something to do.

What was not committed is not true: after a refused commit or a fault of ours the actor
drops its state and loads what is stored. It then waits a little before it asks the
scheduler or its timer for more, so that a full disk or a fault never becomes a busy
loop.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import Tick
from hpcsched.core.job.decide import decide
from hpcsched.core.job.ticking import lasting_ticks, ticks
from hpcsched.runtime.acting import orders_after, tell
from hpcsched.runtime.apart import sets_aside
from hpcsched.runtime.deadlines import Deadlines
from hpcsched.runtime.deferring import Deferred, depends
from hpcsched.runtime.deleting import deleting_delta, has_gone
from hpcsched.runtime.durable import refusal_of
from hpcsched.runtime.mail import Mail, looked
from hpcsched.runtime.turns import turns_delta, turns_views
from hpcsched.store.errors import DuplicateRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
BATCH: Final = 512
MAIL_LIMIT: Final = 100_000
"""Pieces of mail that may wait; further callers are told to come again (P14)."""
LOST_PAUSE_S: Final = 1.0
FAULT_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0


class JobActor:
    """See the module. ``job`` is None while it is loaded, and when there is none."""

    __slots__ = (
        "_alone",
        "_batch",
        "_deadlines",
        "_decided",
        "_deferred",
        "_faults",
        "_mail",
        "_pause",
        "_scheduled",
        "_sums",
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
        self._mail: list[Mail] = []  # an empty deque takes ten times as much
        self._scheduled = False
        self._batch: list[tuple[Mail, Any, BaseException | None]] = []
        self._decided: list[tuple[Decision, Mail]] = []
        self._deferred: Deferred | None = None
        self._alone = 0
        self._faults = 0
        self._pause = 0.0
        self._sums: Mapping[str, int] = {}
        self._deadlines = Deadlines(world.clock, self._limit_reached)
        if job is not None:
            self._deadlines.resume(job.due, world.boot_id)

    @property
    def idle(self) -> bool:
        """Has it nothing to do and nothing that could be lost?"""
        busy = self._mail or self.committing or self.loading or self._scheduled
        return not (busy or self._deferred)

    def post(self, mail: Mail) -> None:
        """Take mail; it is answered in the order in which it came."""
        if len(self._mail) >= MAIL_LIMIT and mail.reply is not None:
            what = f"{MAIL_LIMIT} calls wait for job {self.job_id}"
            mail.answer(None, HpcError("QUEUE_FULL", what=what))
            return
        self._mail.append(mail)
        self._wake()

    def decide_now(self, mail: Mail) -> bool:
        """Take mail, and decide it at once if nothing else is to be done before it.

        Returns:
            Whether it was decided and not refused, so that only its commit is awaited.
        """
        if not self.idle or self.job is None or self.job.ahead:
            self.post(mail)
            return False
        self._mail.append(mail)
        self._turn()
        return self.committing and self._batch[-1][2] is None

    def loaded(self, job: Job | None) -> None:
        """The store has answered: the job as it is there, or None for no such job.

        Or it was created, maybe a moment after the answer that there is none.
        """
        if not self.loading and (self.job is not None or job is None):
            return  # it was created meanwhile
        self.loading = False
        self.job = job
        if job is not None:
            self._deadlines.resume(job.due, self._world.boot_id)
            self._tell(wanting=not self._pause)
            if self._pause:
                clock = self._world.clock
                clock.call_at(clock.mono() + self._pause, self._go_on)
            else:
                self._arm()
        self._wake()

    def unreadable(self, fault: Exception) -> None:
        """What the store has of it makes no sense: who asks now is told so."""
        mail, self._mail = self._mail, []
        self._world.apart.put_unreadable(self.job_id, fault, mail)
        self._world.jobs.forget(self.job_id)

    def _go_on(self) -> None:
        """The pause after a failure is over."""
        self._pause = 0.0
        if self.job is not None and not self.committing:
            self.resume()

    def resume(self) -> None:
        """Say what the state, which is durable, asks for."""
        self._tell(wanting=True)
        self._arm()

    # Turns

    def _wake(self) -> None:
        waits = self._scheduled or self.committing or self.loading
        if self._mail and not waits:
            self._scheduled = True
            self._world.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.committing or self.loading:
            return
        if self.job is None:
            self._dismiss(HpcError("JOB_NOT_FOUND", job_id=self.job_id))
            return
        if self._mail and self._mail[0].purge is not None:
            self._purge(self.job, self._mail.pop(0))
            return
        first, now, batch = self.job.revision, self._world.clock.wall(), self._next()
        for number, mail in enumerate(batch):
            try:
                self._take(self.job, mail, max(now, mail.due))
            except Exception as fault:  # noqa: BLE001  a fault ends this turn, not the head
                self._fault(fault, mail, batch[:number] + batch[number + 1 :])
                return
        if self.job.revision == first and not any(m.ledger for _, m in self._decided):
            self._finish()
            return
        try:
            lasting = lasting_ticks(self.job, self._world.settings, now)
            self.job.due = self._deadlines.kept(lasting, self._world.boot_id)
            delta = turns_delta(self.job, first, self._decided, now)
        except Exception as fault:  # noqa: BLE001  the same
            if len(batch) > 1:
                self._alone = len(batch)  # one at a time, to find the culprit
                self._fault(fault, None, batch)
            else:
                self._fault(fault, batch[0], [])
            return
        self.committing = True
        self._sums = delta.sums
        self._world.store.commit(delta, self._committed)

    def _next(self) -> list[Mail]:
        limit = 1 if self._alone else BATCH
        self._alone = max(0, self._alone - 1)
        waiting = self._mail[:limit]
        purge = next((n for n, one in enumerate(waiting) if one.purge), len(waiting))
        batch = waiting[:purge]
        del self._mail[: len(batch)]
        return batch

    def _take(self, job: Job, mail: Mail, now: float) -> None:
        apart = self._world.apart
        if self.job_id in apart and not apart.takes(mail):
            apart.leave(self.job_id, mail)
            return
        if mail.command is None:
            self._batch.append((mail, *looked(job, mail, self._world.ids)))
            return
        if (job.ahead or self._deferred) and depends(mail):
            self._deferred = self._deferred or Deferred(self._world, job)
            if self._deferred.takes(job, mail, now, self._decided):
                return
        try:
            world = self._world
            decision = decide(job, mail.command, now, world.settings, world.nodes)
        except HpcError as refusal:
            self._batch.append((mail, None, refusal))
            return
        self._decided.append((decision, mail))
        self._batch.append((mail, decision.answer, decision.refusal))

    def _take_up(self) -> None:
        """The node has said it: what had to wait comes before what came later."""
        if self._deferred and (self.job is None or not self.job.ahead):
            self._mail[:0] = self._deferred.taken(self.job)
            self._deferred = None

    def _committed(self, seq: int, error: BaseException | None) -> None:
        if error is not None:
            self.committing = False
            self._lost(error)
            return
        assert self.job is not None  # noqa: S101  it was there when the commit began
        self._faults, self._pause = 0, 0.0
        world = self._world
        world.tally.committed(self._sums)
        world.feed.show(turns_views(self.job, seq, self._decided))
        if self.job.state.terminal and not world.scheduler.waiting:
            # Nobody waits for what it gives back: who watches is told first.
            world.feed.wake()
            world.loop.call_soon(self._act_on_it)
            return
        try:
            self._act_on_it()
        finally:
            world.wake_watchers()

    def _act_on_it(self) -> None:
        self.committing = False
        self._finish()

    def _finish(self) -> None:
        """What the turn led to is durable: answer, then act."""
        batch, self._batch = self._batch, []
        decided, self._decided = self._decided, []
        for mail, answer, refusal in batch:
            mail.answer(answer, refusal)
        if decided:
            self.act(decided)
        self._take_up()
        self._wake()

    def act(self, decided: list[tuple[Decision, Mail]]) -> None:
        """Carry out what the state asks for after turns; never awaited."""
        job, world = self.job, self._world
        assert job is not None  # noqa: S101  it was there when the turn began
        try:
            for decision, mail in decided:
                for node_id, order in orders_after(world, job, decision, mail):
                    world.nodes.send(node_id, order)
            if world.leaving:
                world.hurry()
        except Exception:
            # The orders follow from the state: the node gets them when it is back.
            log.exception("job %d: its orders could not be made", self.job_id)
        self.resume()
        world.jobs.note_state(self)
        world.mailer.note(job, decided)

    def _tell(self, *, wanting: bool) -> None:
        if self.job is None:
            return
        aside = self.job_id in self._world.apart
        try:
            tell(self._world, self.job, wanting=wanting and not aside)
        except Exception as fault:  # noqa: BLE001  the same
            self._world.apart.put(self.job_id, fault, "what it asks for", None)

    # What time brings

    def _arm(self) -> None:
        """Set the timer of the run-time limit, or of what comes before it."""
        if self.job is None:
            return
        world = self._world
        if self.job_id in world.apart:
            self._deadlines.stop()
        else:
            moments = ticks(self.job, world.settings, world.clock.wall())
            self._deadlines.set(moments)

    def _limit_reached(self, due: float) -> None:
        self.post(Mail(None, command=Tick(), due=due))

    # Deleting

    def _purge(self, job: Job, mail: Mail) -> None:
        """Delete the job: mail of its own, so that nothing comes in between."""
        assert mail.purge is not None  # noqa: S101  _turn has looked
        try:
            mail.purge(job)
        except HpcError as refusal:
            mail.answer(None, refusal)
            self._wake()
            return

        def done(_: int, error: BaseException | None) -> None:
            self.committing = False
            if error is not None:
                mail.answer(None, refusal_of(error))
                self._wake()
                return
            has_gone(self._world, job, delta.sums, mail)
            self.job = None
            self._dismiss(HpcError("JOB_NOT_FOUND", job_id=self.job_id))

        delta = deleting_delta(job, mail, self._world.clock.wall())
        self.committing = True
        self._world.store.commit(delta, done)

    def _dismiss(self, refusal: HpcError) -> None:
        """There is no such job: tell all who wait, and go."""
        self._deadlines.stop()
        self._take_up()
        mail, self._mail = self._mail, []
        self._world.jobs.forget(self.job_id)
        for one in mail:
            one.answer(None, refusal)

    # What goes wrong

    def _fault(
        self, fault: Exception, culprit: Mail | None, others: list[Mail]
    ) -> None:
        """A fault of ours: forget what was not committed, leave the culprit out."""
        self._faults += 1
        pause = FAULT_PAUSE_S * 2.0 ** min(self._faults, 10)
        self._batch, self._decided = [], []
        self._reload(others, min(LONGEST_PAUSE_S, pause))
        if culprit is not None and sets_aside(culprit, self._faults):
            self._world.apart.put(self.job_id, fault, culprit.kind, culprit)
            return
        incident = self._world.ids.uuid()
        kind = "a commit" if culprit is None else culprit.kind
        log.error("job %d: fault %s in %s", self.job_id, incident, kind, exc_info=fault)
        if culprit is not None:
            culprit.answer(None, HpcError("INTERNAL", incident=incident))

    def _lost(self, error: BaseException) -> None:
        """The commit failed: nothing of the batch is true; the stored state is.

        Looks and refusals saw what is not true, so they are taken again.
        """
        batch, self._batch = self._batch, []
        decided, self._decided = self._decided, []
        if isinstance(error, DuplicateRequestError):
            # Who repeats a call reads its answer from the store; all else is as before.
            self._reload([m for m, _, _ in batch if m.ledger is None], 0.0)
            for mail, _, _ in batch:
                if mail.ledger is not None:
                    mail.answer(None, error)
            return
        changed = {id(mail) for _, mail in decided}
        again = [mail for mail, _, _ in batch if id(mail) not in changed]
        self._reload(again, LOST_PAUSE_S)
        for _, mail in decided:
            if mail.reply is not None:
                mail.answer(None, refusal_of(error))
            elif not isinstance(mail.command, Tick):
                # Nobody would say it again; a limit's timer is set again by itself.
                clock = self._world.clock
                when = clock.mono() + LOST_PAUSE_S
                clock.call_at(when, lambda mail=mail: self._again(mail))  # type: ignore[misc]

    def _again(self, mail: Mail) -> None:
        assert mail.command is not None  # noqa: S101  only commands are said again
        self._world.jobs.post(self.job_id, mail.command)

    def _reload(self, first: list[Mail], pause: float) -> None:
        waited = self._deferred.taken(None) if self._deferred else []
        self._deferred, kept = None, set(map(id, waited))
        self._mail[:0] = [*waited, *(mail for mail in first if id(mail) not in kept)]
        self._pause = pause
        self._deadlines.stop()
        self.job = None
        self.loading = True
        self._world.jobs.load(self)
