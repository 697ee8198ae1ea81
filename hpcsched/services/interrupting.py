"""Ending what a task does from outside, with a refusal of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.services.limits import WRITE_DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcsched.common.clock import Clock


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


def too_slow() -> HpcError:
    """Return the refusal for a stream's reader that takes nothing."""
    return HpcError("QUEUE_FULL", what=f"nothing was read for {WRITE_DEADLINE_S:g} s")
