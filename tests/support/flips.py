"""Bits that flip on the disk: ``python -m tests.support.flips --help``.

A simulated cluster leaves a store. One bit of its file after the other is flipped, at
random places, and ``hpcschedd --check`` looks. Where it finds nothing, every row has to
be as it was: the bit was in a page that nobody uses. Then a value of each column of
each table is changed (tests.support.cells): it is found wherever it does harm.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsched.runtime.checking import check_store
from tests.support.cells import a_full_store, try_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

FOUND, HARMLESS, SILENT = "found", "harmless", "silent"


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return {
            name: connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
            for (name,) in names
        }


def flipped(path: Path, rng: random.Random) -> tuple[int, int]:
    """Flip a bit of a file; return where."""
    at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))
    return at, bit


def verdict(path: Path, known: dict[str, list[tuple[object, ...]]]) -> tuple[str, str]:
    """Return what became of a flip, and the table that changed without a finding."""
    if check_store(path).findings:
        return FOUND, ""
    try:
        now = content(path)
    except sqlite3.Error as error:
        return SILENT, repr(error)
    changed = [name for name, rows in known.items() if now.get(name) != rows]
    return (SILENT, changed[0]) if changed else (HARMLESS, "")


def campaign(whole: Path, *, seed: int, flips: int, seconds: float) -> Counter[str]:
    """Flip so many bits of a store, one at a time; count what became of them."""
    known = content(whole)
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    damaged = whole.with_name("damaged.db")
    for _ in range(flips):
        if time.monotonic() - began > seconds:
            break
        shutil.copyfile(whole, damaged)
        flipped(damaged, rng)
        what, where = verdict(damaged, known)
        counts[what] += 1
        if where:
            counts[f"{SILENT} in {where}"] += 1
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Flip bits; return 1 if one of them was believed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=1, help="of the cluster and of the bits")
    add("--flips", type=int, default=2000)
    add("--seconds", type=float, default=300)
    add("--cells", type=int, default=20, help="values tried of each column")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        whole = a_full_store(Path(name), options.seed)
        counts = campaign(
            whole, seed=options.seed, flips=options.flips, seconds=options.seconds
        )
        found, silent = try_cells(whole, seed=options.seed, each=options.cells)
    for cell in silent:
        print(cell)
    print(f"{found} changed values were found, {len(silent)} were not")
    print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())))
    return 1 if counts[SILENT] or silent else 0


if __name__ == "__main__":
    sys.exit(main())
