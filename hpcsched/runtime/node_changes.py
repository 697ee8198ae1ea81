"""Changing what is kept of nodes: durable, then in force, then seen.

A change of several nodes is one transaction: all of them change or none. Changes of one
node wait for each other, so that none is computed from a record that is about to be
another one.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.runtime.durable import refusal_of, to_its_end
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.node_event import NodeEvent
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World
    from hpcsched.store.base import RequestRow


@dataclass(slots=True, kw_only=True)
class Change:
    """What is to be different.

    Attributes:
        records: Nodes and what is kept of them from now on.
        events: What watchers are told.
        entries: Definitions that change (store.base).
        then: Called when all that is durable, before it is seen.
    """

    records: Sequence[tuple[NodeActor, NodeRecord]] = ()
    events: Sequence[NodeEvent] = ()
    entries: Mapping[tuple[str, str], bytes | None] = field(default_factory=dict)
    then: Callable[[], None] | None = None

    @property
    def empty(self) -> bool:
        """Is there nothing to write?"""
        return not (self.records or self.events or self.entries)


class NodeChanges:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._locks: dict[str, asyncio.Lock] = {}

    def turn_of(self, name: str) -> asyncio.Lock:
        """Return what a node's changes wait for each other with."""
        return self._locks.setdefault(name, asyncio.Lock())

    def forget(self, name: str) -> None:
        """No node has this name."""
        self._locks.pop(name, None)

    async def make(
        self,
        names: Iterable[str],
        decide: Callable[[], Change],
        request: RequestRow | None = None,
    ) -> None:
        """Make a change; it goes on when whoever waits for it goes.

        Args:
            names: Nodes whose records it reads or changes.
            decide: Returns the change, or refuses it; called when it is their turn.
            request: Makes the call repeatable.

        Raises:
            HpcError: what ``decide`` raises; DISK_FULL, OUTCOME_UNKNOWN: then nothing
                has changed.
        """
        await to_its_end(self._world, self._make(sorted(set(names)), decide, request))

    async def _make(
        self,
        names: Sequence[str],
        decide: Callable[[], Change],
        request: RequestRow | None,
    ) -> None:
        async with AsyncExitStack() as turns:
            for name in names:
                await turns.enter_async_context(self.turn_of(name))
            change = decide()
            if change.empty and request is None:
                return
            delta = Delta(
                events=[event.row() for event in change.events],
                nodes=[record.row() for _, record in change.records],
                entries=change.entries,
                requests=() if request is None else (request,),
            )
            future: asyncio.Future[None] = self._world.loop.create_future()

            def done(seq: int, error: BaseException | None) -> None:
                if error is None:
                    self._in_force(change, seq)
                    future.set_result(None)
                else:
                    future.set_exception(refusal_of(error))

            self._world.store.commit(delta, done)
            await future

    def _in_force(self, change: Change, seq: int) -> None:
        before = [actor.record for actor, _ in change.records]
        for actor, record in change.records:
            actor.record = record
        if change.then is not None:
            change.then()
        views = [event.view(seq + at) for at, event in enumerate(change.events)]
        self._world.feed.publish(views)
        for (actor, _), old in zip(change.records, before, strict=True):
            if not actor.record.removed:
                actor.changed(old)
