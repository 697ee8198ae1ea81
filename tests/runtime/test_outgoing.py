"""What leaves for a node at once, and what waits for a frame to travel with."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.orders import EndJob, SetGrant
from hpcsched.runtime import outgoing
from hpcsched.runtime.outgoing import Outgoing
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from hpcsched.core.orders import Order
    from tests.support.manual_clock import ManualClock

PATIENCE_S = 0.01
GRANT = SetGrant(job_id=2, cores=(0,))
OVER = EndJob(job_id=1)


@pytest.fixture
async def frames(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> tuple[Outgoing, list[list[Order]]]:
    monkeypatch.setattr(outgoing, "PATIENCE_S", PATIENCE_S)
    loop: AbstractEventLoop = asyncio.get_running_loop()
    sent: list[list[Order]] = []
    world: Any = SimpleNamespace(loop=loop, clock=clock, leaving=[])
    return Outgoing(world, sent.append), sent


async def test_what_a_task_waits_for_leaves_with_all_that_gathers_in_a_turn(
    frames: tuple[Outgoing, list[list[Order]]],
) -> None:
    out, sent = frames
    out.put(OVER)
    out.put(GRANT)
    out.put(GRANT)
    await settle()
    assert sent == [[OVER, GRANT, GRANT]]


async def test_that_a_job_has_ended_waits_for_a_frame_to_travel_with(
    frames: tuple[Outgoing, list[list[Order]]], clock: ManualClock
) -> None:
    out, sent = frames
    out.put(OVER)
    out.in_time()
    await clock.advance(PATIENCE_S / 2)
    assert not sent
    out.put(GRANT)
    await settle()
    assert sent == [[OVER, GRANT]]
    await clock.advance(1.0)
    assert len(sent) == 1, "and it does not leave twice"


async def test_what_waits_for_a_frame_leaves_by_itself_when_none_comes(
    frames: tuple[Outgoing, list[list[Order]]], clock: ManualClock
) -> None:
    out, sent = frames
    out.put(OVER)
    await clock.advance(PATIENCE_S)
    assert sent == [[OVER]]
    out.in_time()
    await clock.advance(PATIENCE_S)
    assert sent == [[OVER], []], "an acknowledgement alone, too"


async def test_what_was_queued_for_a_session_that_is_over_is_not_sent(
    frames: tuple[Outgoing, list[list[Order]]], clock: ManualClock
) -> None:
    out, sent = frames
    out.put(OVER)
    out.clear()
    await clock.advance(PATIENCE_S)
    assert sent == [[]]


async def test_who_is_alone_waits_for_nobody_and_who_is_not_gathers(
    frames: tuple[Outgoing, list[list[Order]]], clock: ManualClock
) -> None:
    out, sent = frames
    await clock.advance(1.0)
    out.put(OVER)
    out.hurry()
    assert not sent, "nobody waits for that"
    out.put(GRANT)
    out.hurry()
    assert sent == [[OVER, GRANT]]
    out.put(GRANT)
    out.hurry()
    assert len(sent) == 1, "a frame has just left"
    await settle()
    assert sent == [[OVER, GRANT], [GRANT]]
    await clock.advance(1.0)
    assert len(sent) == 2
