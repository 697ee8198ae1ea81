"""Ending what a task does from outside, with a refusal of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from hpcsched.common.errors import HpcError
from hpcsched.services.limits import WRITE_DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcsched.common.clock import Clock, Timer


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[Exception], None]]:
    """Let callbacks end the block with an exception of theirs.

    The block gets a function that cancels the present task once; the cancellation
    leaves the block as the exception given. A cancellation from elsewhere, as when the
    peer is gone, stays one.
    """
    task = asyncio.current_task()
    given: Exception | None = None
    is_over = False

    def interrupt(error: Exception) -> None:
        nonlocal given
        if given is None and not is_over and task is not None:
            given = error
            task.cancel()

    try:
        yield interrupt
    except BaseException:
        is_over = True
        if given is None or task is None or task.uncancel() > 0:
            raise
        raise given from None
    else:
        is_over = True
        if given is not None and task is not None:
            task.uncancel()


@contextlib.contextmanager
def after(
    clock: Clock,
    seconds: float,
    interrupt: Callable[[Exception], None],
    error: Exception,
) -> Iterator[None]:
    """Interrupt a block that takes longer."""
    timer = clock.call_at(clock.mono() + seconds, lambda: interrupt(error))
    try:
        yield
    finally:
        timer.cancel()


class WriteDeadline:
    """Interrupts a task one of whose writes takes too long: who reads takes nothing.

    A timer of its own for each write would be a tenth of what a write takes. One serves
    all of a stream's; it looks again when the write of the moment would be late.
    """

    __slots__ = ("_began", "_clock", "_interrupt", "_timer")

    def __init__(self, clock: Clock, interrupt: Callable[[Exception], None]) -> None:
        self._clock = clock
        self._interrupt = interrupt
        self._began: float | None = None
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def begin(self) -> None:
        """Note that a write begins."""
        self._began = now = self._clock.mono()
        if self._timer is None:
            self._timer = self._clock.call_at(now + WRITE_DEADLINE_S, self._look)

    def end(self) -> None:
        """Note that it has ended."""
        self._began = None

    def _look(self) -> None:
        self._timer = None
        if self._began is None:
            return
        due = self._began + WRITE_DEADLINE_S
        if self._clock.mono() < due:
            self._timer = self._clock.call_at(due, self._look)
            return
        what = f"nothing was read for {WRITE_DEADLINE_S:g} s"
        self._interrupt(HpcError("QUEUE_FULL", what=what))
