"""Coroutines that begin before somebody awaits them."""

from __future__ import annotations

import asyncio

import pytest

from hpcsched.runtime.eager import Begun
from tests.support.manual_clock import settle


class Work:
    """Waits twice, and notes how far it has come."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = loop.create_future()
        self.second: asyncio.Future[None] = loop.create_future()
        self.steps: list[str] = []

    async def run(self) -> None:
        self.steps.append("begun")
        try:
            await self.first
            self.steps.append("half")
            await self.second
            self.steps.append("done")
        finally:
            self.steps.append("over")


async def test_it_begins_at_once_and_whoever_awaits_it_gets_the_rest() -> None:
    work = Work()
    begun = Begun(work.run())
    assert work.steps == ["begun"]
    work.first.set_result(None)  # before anybody awaits it
    asyncio.get_running_loop().call_soon(work.second.set_result, None)

    await begun

    assert work.steps == ["begun", "half", "done", "over"]


async def test_what_never_waits_is_over_at_once() -> None:
    steps = []

    async def run() -> None:
        steps.append("done")

    begun = Begun(run())
    assert steps == ["done"]
    await begun


@pytest.mark.parametrize("late", [False, True])
async def test_what_it_raises_is_raised_where_it_is_awaited(late: bool) -> None:
    async def run() -> None:
        if late:
            await settle()
        raise ValueError("no")

    begun = Begun(run())
    with pytest.raises(ValueError, match="no"):
        await begun


async def test_a_cancellation_of_whoever_awaits_it_reaches_what_it_waits_for() -> None:
    work = Work()
    begun = Begun(work.run())

    async def wait() -> None:
        await begun

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(wait())
        await settle()
        task.cancel()
    assert task.cancelled()
    assert work.first.cancelled()
    assert work.steps == ["begun", "over"]


async def test_what_nobody_awaits_is_closed_in_order() -> None:
    work = Work()
    Begun(work.run()).close()
    assert work.steps == ["begun", "over"]
