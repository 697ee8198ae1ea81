"""Simulated clusters under faults: every promise, on some seeds, and replay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sim.headdisk import BACKENDS
from tests.support.sim.simulation import Outcome, simulate
from tests.support.sim.sizes import BRIEF, SIZES
from tests.support.sim.stores import MEMORY, PLACES, SQLITE
from tests.support.sim.sweep import APART, STEPS_APART, Point, swept, tried

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: Whole seeds in memory, and on files; of brief ones there are more for the same time.
SLICE = range(1, 5)
SLICE_ON_FILES = range(1, 3)
BRIEF_SLICE = range(1, 25)

pytestmark = pytest.mark.timeout(120)


def corpus() -> list[int]:
    lines = (HERE / "corpus.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line[:1].isdigit()]


def kept(outcome: Outcome) -> str:
    """Return the end of a story, if a promise was broken."""
    if not outcome.problem:
        return ""
    return "\n".join([*outcome.lines[-40:], outcome.again()])


@pytest.mark.parametrize("seed", SLICE)
def test_every_promise_is_kept_whatever_goes_wrong(seed: int) -> None:
    outcome = simulate(seed)

    assert not kept(outcome)


@pytest.mark.parametrize("seed", SLICE_ON_FILES)
def test_every_promise_is_kept_with_the_store_in_the_files_of_sqlite(seed: int) -> None:
    outcome = simulate(seed, store=SQLITE)

    assert not kept(outcome)


@pytest.mark.parametrize("seed", BRIEF_SLICE)
def test_every_promise_is_kept_in_brief_seeds_too(seed: int) -> None:
    outcome = simulate(seed, size=BRIEF, store=BACKENDS[seed % len(BACKENDS)])

    assert not kept(outcome)


@pytest.mark.parametrize(("first", "place"), list(enumerate(PLACES, 3)))
def test_a_head_may_die_anywhere_in_a_commit(first: int, place: str) -> None:
    plan = dict.fromkeys(range(first, 8 * first, APART), place)
    outcome = swept(104, plan, size=BRIEF)

    assert not kept(outcome)
    assert outcome.commits > max(plan)


@pytest.mark.parametrize("place", STEPS_APART)
def test_programs_may_die_between_any_two_steps_of_a_working_day(place: str) -> None:
    found = tried(1, Point(place, 3), MEMORY)

    assert not found.problem
    assert found.deaths > 20


def test_what_has_failed_once_does_not_fail_again() -> None:
    broken = [story for seed in corpus() if (story := kept(simulate(seed)))]

    assert not broken


def test_one_seed_is_one_run() -> None:
    for store in BACKENDS:
        for size in SIZES.values():
            first, second = (simulate(101, store=store, size=size) for _ in range(2))

            assert first.hash == second.hash
            assert first.steps == second.steps


@pytest.mark.timeout(120)
def test_a_run_does_not_hang_on_the_order_of_hashes() -> None:
    code = (
        "from tests.support.sim.simulation import simulate; print(simulate(102).hash)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": number, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    }

    assert len(found) == 1


def test_without_faults_everything_ends_well() -> None:
    outcome = simulate(103, only=())

    assert not kept(outcome)
    assert not outcome.faults
