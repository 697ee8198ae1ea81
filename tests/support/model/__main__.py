"""``python -m tests.support.model [quick|full|long]``: search, print what is found."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tests.support.model.runs import FULL, LONG, MUTANTS, QUICK, mutant

if TYPE_CHECKING:
    from tests.support.model.runs import Run
    from tests.support.model.search import Found

SETS = {"quick": QUICK, "full": QUICK + FULL, "long": QUICK + FULL + LONG}


def show(run: Run) -> Found:
    """Search one world and print a line on it."""
    begin = time.monotonic()
    found = run.search()
    took = time.monotonic() - begin
    what = found.broken[:60] or "all promises hold"
    print(f"{run.name:32} {found.states:>9,} {took:7.1f} s  {what}", flush=True)
    return found


def main(arguments: list[str]) -> int:
    """Search a set of worlds, then the defects; return the exit status."""
    name = arguments[0] if arguments else "full"
    if name not in SETS:
        print(f"model: {name!r} is none of {', '.join(SETS)}", file=sys.stderr)
        return 2
    print(f"{'world':32} {'states':>9} {'time':>9}")
    found = [show(run) for run in SETS[name]]
    print("\nwith one thing done wrongly:")
    missed = [run.name for run in MUTANTS if not show(mutant(run)).broken]
    states = sum(one.states for one in found)
    broken = [one for one in found if one.broken or not one.complete]
    for one in broken:
        print("\n" + one.broken, *one.trace, sep="\n  ")
    print(f"\n{states:,} states, {len(broken)} promises broken,", end=" ")
    print(f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} defects found")
    return 1 if broken or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
