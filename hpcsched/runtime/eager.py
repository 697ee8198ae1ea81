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

    Attributes:
        over: It has come to its end.
    """

    __slots__ = ("_error", "_first", "_work", "over")

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._first: Any = None
        self.over = False
        self._error: BaseException | None = None
        try:
            self._first = work.send(None)
        except StopIteration:
            self.over = True
        except Exception as error:  # noqa: BLE001  it is whoever awaits' own
            self._error = error

    def __await__(self) -> Generator[Any, Any, None]:
        if self._error is not None:
            raise self._error
        awaited = self._first
        while not self.over:
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
            self.over = True
            return None

    async def rest(self) -> None:
        """Do what is left, for who needs a coroutine."""
        await self

    def close(self) -> None:
        """Give it up: nobody awaits it."""
        self._work.close()
