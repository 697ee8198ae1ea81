"""The crash campaign: `make crash-long`, or `python -m tests.support.crash --help`.

Plays rounds until their number or the time is reached. A round that breaks a promise is
told with its seed and its blows, and its directory is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections import Counter

from tests.support.crash import rounds
from tests.support.crash.crew import Crew
from tests.support.crash.machine import Clocks, Disk, Hazard, Sync
from tests.support.crash.network import Network

#: Rounds on one cluster, before a new one is made.
ROUNDS_PER_CLUSTER = 25


HAZARDS: dict[str, type[Hazard]] = {
    each.name: each for each in (Hazard, Network, Disk, Sync, Clocks)
}


async def campaign(options: argparse.Namespace) -> int:
    """Play; return how many rounds failed."""
    hazard = HAZARDS[options.hazard]()
    if problem := hazard.problem():
        print(f"{hazard.name}: {problem}")
        return 0 if options.if_possible else 1
    deadline = time.monotonic() + options.seconds
    failed = played = calls = 0
    blows: Counter[str] = Counter()
    crew: Crew | None = None
    try:
        for number in range(options.rounds):
            if time.monotonic() > deadline:
                break
            seed = options.seed + number
            if crew is None:
                crew = Crew()
                await rounds.begin(crew, hazard)
            try:
                result = await rounds.play(
                    crew, seed, options.length, every=options.every, hazard=hazard
                )
                print(result, flush=True)
                bad = [str(violation) for violation in result.violations]
                calls += len(result.history.calls)
                blows.update(_kind(line) for line in result.story)
            except Exception as error:  # noqa: BLE001 - told, and the next round is played
                bad = [
                    f"the round broke: {error!r}",
                    *map(repr, getattr(error, "exceptions", ())),
                ]
            played += 1
            if bad:
                failed += 1
                _tell(crew, seed, bad)
            if bad or played % ROUNDS_PER_CLUSTER == 0:
                _end(crew, hazard, keep=bool(bad))
                crew = None
    finally:  # stopped by a signal, too: nothing is left running
        if crew is not None:
            _end(crew, hazard, keep=False)
        told = ", ".join(f"{name} {count}" for name, count in sorted(blows.items()))
        print(f"{played} rounds, {failed} failed, {calls} calls; {told}")
    return failed


def _end(crew: Crew, hazard: Hazard, *, keep: bool) -> None:
    try:
        crew.destroy(keep=True)
    finally:
        if not (keep and hazard.keeps):
            hazard.clean(crew)
        if not keep:
            shutil.rmtree(crew.base, ignore_errors=True)


def _kind(line: str) -> str:
    words = line.split(" s ", 1)[1]
    return words.rsplit(",", 1)[0].replace("n1.", "").replace("n2.", "")


def _tell(crew: Crew, seed: int, bad: list[str]) -> None:
    place = crew.base / f"round-{seed}"
    print(f"ROUND {seed} FAILED; kept in {place}")
    print(f"  again: make crash-long SEED={seed} ROUNDS=1")
    for line in bad:
        print(f"  {line}")
    story = place / "story"
    if story.exists():
        print("  the story:")
        for line in story.read_text().splitlines():
            print(f"    {line}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.support.crash", description=__doc__)
    parser.add_argument("--hazard", choices=HAZARDS, default=Hazard.name)
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="a hazard that this machine cannot do is no failure",
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600, help="of all rounds")
    parser.add_argument("--length", type=float, default=6, help="of a round's storm")
    parser.add_argument("--every", type=float, default=0.8, help="seconds per blow")
    options = parser.parse_args()
    # Also in the background of a shell, where SIGINT is ignored by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return 1 if asyncio.run(campaign(options)) else 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
