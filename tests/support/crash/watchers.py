"""Subscribers of a round: each keeps what it was told, and resumes by its cursor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.client import AsyncClient
from tests.support.crash.load import PATIENCE
from tests.support.history.model import Heard, Step

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from hpcsched.api.v1 import watch_service_pb2
    from hpcsched.client import Target


class Watcher:
    """One subscriber.

    Attributes:
        told: The events of jobs, in order.
    """

    def __init__(self, target: Target, after: str) -> None:
        self.told: list[Heard] = []
        self._target = target
        self._cursor = after

    async def follow(self, chance: random.Random | None = None) -> None:
        """Listen without end; with ``chance`` over one connection after another."""
        while True:
            async with AsyncClient(self._target, patience=PATIENCE) as client:
                most = chance.uniform(0.1, 1.5) if chance else None
                try:
                    async with asyncio.timeout(most):
                        await self._listen(client)
                except TimeoutError:
                    continue

    async def read_backlog(self) -> None:
        """Read what there is from the cursor on, and stop."""
        async with AsyncClient(self._target, patience=PATIENCE) as client:
            await self._listen(client, backlog_only=True)

    def has(self, job_id: int, revision: int) -> bool:
        """Say whether an event of a job was heard."""
        return any(
            e.job_id == job_id and e.revision >= revision for e in reversed(self.told)
        )

    async def _listen(self, client: AsyncClient, *, backlog_only: bool = False) -> None:
        async for message in client.watch(
            after=self._cursor, backlog_only=backlog_only
        ):
            self.told += [heard(event) for event in message.events if event.job_id]
            self._cursor = message.cursor or self._cursor


async def position(client: AsyncClient) -> str:
    """Return the cursor of now."""
    watch = client.watch()
    try:
        async for message in watch:
            if message.cursor:
                return str(message.cursor)
    finally:
        await watch.aclose()
    raise AssertionError("a watch ended by itself")


def heard(event: watch_service_pb2.Event) -> Heard:
    """Return an event as the checker reads it."""
    return Heard(
        job_id=event.job_id,
        revision=event.revision,
        name=event.name,
        cursor=event.cursor,
        steps=tuple(
            Step(
                task=change.task_id,
                elements=_ranges(change.elements),
                state=_name(change.task_id)(change.state),
                previous=_name(change.task_id)(change.previous_state),
            )
            for change in event.changes
        ),
    )


def _name(task_id: int) -> Callable[[int], str]:
    states = task_pb2.Task.State if task_id else job_pb2.Job.State
    return lambda value: str(states.Name(value)).removeprefix("STATE_")  # type: ignore[arg-type]


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.append((int(first), int(last or first)))
    return tuple(found)
