"""What an administrator should look at, and nobody else can mend: troubles of nodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock

log = logging.getLogger(__name__)

#: An alarm is shown for so long after its cause was last seen, seconds.
SHOWN_S: Final = 900.0

#: So many are kept; a flood of them tells no more.
MOST: Final = 64


class Alarms:
    """The troubles of the last quarter of an hour, one per node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    def sound(self, node: str, text: str) -> None:
        """Show a trouble, and log it unless it is the one that is shown already."""
        now = self._clock.mono()
        self._forget(now)
        _, before = self._known.get(node, (0.0, ""))
        if before or len(self._known) < MOST:
            self._known[node] = now, text
        if before != text:
            log.critical("%s", text, extra={"node": node})

    def end(self, node: str) -> None:
        """The node's trouble is over."""
        self._known.pop(node, None)

    def texts(self) -> tuple[str, ...]:
        """Return what is to be shown, in the order of the nodes' names."""
        self._forget(self._clock.mono())
        return tuple(text for _, (_, text) in sorted(self._known.items()))

    def _forget(self, now: float) -> None:
        old = [name for name, (when, _) in self._known.items() if now - when > SHOWN_S]
        for name in old:
            del self._known[name]
