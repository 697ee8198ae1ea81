"""A slice of the crash campaign: `make crash-long` plays the rest.

Daemons are killed, frozen, restarted and upgraded while clients submit, cancel and
requeue; then the books must balance. See docs/crash-campaign.md.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.crash import nemesis, rounds, syscalls
from tests.support.crash.crew import Crew
from tests.support.crash.syscalls import Point

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

SEED = int(os.environ.get("CRASH_SEED", "7"))


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Two nodes of three cores."""
    crew = Crew()
    try:
        asyncio.run(rounds.begin(crew))
        yield crew
    finally:
        crew.destroy()


def test_the_books_balance_whoever_is_killed_frozen_or_restarted(crew: Crew) -> None:
    result = asyncio.run(rounds.play(crew, SEED, 4.0, every=0.9))

    story = "\n".join(result.story)
    assert not result.violations, f"{result}\n{story}\n{crew.logs()}"
    assert result.story
    assert result.acked, "nothing was tried"


def test_a_round_is_drawn_again_from_its_seed() -> None:
    nodes = ("n1", "n2")
    one, two = (nemesis.draw(random.Random(5), nodes, 60, every=0.5) for _ in range(2))

    assert one == two
    assert {blow.kind for blow in one} == {"kill", "freeze", "restart", "upgrade"}


@pytest.mark.parametrize(
    "point",
    [
        Point("submission", "fdatasync", 1),
        Point("exit", "pwrite64", 2),
        Point("cancel", "sendmsg", 1),
    ],
    ids=str,
)
def test_nothing_is_lost_when_the_head_dies_at_a_system_call(
    crew: Crew, point: Point
) -> None:
    problem = syscalls.can_trace()
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)
    assert not problem

    async def attempt() -> syscalls.Outcome:
        async with rounds.client_of(crew) as client:
            return await syscalls.try_point(crew, client, point)

    outcome = asyncio.run(attempt())

    assert outcome.reached, "the head was not killed"
    assert outcome.violations == [], crew.logs()
