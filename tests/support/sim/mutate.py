"""Does the simulation find defects? ``python -m tests.support.sim.mutate --help``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.support.sim.headdisk import BACKENDS
from tests.support.sim.mutants import MUTANTS, planted
from tests.support.sim.simulation import simulate
from tests.support.sim.sizes import MIXED, SIZES, WHOLE, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def hunted(name: str, seeds: range, size: str = WHOLE.name) -> tuple[int, str]:
    """Return the first seed that notices a defect, and what it says; 0: none."""
    for seed in seeds:
        with planted(name):
            outcome = simulate(
                seed,
                store=BACKENDS[seed % len(BACKENDS)],
                size=size_of(seed, size),
            )
        if outcome.problem:
            return seed, outcome.problem
    return 0, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant one defect after the other; return 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--first", type=int, default=1, help="first seed (default: 1)")
    add("--seeds", type=int, default=150, help="seeds per defect (default: 150)")
    sizes = [*SIZES, MIXED]
    add("--size", choices=sizes, default=WHOLE.name, help="of seeds (default: whole)")
    add("names", nargs="*", help=f"of {', '.join(MUTANTS)} (default: all)")
    options = parser.parse_args(arguments)
    missed = []
    names = options.names or list(MUTANTS)
    for name in names:
        seed, problem = hunted(
            name, range(options.first, options.first + options.seeds), options.size
        )
        if seed:
            tried = seed - options.first + 1
            print(f"{name}: found by seed {seed}, the {tried}th: {problem[:120]}")
        else:
            missed.append(name)
            print(f"{name}: MISSED by {options.seeds} seeds")
        sys.stdout.flush()
    print(f"{len(names) - len(missed)} passed, {len(missed)} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
