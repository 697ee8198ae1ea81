"""Brief seeds are about the same as whole ones, and a number tells which it is."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.support.sim.__main__ import options_of
from tests.support.sim.simulation import Outcome, Simulation
from tests.support.sim.sizes import BRIEF, EACH, SIZES, WHOLE, Size, size_of

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(1, 201)


def drawn(size: Size, folder: Path) -> tuple[set[str], set[str]]:
    """Return the kinds of faults of some seeds, and what else they are about."""
    faults: set[str] = set()
    about: set[str] = set()
    for seed in SEEDS:
        sim = Simulation(seed, folder / f"{size.name}-{seed}", size=size)
        faults.update(sim.chosen(None, ()))
        about.update(sim.workload.about)
        sim.loop.close()
    return faults, about


def test_brief_seeds_have_every_kind_of_fault_call_and_job(tmp_path: Path) -> None:
    faults, about = drawn(BRIEF, tmp_path)
    sim = Simulation(1, tmp_path / "one")
    kinds = sim.nemesis.kinds
    sim.loop.close()

    assert faults == set(kinds)
    assert about == drawn(WHOLE, tmp_path)[1]


def test_whole_seeds_have_their_turn_with_both_kinds_of_stores() -> None:
    whole = [seed for seed in range(1000) if size_of(seed, "mixed") is WHOLE]

    assert len(whole) == len(range(0, 1000, EACH))
    assert {seed % 2 for seed in whole} == {0, 1}


def test_a_story_tells_the_command_that_tells_it_again() -> None:
    for seed in (EACH, EACH + 1, 2 * EACH):
        for size in SIZES.values():
            told = Outcome(
                seed=seed,
                problem="",
                kinds=(),
                hours=0.0,
                steps=0,
                hash="",
                store="sqlite",
                size=size.name,
            ).again(without=["cut", "power"])
            make, arguments = shlex.split(told.removeprefix("again: make sim "))
            options = options_of(shlex.split(arguments.removeprefix("ARGS=")))

            assert make == f"SEED={seed}"
            assert size_of(seed, options.size) is size
            assert options.store == "sqlite"
            assert options.without == ["cut", "power"]
