"""How long a client waits before it tries again."""

from __future__ import annotations

import pytest

from hpcsched.client.patience import BUSY, LONGEST_HINT_S, Patience, Retries
from hpcsched.common.errors import REASONS, HpcError
from hpcsched.common.reasons_limits import LIMITS
from hpcsched.rpc.errors import RETRY_AFTER_S, from_status, to_status
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds


def retries(clock: ManualClock, ids: SeededIds) -> Retries:
    return Retries(Patience(call_s=300), clock, ids, limit=300)


def hinted(seconds: float | None) -> HpcError:
    error = HpcError("TOO_MANY_CALLS", user="ann", limit=1, setting="x")
    error.retry_after_s = seconds
    return error


@pytest.mark.parametrize(("hint", "asked"), [(3.0, 3.0), (1e9, LONGEST_HINT_S)])
async def test_a_client_waits_as_long_as_the_head_asks_and_not_all_as_long(
    hint: float, asked: float, clock: ManualClock, ids: SeededIds
) -> None:
    pauses = {retries(clock, ids).next_pause(hinted(hint), heads=1) for _ in range(20)}

    assert len(pauses) > 10
    assert all(asked <= (pause or 0) <= 1.5 * asked for pause in pauses)


async def test_the_hint_is_what_the_head_has_sent() -> None:
    read = from_status(to_status(hinted(None)))

    assert read is not None
    assert read.retry_after_s == RETRY_AFTER_S


def test_every_limit_that_passes_is_waited_for() -> None:
    passing = {n for n, r in LIMITS.items() if r.status == "RESOURCE_EXHAUSTED"}

    assert passing | {"QUEUE_FULL"} == BUSY
    assert set(REASONS) >= BUSY
