"""Programs die at every moment of a run: ``python -m tests.support.sim.sweep --help``.

The run is the reference (reference.py). The head dies once at each commit: before its
first statement, between two of them, at the COMMIT and behind it; and between any two
of its callbacks, so at each await. Agents die between any two of theirs, spawners
before and after each record of their journals. Many deaths go into one run, far enough
from each other that a program comes back between them; the next run has them one moment
later.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from tests.support.sim.headdisk import BACKENDS
from tests.support.sim.reference import Reference
from tests.support.sim.simulation import Outcome, Simulation, simulate
from tests.support.sim.sizes import WHOLE, Size
from tests.support.sim.stores import PLACES, SQLITE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HEAD, AGENT, SPAWNER = "head", "agent", "spawner"
#: Commits between two deaths of one run.
APART = 15
#: Commits of a run that are looked at; the longest have about a thousand.
MOST = 1_200
#: Callbacks, or records, between two deaths of one program.
STEPS_APART = {HEAD: 120, AGENT: 90, SPAWNER: 8}
QUIET_S = 60.0


class Point(NamedTuple):
    """Where programs die in one run: the first death; others follow."""

    place: str
    first: int


class Swept(NamedTuple):
    """What became of a run.

    Attributes:
        deaths: How many there were.
    """

    seed: int
    point: Point
    problem: str
    deaths: int


def points() -> Iterator[Point]:
    """Return what the runs of one seed are to be about."""
    for first in range(1, APART + 1):
        for place in PLACES:
            yield Point(place, first)
    for place, apart in STEPS_APART.items():
        for first in range(apart):
            yield Point(place, first)


def swept(
    seed: int, plan: dict[int, str], store: str = SQLITE, size: Size = WHOLE
) -> Outcome:
    """Run a seed without any other fault."""
    return simulate(seed, only=(), store=store, plan=plan, size=size)


def tried(seed: int, point: Point, store: str = SQLITE) -> Swept:
    """Make one run of the reference."""
    deaths = [0]
    if point.place in PLACES:
        plan = dict.fromkeys(range(point.first, MOST, APART), point.place)
        outcome = simulate(
            seed, only=(), store=store, plan=plan, load=Reference, set_up=_in_a_hurry
        )
        deaths[0] = sum(number <= outcome.commits for number in plan)
    else:
        outcome = simulate(
            seed,
            only=(),
            store=store,
            load=Reference,
            set_up=lambda sim: _lay_fuses(sim, point, deaths),
        )
    return Swept(seed, point, outcome.problem, deaths[0])


def _in_a_hurry(sim: Simulation) -> None:
    sim.quick_restarts = True
    sim.quiet_s = QUIET_S


def _lay_fuses(sim: Simulation, point: Point, deaths: list[int]) -> None:
    """Have programs of a kind die some steps after each of their starts."""
    _in_a_hurry(sim)
    apart = STEPS_APART[point.place]

    def fused(
        start: Callable[[], None], light: Callable[[int], None]
    ) -> Callable[[], None]:
        left = [point.first]

        def begin() -> None:
            start()
            if sim.nemesis.healing:
                return
            deaths[0] += left[0] == apart
            light(left[0])
            left[0] = apart

        return begin

    if point.place == HEAD:
        site = sim.site

        def light_head(steps: int) -> None:
            assert site.program is not None
            site.program.fuse = steps

        site.start = fused(site.start, light_head)  # type: ignore[method-assign]
        return
    for node in sim.nodes:

        def light(steps: int, node: object = node) -> None:
            if point.place == AGENT:
                node.program.fuse = steps  # type: ignore[attr-defined]
            else:
                node.supervisor.spawner.wounds = steps  # type: ignore[attr-defined]

        if point.place == AGENT:
            node.start_agent = fused(node.start_agent, light)  # type: ignore[method-assign]
        else:
            supervisor = node.supervisor
            supervisor.start = fused(supervisor.start, light)  # type: ignore[method-assign]


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep one seed after the other; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--first", type=int, default=1, help="first seed (default: 1)")
    add("--seeds", type=int, default=1, help="how many (default: 1)")
    add("--seconds", type=float, default=0, help="begin no run after so long; 0: all")
    add("--store", choices=BACKENDS, default=SQLITE, help="of the head")
    places = [*PLACES, *STEPS_APART]
    add("--place", choices=places, action="append", help="only there (default: all)")
    add("--stride", type=int, default=1, help="leave out all but each so many-th run")
    cores = len(os.sched_getaffinity(0))
    add("--jobs", type=int, default=cores, help=f"processes (default: {cores})")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    runs: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    failed = 0
    for one in _results(options, began):
        runs[one.point.place] += 1
        deaths[one.point.place] += one.deaths
        if one.problem:
            failed += 1
            where = f"seed {one.seed}, {one.point.place} {one.point.first}"
            print(f"{where}: {one.problem[:300]}", flush=True)
    took = time.monotonic() - began
    print(", ".join(f"{deaths[name]} deaths: {name}" for name in runs))
    count = sum(runs.values())
    print(f"{count} runs, {sum(deaths.values())} deaths in {took:.0f} s")
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed else 0


def _results(options: argparse.Namespace, began: float) -> Iterator[Swept]:
    todo = [
        (seed, point)
        for seed in range(options.first, options.first + options.seeds)
        for point in points()
        if not options.place or point.place in options.place
    ][:: options.stride]
    if options.jobs == 1:
        for seed, point in todo:
            if options.seconds and time.monotonic() - began > options.seconds:
                return
            yield tried(seed, point, options.store)
        return
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for at in range(0, len(todo), options.jobs):
            if options.seconds and time.monotonic() - began > options.seconds:
                return
            part = todo[at : at + options.jobs]
            begun = [pool.submit(tried, *one, options.store) for one in part]
            yield from (one.result() for one in begun)


if __name__ == "__main__":
    sys.exit(main())
