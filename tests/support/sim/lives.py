"""How processes of tasks live: said by their command line, drawn by their attempt.

A task's command is ``live WORDS``. The same attempt lives the same life in every run of
a seed, whatever else has happened.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.support.sim.host import Life

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.sim.host import Key

SPANS = {
    "quick": (0.001, 0.02),
    "short": (0.02, 2.0),
    "medium": (1.0, 30.0),
    "long": (20.0, 100.0),
}


def life_of(seed: int, key: Key, words: str) -> Life:
    """Return how an attempt with these words lives."""
    rng = random.Random(f"{seed} {key}")
    named = set(words.split(","))
    low, high = next((SPANS[n] for n in SPANS if n in named), SPANS["short"])
    code = 0
    if "flaky" in named and rng.random() < 0.25:
        code = rng.choice((1, 2, 7, 126, 255))
    return Life(
        None if "forever" in named else low + rng.random() * (high - low),
        code,
        deaf="deaf" in named and rng.random() < 0.5,
        lags=rng.random() * 20.0 if "slow" in named else rng.random() * 0.01,
        daemons=int("daemons" in named and rng.random() < 0.5),
        start_fails="broken" in named and rng.random() < 0.2,
        node_fails="sick" in named and rng.random() < 0.2,
    )


def words_of(raw: Mapping[str, Any]) -> str:
    """Return the words in a definition that a node was given."""
    for part in raw.get("argv", [])[1:2]:
        return "".join(str(piece) for piece in part)
    return ""
