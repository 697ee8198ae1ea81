"""Waiting for what other processes and threads do: the one place that may sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

#: Whatever takes longer hangs, even on a machine that is ten times too busy, seconds.
PATIENCE_S = 60.0
FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.1


class NotReachedError(AssertionError):
    """The deadline passed; the message tells what was seen last."""


def wait_for(
    look: Callable[[], T],
    timeout: float = PATIENCE_S,
    *,
    until: Callable[[T], object] = bool,
    what: str = "",
) -> T:
    """Look again and again until what is seen is what is wanted; return it.

    Args:
        look: Called with growing pauses. An exception is "not yet", but the last one
            is told if the time runs out.
        timeout: Seconds.
        until: Says whether the value is the wanted one; true by default.
        what: What is waited for, in words, for the message.

    Raises:
        NotReachedError: the time ran out.
    """
    pauses = _Pauses(timeout, what)
    while True:
        try:
            seen = look()
        except Exception as fault:  # noqa: BLE001 - told when the time runs out
            pause = pauses.after_fault(fault)
        else:
            if until(seen):
                return seen
            pause = pauses.after(seen)
        time.sleep(pause)


@overload
async def wait_for_async(
    look: Callable[[], Awaitable[T]],
    timeout: float = PATIENCE_S,
    *,
    until: Callable[[T], object] = bool,
    what: str = "",
) -> T: ...
@overload
async def wait_for_async(
    look: Callable[[], T],
    timeout: float = PATIENCE_S,
    *,
    until: Callable[[T], object] = bool,
    what: str = "",
) -> T: ...
async def wait_for_async(
    look: Callable[[], T | Awaitable[T]],
    timeout: float = PATIENCE_S,
    *,
    until: Callable[[T], object] = bool,
    what: str = "",
) -> T:
    """Do the same while the loop runs on; ``look`` may be a coroutine function.

    Raises:
        NotReachedError: the time ran out.
    """
    pauses = _Pauses(timeout, what)
    while True:
        try:
            found = look()
            seen: T = await found if inspect.isawaitable(found) else found
        except Exception as fault:  # noqa: BLE001 - told when the time runs out
            pause = pauses.after_fault(fault)
        else:
            if until(seen):
                return seen
            pause = pauses.after(seen)
        await asyncio.sleep(pause)


class _Pauses:
    """Growing pauses up to a deadline, and the complaint when it has passed."""

    def __init__(self, timeout: float, what: str) -> None:
        self._deadline = time.monotonic() + timeout
        self._limit = f"{what or 'the wanted state'} not reached in {timeout:g} s"
        self._pause = FIRST_PAUSE_S

    def after(self, seen: object) -> float:
        """Return how long to sleep after a look that saw something else."""
        return self._next(repr(seen), None)

    def after_fault(self, fault: Exception) -> float:
        """Return how long to sleep after a look that raised."""
        return self._next(repr(fault), fault)

    def _next(self, last: str, cause: Exception | None) -> float:
        if time.monotonic() >= self._deadline:
            raise NotReachedError(f"{self._limit}; last: {last}") from cause
        pause, self._pause = self._pause, min(LONGEST_PAUSE_S, self._pause * 1.5)
        return pause
