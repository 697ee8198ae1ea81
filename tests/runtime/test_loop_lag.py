"""The head tells when its event loop is late (F6)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcsched.runtime.loop_lag import LoopLag
from tests.support.head_bench import ANN, Bench
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    import pytest


async def test_f6_the_worst_delay_of_the_last_minute_is_shown_and_a_long_one_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    lag = LoopLag(clock)
    with caplog.at_level(logging.WARNING):
        lag.note(0.2)
        assert not caplog.records
        lag.note(5.0)
        lag.note(0.1)
    worst = lag.worst_s
    await clock.advance(61)

    assert worst == 5.0
    assert "held up for 5.0 s" in caplog.text
    assert lag.worst_s == 0.0


async def test_f6_a_head_without_much_to_do_is_not_late(bench: Bench) -> None:
    await bench.clock.advance(30)

    assert (await bench.head.cluster(ANN)).loop_lag_ms == 0
