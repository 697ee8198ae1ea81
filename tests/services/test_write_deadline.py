"""The deadline of a stream's writes: one timer, and each write has the whole time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.services.interrupting import WriteDeadline, interruptible
from hpcsched.services.limits import WRITE_DEADLINE_S

if TYPE_CHECKING:
    from tests.support.manual_clock import ManualClock


async def write(clock: ManualClock, *seconds: float) -> str:
    """Write one after the other, each taking so long; return what ended them."""

    async def task() -> None:
        with interruptible() as interrupt, WriteDeadline(clock, interrupt) as deadline:
            for took in seconds:
                deadline.begin()
                await clock.sleep(took)
                deadline.end()

    running = asyncio.get_running_loop().create_task(task())
    await clock.advance(sum(seconds))
    try:
        await running
    except HpcError as refusal:
        return refusal.reason
    return ""


async def test_a_write_that_takes_too_long_is_refused(clock: ManualClock) -> None:
    assert await write(clock, WRITE_DEADLINE_S + 1) == "QUEUE_FULL"
    assert not clock.waiting


@pytest.mark.parametrize("first", [0.0, 1.0, WRITE_DEADLINE_S / 2])
async def test_each_write_has_the_whole_time(clock: ManualClock, first: float) -> None:
    well = WRITE_DEADLINE_S - 1

    assert await write(clock, first, well, well, well) == ""
    assert await write(clock, first, well, WRITE_DEADLINE_S + 1) == "QUEUE_FULL"
    assert not clock.waiting


async def test_a_rest_between_writes_is_nobody_s_delay(clock: ManualClock) -> None:
    interrupted: list[Exception] = []
    with WriteDeadline(clock, interrupted.append) as deadline:
        deadline.begin()
        deadline.end()
        await clock.advance(3 * WRITE_DEADLINE_S)
        deadline.begin()
        await clock.advance(WRITE_DEADLINE_S - 1)
        assert not interrupted
        await clock.advance(1)

    assert len(interrupted) == 1


async def test_many_writes_take_one_timer(clock: ManualClock) -> None:
    with WriteDeadline(clock, lambda _: None) as deadline:
        for _ in range(1000):
            deadline.begin()
            deadline.end()
        assert len(clock.waiting) == 1

    assert not clock.waiting
