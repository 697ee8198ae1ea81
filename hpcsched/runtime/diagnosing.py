"""What is wrong with the cluster: the facts are gathered here, core.diagnosis judges.

An administrator asks, seldom; so what is looked through is bounded, and gives way to
everything else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from itertools import islice
from typing import TYPE_CHECKING, Final

from hpcsched.core.diagnosis.diagnose import diagnose
from hpcsched.core.diagnosis.facts import (
    ClusterFacts,
    NodeFacts,
    StoreFacts,
    StuckJobs,
    TokenFacts,
)
from hpcsched.core.job.states import JobState
from hpcsched.core.scheduling.known import Known
from hpcsched.core.scheduling.needing import spread
from hpcsched.core.scheduling.words import needs
from hpcsched.runtime.node_record import COMPUTE_NODES, REMOTE_NODES, JobTypes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.diagnosis.finding import Finding
    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.checking import Report
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.world import World
    from hpcsched.store.base import TokenRow

log = logging.getLogger(__name__)

STORE_S: Final = 30.0
"""For so long a store is looked through; the rest is for ``hpcschedd --check``."""
LAST_BACKUP: Final = "last_backup"
"""The counter with the time of the newest backup, which may have been fetched."""
_BATCH: Final = 1_000
_JOBS: Final = 200_000
"""Queued jobs that are looked at."""
_KINDS: Final = 20
"""Kinds of jobs that wait in vain, and jobs of each, that are told."""
_MANAGED: Final = frozenset({COMPUTE_NODES, REMOTE_NODES})


class Diagnosing:
    """The part of ``runtime.front.ClusterFront`` about what is wrong."""

    _world: World
    _version: str
    _tokens: dict[bytes, TokenRow]
    _counters: dict[str, int]
    _check_lock: asyncio.Lock
    _check_store: Callable[[Callable[[], bool]], Report] | None
    _certificate_end: Callable[[], float | None]

    async def diagnose(
        self, caller: Caller, *, store: bool
    ) -> tuple[Sequence[Finding], str, float]:
        """Return what is wrong, the worst first; the head's version, and its time.

        Args:
            caller: An administrator.
            store: Look through the store as well, for ``STORE_S`` at most.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        caller.require_administrator("diagnose the cluster")
        world = self._world
        looked = await self._look_through() if store else None
        backups = await world.store.list_backups()
        times = [one.time for one in backups]
        if LAST_BACKUP in self._counters:
            times.append(float(self._counters[LAST_BACKUP]))
        joined = [
            actor.record.join_time
            for actor in world.nodes
            if actor.record.join_time is not None
        ]
        counts = await world.store.job_counts()
        stuck = await self._stuck()
        now = world.clock.wall()
        groups = {g for actor in world.nodes for g in actor.record.groups} - _MANAGED
        facts = ClusterFacts(
            now=now,
            version=self._version,
            safe_mode=world.unsafe,
            restore_mode=world.settings.restore_mode,
            disk_problem=world.full,
            lag_s=world.lag.worst_s,
            alarms=world.alarms.texts(),
            nodes=tuple(map(self._node, world.nodes)),
            queued=counts.get(JobState.QUEUED, 0),
            apart=tuple(world.apart),
            unreadable=tuple(world.apart.unreadable()),
            stuck=stuck,
            backup_time=max(times, default=None),
            age_s=now - min(joined, default=now),
            groups=bool(groups),
            tokens=tuple(map(_token, self._tokens.values())),
            certificate_end=self._certificate_end(),
            store=looked,
        )
        return diagnose(facts), self._version, now

    def _node(self, actor: NodeActor) -> NodeFacts:
        record = actor.record
        return NodeFacts(
            name=record.name,
            state=record.state.name.capitalize(),
            reason=record.reason,
            reachable=actor.reachable,
            ready=actor.ready,
            takes_jobs=JobTypes.BATCH in record.job_types,
            connections=self._world.connections.count(record.node_id),
            clock_ahead_s=actor.clock_ahead_s if actor.reachable else 0.0,
            agent_version=record.agent_version,
            orphans=actor.orphans,
            job_ids=tuple(sorted(actor.jobs)),
            grouped=bool(set(record.groups) - _MANAGED),
        )

    async def _stuck(self) -> tuple[StuckJobs, ...]:
        """Find queued jobs that could not start on what takes work, were it idle."""
        world = self._world
        scheduler = world.scheduler
        ready, known_ready = scheduler.books.ready, scheduler.books.known
        every = {actor.record.node_id: actor.record.idle() for actor in world.nodes}
        known_every = Known()
        kinds: dict[tuple[bool, str], list[int]] = {}
        told: dict[tuple[object, ...], tuple[bool, str] | None] = {}

        def judged(demand: Demand) -> tuple[bool, str] | None:
            if known_ready.misfit(demand, ready) is None:
                return None
            ever = known_every.misfit(demand, every) is not None
            among = list((every if ever else ready).values())
            return ever, needs(spread(demand, among), among)

        looked_at = 0
        for demand in list(islice(scheduler.waiting, _JOBS)):
            looked_at += 1
            if not looked_at % _BATCH:
                await world.clock.sleep(0)
            if demand.running:
                continue
            if demand.shape not in told:
                told[demand.shape] = judged(demand)
            kind = told[demand.shape]
            if kind is not None:
                kinds.setdefault(kind, []).append(demand.job_id)
        return tuple(
            StuckJobs(ever=ever, needs=text, count=len(ids), job_ids=tuple(ids[:1000]))
            for (ever, text), ids in list(kinds.items())[:_KINDS]
        )

    async def _look_through(self) -> StoreFacts | None:
        """Look through the store in a thread, for a while; one at a time."""
        check = self._check_store
        if check is None:
            return None
        clock, stop = self._world.clock, threading.Event()
        async with self._check_lock:
            end = clock.mono() + STORE_S

            def enough() -> bool:
                return stop.is_set() or clock.mono() >= end

            try:
                report = await self._world.loop.run_in_executor(None, check, enough)
            finally:
                stop.set()  # nobody waits for it any more
        texts = tuple(f"{one.rule}: {one.text}" for one in report.findings)
        if texts:
            log.critical("the store contradicts itself: %s", "; ".join(texts[:_KINDS]))
        return StoreFacts(problems=texts, whole=not report.cut)


def _token(row: TokenRow) -> TokenFacts:
    end = row.expire_time
    return TokenFacts(
        token_id=row.token_id,
        user=row.user,
        role=row.role,
        create_time=row.create_time,
        expire_time=float("inf") if end is None else end,
    )
