"""Coroutines that begin before somebody awaits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator


class Begun:
    """A coroutine that has been run up to where it waits for the first time.

    A task would begin it in a later turn of the loop. Whoever made this awaits it once,
    from a task, and gets what the coroutine raises, or closes it.

    Args:
        work: Asks for no task of its own before it waits.
    """

    __slots__ = ("_error", "_first", "_over", "_work")

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._first: Any = None
        self._over = False
        self._error: BaseException | None = None
        try:
            self._first = work.send(None)
        except StopIteration:
            self._over = True
        except Exception as error:  # noqa: BLE001  it is whoever awaits' own
            self._error = error

    def __await__(self) -> Generator[Any, Any, None]:
        if self._error is not None:
            raise self._error
        awaited = self._first
        while not self._over:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001  it is passed on
                awaited = self._step(self._work.throw, error)
            else:
                awaited = self._step(self._work.send, sent)

    def _step(self, step: Any, value: Any) -> Any:
        try:
            return step(value)
        except StopIteration:
            self._over = True
            return None

    def close(self) -> None:
        """Give it up: nobody awaits it."""
        self._work.close()
