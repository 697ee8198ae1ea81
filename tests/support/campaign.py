"""How long to look: a few examples in every run, minutes in ``make fuzz``.

``HPCSCHED_FUZZ_SECONDS`` is the time of a target, ``HPCSCHED_FUZZ_SEED`` repeats one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

SECONDS: Final = float(os.environ.get("HPCSCHED_FUZZ_SECONDS", "0"))
SEED: Final = int(os.environ.get("HPCSCHED_FUZZ_SEED", "0"))
#: A round of a long campaign, examples.
ROUND: Final = 250
#: What a campaign may need beside its own time, seconds.
MARGIN_S: Final = 120


def time_limit() -> float:
    """Return what pytest is to allow a campaign, seconds."""
    return SECONDS + MARGIN_S


def campaign(
    check: Callable[[Any], None], strategy: SearchStrategy[Any], examples: int
) -> int:
    """Check examples of a strategy; return how many.

    Without a time they are always the same ones. With one each round has a seed of its
    own, which is printed. What failed is raised as it was: a head that has taken ten
    thousand calls before does not fail again for a smaller example.
    """
    count = 0
    failure: BaseException | None = None

    def body(example: Any) -> None:
        nonlocal count, failure
        if failure is not None:
            return
        count += 1
        try:
            check(example)
        except BaseException as error:  # noqa: BLE001  it is raised below
            failure = error

    def one_round(number: int, size: int) -> None:
        limits = settings(
            max_examples=size,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        seed(number)(limits(given(strategy)(body)))()
        if failure is not None:
            raise failure

    if not SECONDS:
        one_round(SEED, examples)
        return count
    end = time.monotonic() + SECONDS
    number = SEED or int(time.time())
    while time.monotonic() < end:
        print(f"seed {number}")  # noqa: T201  it is what repeats a failure
        one_round(number, ROUND)
        number += 1
    print(f"{count} examples")  # noqa: T201
    return count
