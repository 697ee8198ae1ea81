"""P1 to P12 with one command: ``make bench``, ``make bench ONLY=P7,P9 QUICK=1``.

Prints a table, and writes the figures as JSON and as a picture. An absolute figure of a
shared machine means little: what counts is the ratio to what does the same work in the
same run, and CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ceiling, floor, growth, passes, plot, queued, real
from bench.figures import as_json, machine, table
from bench.site import Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.figures import Figure

MEASURES: dict[str, Callable[[Site], Awaitable[list[Figure]]]] = {
    "P1": real.p1,
    "P2": real.p2,
    "P3": real.p3,
    "P4": real.p4,
    "FLOOR": floor.all_of_it,
    "P12": passes.p12,
    "P11": passes.p11,
    "P5": queued.p5,
    "P6": queued.p6,
    "P7": ceiling.p7,
    "P8": ceiling.p8,
    "P9": ceiling.p9,
    "P10": queued.p10,
    "GROWTH": growth.all_of_it,
}
"""In the order of measurement: those that share a cluster first."""
SHARED = ("P1", "P2", "P3", "P4", "FLOOR", "P12")


async def measure(site: Site, wanted: list[str]) -> tuple[list[Figure], bool]:
    """Return all figures, and whether each measurement came to its end."""
    figures: list[Figure] = []
    whole = True
    for key in wanted:
        if key not in SHARED:
            site.stop()
        begin = time.perf_counter()
        try:
            found = await MEASURES[key](site)
        except Exception:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exc()
            whole = False
            continue
        figures += found
        print(f"{key}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    site.stop()
    return figures, whole


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help="such as P1,P7,FLOOR,GROWTH")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--runs", type=int, default=3, help="of what is compared")
    parser.add_argument("--dir", type=Path, help="on the disk to be measured")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    args = parser.parse_args()
    known = [key for key in MEASURES if key not in {"FLOOR", "GROWTH"}]
    wanted = [key.strip().upper() for key in args.only.split(",") if key.strip()]
    for key in wanted:
        if key not in MEASURES:
            parser.error(f"--only: {key} is none of {', '.join(MEASURES)}")
    wanted = [key for key in MEASURES if key in (wanted or known)]
    args.out.mkdir(parents=True, exist_ok=True)
    where = machine()
    with tempfile.TemporaryDirectory(prefix="hpc-bench-", dir=args.dir) as directory:
        site = Site(
            directory=Path(directory),
            quick=args.quick,
            runs=1 if args.quick else args.runs,
            rivals=(args.out / "rivals").absolute(),
        )
        figures, whole = asyncio.run(measure(site, wanted))
    figures.sort(key=lambda one: (len(one.key), one.key))
    where["load_after"] = machine()["load"]
    where["quick"] = args.quick
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(table(figures))
    document = {"machine": where, "figures": as_json(figures)}
    (args.out / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    if not plot.draw(figures, where, args.out / "bench.png"):
        print("no picture: matplotlib is not installed", file=sys.stderr)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
