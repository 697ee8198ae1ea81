"""Runs many seeds: ``python -m tests.support.sim --help``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING

from tests.support.sim.headdisk import BACKENDS
from tests.support.sim.simulation import Outcome, simulate
from tests.support.sim.sizes import MIXED, SIZES, WHOLE, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STORY_LINES = 60
BOTH = "both"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run seeds; return 1 if any of them breaks a promise."""
    options = options_of(arguments)
    if options.seed is not None:
        return _one(options)
    began = time.monotonic()
    faults: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    hours = 0.0
    failed: list[Outcome] = []
    for outcome in _outcomes(options, began):
        totals.update(seeds=1, steps=outcome.steps, calls=outcome.calls)
        totals.update(starts=outcome.starts, whole=outcome.size == WHOLE.name)
        hours += outcome.hours
        faults.update(outcome.faults)
        asked.update(outcome.asked)
        if outcome.problem:
            failed.append(outcome)
            where = f"seed {outcome.seed} ({outcome.size}, {outcome.store})"
            print(f"{where}: {outcome.problem[:300]}", flush=True)
            if len(failed) >= options.stop_after:
                break
    took = time.monotonic() - began
    print(
        f"{totals['seeds']} seeds, {totals['whole']} of them whole; "
        f"{hours:.1f} cluster-hours, {sum(faults.values())} faults, "
        f"{totals['calls']} calls, {totals['starts']} processes, "
        f"{totals['steps']} steps in {took:.0f} s"
    )
    for counts in (faults, asked):
        print(", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    for outcome in failed[:1]:
        _tell(outcome, shrink=not options.no_shrink)
    print(f"{totals['seeds'] - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _outcomes(options: argparse.Namespace, began: float) -> Iterator[Outcome]:
    """Yield what becomes of seeds, as many at a time as there are processes for."""
    seeds = _seeds(options, began)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=fresh) as pool:

        def begin(count: int) -> set[Future[Outcome]]:
            return {
                pool.submit(
                    simulate,
                    seed,
                    without=options.without,
                    store=_store_of(seed, options.store),
                    size=size_of(seed, options.size),
                )
                for seed in islice(seeds, count)
            }

        running = begin(options.jobs)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= begin(len(done))
            for one in done:
                yield one.result()


def _one(options: argparse.Namespace) -> int:
    outcome = simulate(
        options.seed,
        without=options.without,
        trace=options.trace,
        store=_store_of(options.seed, options.store),
        size=size_of(options.seed, options.size),
    )
    if outcome.problem:
        _tell(outcome, shrink=not options.no_shrink and not options.without)
        return 1
    where = f"{outcome.size}, {outcome.store}"
    print(
        f"seed {outcome.seed} ({where}): {outcome.hours:.2f} h, {outcome.steps} steps, "
        f"trace {outcome.hash}, faults {outcome.faults}"
    )
    return 0


def _tell(outcome: Outcome, *, shrink: bool) -> None:
    print(f"\nThe story of seed {outcome.seed}:")
    for line in outcome.lines[-STORY_LINES:]:
        print(line[:300])
    print(f"\nseed {outcome.seed} broke: {outcome.problem}")
    if shrink:
        needed = shrunk(outcome)
        print(f"the faults that it needs: {', '.join(needed) or 'none'}")
        left_out = [one for one in outcome.kinds if one not in needed]
        print(outcome.again(without=left_out))
    else:
        print(outcome.again())


def shrunk(outcome: Outcome) -> list[str]:
    """Return kinds of faults that are enough for the same promise to break."""
    needed = list(outcome.kinds)
    promise = outcome.problem.split(":")[0]
    for kind in outcome.kinds:
        fewer = [one for one in needed if one != kind]
        without = [one for one in outcome.kinds if one not in fewer]
        again = simulate(
            outcome.seed,
            without=without,
            store=outcome.store,
            size=SIZES[outcome.size],
        )
        if again.problem.split(":")[0] == promise:
            needed = fewer
    return needed


def _store_of(seed: int, wanted: str) -> str:
    """Return where the head's store is: with "both" the seeds take turns."""
    return BACKENDS[seed % len(BACKENDS)] if wanted == BOTH else wanted


def _seeds(options: argparse.Namespace, began: float) -> Iterator[int]:
    number = options.first
    while True:
        if options.seeds and number >= options.first + options.seeds:
            return
        if options.seconds and time.monotonic() - began > options.seconds:
            return
        yield number
        number += 1


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="run this one only, and tell its story if it fails")
    add("--first", type=int, default=1, help="first seed (default: 1)")
    add("--seeds", type=int, default=0, help="how many; 0: until --seconds are over")
    add("--seconds", type=float, default=0, help="begin no seed after so long")
    cores = len(os.sched_getaffinity(0))
    add("--jobs", type=int, default=cores, help=f"processes (default: {cores})")
    add("--store", choices=[*BACKENDS, BOTH], default=BOTH, help="of the head")
    sizes = [*SIZES, MIXED]
    add("--size", choices=sizes, default=MIXED, help="of seeds (default: take turns)")
    add("--without", type=_words, default=[], help="kinds of faults to leave out")
    add("--trace", action="store_true", help="print everything as it happens")
    add("--no-shrink", action="store_true", help="do not look for fewer faults")
    add("--stop-after", type=int, default=5, help="failed seeds (default: 5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
