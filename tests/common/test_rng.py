from __future__ import annotations

import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.clock import SystemClock
from hpcsched.common.rng import Ids, SystemIds, unit_interval, uuid7
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds


@pytest.fixture(params=["system", "seeded"])
def source(request: pytest.FixtureRequest, clock: ManualClock) -> Ids:
    return SystemIds(SystemClock()) if request.param == "system" else SeededIds(clock)


@given(wall=st.floats(0, 4e9), chance=st.binary(min_size=10, max_size=10))
def test_a_uuid_is_of_version_7_and_carries_its_milliseconds(
    wall: float, chance: bytes
) -> None:
    made = UUID(uuid7(wall, chance))

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(wall * 1000)


def test_the_example_of_rfc_9562_comes_out() -> None:
    chance = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10)

    assert uuid7(1645557742.0, chance) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_no_two_uuids_and_no_two_tokens_are_alike(source: Ids) -> None:
    assert len({source.uuid() for _ in range(1000)}) == 1000
    assert len({source.token_bytes(16) for _ in range(1000)}) == 1000
    assert len(source.token_bytes(33)) == 33


def test_jitter_is_spread_from_0_to_1(source: Ids) -> None:
    drawn = [source.jitter() for _ in range(1000)]

    assert 0 <= min(drawn) < 0.1
    assert 0.9 < max(drawn) < 1
    assert 0.4 < sum(drawn) / len(drawn) < 0.6


def test_the_ends_of_the_unit_interval_are_0_and_just_below_1() -> None:
    assert unit_interval(bytes(7)) == 0
    assert 0.999999 < unit_interval(b"\xff" * 7) < 1


def test_uuids_of_the_system_follow_the_wall_clock() -> None:
    made = UUID(SystemIds(SystemClock()).uuid())

    assert abs((made.int >> 80) / 1000 - time.time()) < 5


async def test_later_uuids_sort_after_earlier_ones(clock: ManualClock) -> None:
    source = SeededIds(clock)
    made = []
    for _ in range(10):
        made.append(source.uuid())
        await clock.advance(0.001)

    assert made == sorted(made)


def test_the_same_seed_gives_the_same_ids(clock: ManualClock) -> None:
    def draw(seed: int) -> tuple[bytes, str, float]:
        source = SeededIds(clock, seed)
        return source.token_bytes(8), source.uuid(), source.jitter()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
