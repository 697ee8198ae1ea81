"""What is written of jobs that waited on a node asleep, and have run there.

One is decided on, as each would be by itself; what is
written of the others is what is written of that one, with what was measured of each
(core/job/wholelife.py). The decision on the first of every frame is the check: where it
leads to other bytes than those that were to be expected, and wherever a report is not
plain, jobs wake and take their reports by themselves.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.decide import decide
from hpcsched.core.job.states import JobState
from hpcsched.core.job.stencils import Stencil
from hpcsched.core.job.wholelife import (
    as_if_waiting,
    news_of,
    strange_life,
)
from hpcsched.core.orders import EndJob, EndJobs
from hpcsched.core.views import EventView
from hpcsched.runtime.accounting import by_day
from hpcsched.runtime.acting import orders_after
from hpcsched.runtime.durable import refusal_of
from hpcsched.runtime.mail import Mail
from hpcsched.runtime.turns import turns_delta, turns_views
from hpcsched.store.alike import Own, Varied
from hpcsched.store.history import AllocationRow, UsageRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from hpcsched.common.errors import HpcError
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.wholelife import Life
    from hpcsched.core.reports import Report
    from hpcsched.core.settings import Settings
    from hpcsched.runtime.lots import Kind
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World
    from hpcsched.store.base import Delta
    from hpcsched.store.history import JobHistoryRow

    Told = Callable[[HpcError | None], None]

log = logging.getLogger(__name__)
MOULDS: Final = 512
"""Moulds of a kind that are kept: some of each node, some kB each."""


@dataclass(slots=True)
class _Lived:
    """One of them, decided on, and what is written of it."""

    job: Job
    decided: Decided
    delta: Delta


@dataclass(frozen=True, slots=True)
class _Mould:
    """What is written of a job, without what was measured of it.

    Attributes:
        bodies: Of its events; ``begun``: which of them have its start's time.
        held: Cores that it held are told of.
        settings: Those in force when it was made.
    """

    bodies: tuple[Stencil, ...]
    begun: tuple[bool, ...]
    blob: Stencil
    chunks: tuple[Stencil, ...]
    history: Stencil
    held: bool
    settings: Settings

    def own(self, job_id: int, life: Life, words: Sequence[bytes]) -> Own:
        """Return the rows of a job."""
        return Own(
            job_id,
            tuple([life.begun if begun else life.now for begun in self.begun]),
            tuple([one.filled(words) for one in self.bodies]),
            life.begun,
            self.blob.filled(words),
            tuple([one.filled(words) for one in self.chunks]),
        )


class Group:
    """Lives of one kind that one frame tells of.

    Attributes:
        kind: Of one of them.
    """

    def __init__(self, world: World, record: NodeRecord, kind: Kind) -> None:
        self.kind = kind
        self.lives: dict[int, Life] = {}
        self.reports: list[Report] = []
        self._world = world
        self._record = record

    def commit(self, told: Told) -> bool:
        """Make them durable, then let it be known; False: nothing has happened."""
        try:
            made = self._made()
        except Exception:
            log.exception("node %s: lives of jobs", self._record.name)
            made = None  # by itself, the one that is the trouble is found
        if made is None:
            return False
        delta, own, first = made
        world, ids = self._world, list(self.lives)
        world.jobs.begin_change(ids)

        def done(seq: int, error: BaseException | None) -> None:
            if error is not None:
                world.jobs.end_change(ids)
                told(refusal_of(error))
                return
            world.tally.committed(delta.sums)
            world.feed.show(list(_views(first, seq, own)))
            try:
                world.jobs.have_ended(ids)
                told(None)
                self._tell_others()
            finally:
                world.wake_watchers_of_many()

        world.store.commit(delta, done)
        return True

    def _tell_others(self) -> None:
        world, node_id = self._world, self._record.node_id
        world.nodes.send(node_id, EndJobs(job_ids=tuple(self.lives)))
        for job_id in self.lives:
            world.nodes.note_uses(job_id, frozenset(), evictable=True)
        world.scheduler.ahead.passed(node_id, self.lives)
        world.scheduler.wake()

    def _made(self) -> tuple[Delta, Sequence[Own], _Lived] | None:
        job_id, life = next(iter(self.lives.items()))
        kind, node_id = self.kind, self._record.node_id
        first = self._lived(kind.job(job_id, life.order), life)
        orders = orders_after(self._world, first.job, *first.decided[0])
        if not _is_plain(first, life) or orders != [(node_id, EndJob(job_id=job_id))]:
            return None
        delta, (history,) = first.delta, first.delta.history
        moulds: dict[tuple[bool, ...], _Mould] = {}
        own: list[Own] = []
        histories: list[JobHistoryRow] = []
        held: list[AllocationRow] = []
        for number, one in self.lives.items():
            pattern, words = one.pattern, one.words()
            mould = moulds.get(pattern)
            if mould is None:
                mould = moulds[pattern] = self._mould(one)
            own.append(mould.own(number, one, words))
            histories.append(history.of(number, mould.history.filled(words)))
            if mould.held:
                held.append(_allocation(number, node_id, one))
        if not _is_the_same(first, own[0], histories[0], held):
            log.error("job %d: it is not what was to be expected of it", job_id)
            return None
        count = len(own)
        delta.alike = Varied(own=own)
        delta.history, delta.allocations = histories, held
        delta.sums = {name: n * count for name, n in delta.sums.items()}
        delta.usage = list(_usage(delta.usage[-1], self.lives.values()))
        return delta, own, first

    def _lived(self, job: Job, life: Life) -> _Lived:
        """Let a job take the report of its life, as any job does."""
        world, record, began = self._world, self._record, job.revision
        command = news_of(job, life, record.node_id, record.name)
        mail = Mail(None, command=command)
        decision = decide(job, command, life.now, world.settings, world.nodes)
        decided = [(decision, mail)]
        return _Lived(job, decided, turns_delta(job, began, decided, life.now))

    def _mould(self, life: Life) -> _Mould:
        """Return what fits a life; it is kept with the kind."""
        record, settings = self._record, self._world.settings
        base = self.kind.base or self.kind
        key = (record.node_id, record.name, self.kind.like.ahead[2:], life.pattern)
        mould: _Mould | None = base.moulds.get(key)
        if mould is None or mould.settings is not settings:
            if len(base.moulds) >= MOULDS:
                base.moulds.clear()
            mould = base.moulds[key] = self._new_mould(life)
        return mould

    def _new_mould(self, life: Life) -> _Mould:
        like = self.kind.like
        life = strange_life(life, like.submit_time or 0.0)
        job = self.kind.job(like.job_id, life.order)
        as_if_waiting(job, life)
        delta, words = self._lived(job, life).delta, life.words()
        assert delta.job is not None  # noqa: S101  there were events

        def cut(body: bytes) -> Stencil:
            return Stencil(body, words)

        return _Mould(
            bodies=tuple(cut(event.body) for event in delta.events),
            begun=tuple(event.time == life.begun for event in delta.events),
            blob=cut(delta.job.blob),
            chunks=tuple(cut(body) for _, body in sorted(delta.chunks.items())),
            history=cut(delta.history[0].body),
            held=bool(delta.allocations),
            settings=self._world.settings,
        )


def _is_plain(lived: _Lived, life: Life) -> bool:
    """Is what is written of one of them no more than is written of the others?"""
    delta, row = lived.delta, lived.delta.job
    others = (delta.specs, delta.drop_tables, delta.outputs, delta.notes)
    return (
        lived.job.state is JobState.FINISHED
        and not any(others)
        and len(delta.history) == 1
        and len(delta.allocations) <= 1
        and row is not None
        and row.start_time == life.begun
        and {row.end_time, row.change_time} == {life.now}
        and delta.history[0].event_time == life.now
    )


def _is_the_same(
    lived: _Lived,
    own: Own,
    history: JobHistoryRow,
    held: Sequence[AllocationRow],
) -> bool:
    """Are the rows that were made of a job those that its decision led to?"""
    delta, row = lived.delta, lived.delta.job
    real = Own(
        lived.job.job_id,
        tuple([event.time for event in delta.events]),
        tuple([event.body for event in delta.events]),
        None if row is None else row.start_time,
        b"" if row is None else row.blob,
        tuple(body for _, body in sorted(delta.chunks.items())),
    )
    mine = [one for one in held if one.job_id == lived.job.job_id]
    told = (list(delta.history), list(delta.allocations))
    return own == real and ([history], mine) == told


def _allocation(job_id: int, node_id: int, life: Life) -> AllocationRow:
    return AllocationRow(
        job_id=job_id,
        requeue_id=0,
        node_id=node_id,
        cores=str(life.core),
        start_time=life.begun,
        end_time=life.now,
    )


def _usage(end: UsageRow, lives: Collection[Life]) -> Iterator[UsageRow]:
    """Yield what they used per day, and that they have ended.

    Args:
        end: The same of one of them.
        lives: Of all.
    """
    days: dict[int, int] = {}
    for life in lives:
        for day, core_ms in by_day(1, life.begun, life.now):
            days[day] = days.get(day, 0) + core_ms
    for day, core_ms in days.items():
        if core_ms:
            yield UsageRow(
                day=day, owner=end.owner, project=end.project, core_ms=core_ms
            )
    yield replace(
        end,
        user_ms=sum(life.used[0] for life in lives),
        kernel_ms=sum(life.used[1] for life in lives),
        finished=len(lives),
    )


def _views(first: _Lived, seq: int, own: Sequence[Own]) -> Iterator[EventView]:
    """Yield the events of all as watchers see them, by those of the first."""
    views = turns_views(first.job, seq, first.decided)
    for view in views:
        view.is_pattern()
    for one in own:
        for view, time in zip(views, one.times, strict=True):
            yield view.again(seq, one.job_id, time)
            seq += 1
