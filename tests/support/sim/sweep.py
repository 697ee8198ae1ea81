"""The head dies at every commit of a run: ``python -m tests.support.sim.sweep --help``.

Once at each, before its first statement, between two of them, at the COMMIT and behind
it. Many deaths go into one run, far enough from each other that a head comes back
between them; the next run has them a commit later.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tests.support.sim.headdisk import BACKENDS
from tests.support.sim.simulation import Outcome, simulate
from tests.support.sim.stores import PLACES, SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Commits between two deaths of one run.
APART = 15
#: Commits of a run that are looked at; the longest have about a thousand.
MOST = 1_200


def plans() -> Iterator[tuple[str, int, dict[int, str]]]:
    """Return each place, first commit, and where that makes the head die."""
    for first in range(1, APART + 1):
        for place in PLACES:
            yield place, first, dict.fromkeys(range(first, MOST, APART), place)


def swept(seed: int, plan: dict[int, str], store: str = SQLITE) -> Outcome:
    """Run a seed without any other fault."""
    return simulate(seed, only=(), store=store, plan=plan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep one seed after the other; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--first", type=int, default=1, help="first seed (default: 1)")
    add("--seeds", type=int, default=1, help="how many (default: 1)")
    add("--seconds", type=float, default=120, help="begin no run after so long")
    add("--store", choices=BACKENDS, default=SQLITE, help="of the head")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    runs = deaths = failed = 0
    for seed in range(options.first, options.first + options.seeds):
        for place, first, plan in plans():
            if time.monotonic() - began > options.seconds:
                break
            outcome = swept(seed, plan, options.store)
            runs += 1
            deaths += sum(number <= outcome.commits for number in plan)
            if outcome.problem:
                failed += 1
                print(f"seed {seed}, {place} commit {first}: {outcome.problem[:300]}")
    took = time.monotonic() - began
    print(f"{runs} runs, {deaths} deaths at commits in {took:.0f} s")
    print(f"{runs - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
