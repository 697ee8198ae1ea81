"""A head on its bench for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime import outgoing
from tests.support.head_bench import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_waits_for_a_frame_to_travel_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows is looked at, and not when; see test_outgoing.py for that."""
    monkeypatch.setattr(outgoing, "PATIENCE_S", 0.0)
