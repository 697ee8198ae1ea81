"""Messages on their way: what many subscribers are sent is made into bytes once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT: Final = 8
"""Messages whose bytes are kept. A wave of watchers goes through a few at a time."""


class Once:
    """Makes bytes of messages of a stream; of the same message object the same bytes.

    A message that was handed to a stream is not changed any more.

    Args:
        serialize: Makes bytes of a message.
    """

    __slots__ = ("_kept", "_serialize")

    def __init__(self, serialize: Callable[[Any], bytes]) -> None:
        self._serialize = serialize
        self._kept: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()

    def __call__(self, message: Any) -> bytes:
        """Return the bytes of a message."""
        known = self._kept.get(id(message))
        if known is not None:  # it is kept alive, so nobody else has its id
            return known[1]
        body = self._serialize(message)
        self._kept[id(message)] = (message, body)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return body
