"""What owners hand in to be written, and what became of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.store.base import Delta

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Unit:
    """Deltas that are written together or not at all, and whom to tell."""

    deltas: Sequence[Delta]
    done: Callable[[Sequence[int], BaseException | None], None]


@dataclass(slots=True)
class Outcome:
    """What became of a unit."""

    unit: Unit
    numbers: Sequence[int] = ()
    error: BaseException | None = None


@dataclass(slots=True)
class WriterStats:
    """Counts since the store was opened; read by tests and metrics."""

    transactions: int = 0
    deltas: int = 0
    retries: int = 0
    checkpoints: int = 0


def deliver(outcomes: Sequence[Outcome]) -> None:
    """Tell every owner, on the event loop's thread."""
    for outcome in outcomes:
        try:
            outcome.unit.done(outcome.numbers, outcome.error)
        except Exception:
            log.exception("an owner failed when it was told of its commit")
