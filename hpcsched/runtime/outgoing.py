"""Orders of one node on their way: what gathers leaves in as few frames as it takes.

A frame costs each end a few times what is in it. What a task waits for leaves at the
end of the turn of the loop, or at once where nothing has left for a while: who is alone
waits for nobody. What nobody waits for (the word that a job has ended, an
acknowledgement) goes along with it, or by itself when nothing else comes in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.orders import EndJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Timer
    from hpcsched.core.orders import Order
    from hpcsched.runtime.world import World

PATIENCE_S: Final = 0.01
"""How long what nobody waits for may wait for a frame to travel with, seconds."""
REST_S: Final = 0.002
"""Since the frame before, seconds: after that the next one may leave at once."""


class Outgoing:
    """See the module.

    Args:
        world: Whose loop and clock.
        send: Called with what has gathered, which may be nothing, in order.
    """

    __slots__ = ("_due", "_leaving", "_left", "_orders", "_send", "_world")

    def __init__(self, world: World, send: Callable[[list[Order]], None]) -> None:
        self._world = world
        self._send = send
        self._orders: list[Order] = []
        self._leaving = False
        self._left = 0.0
        self._due: Timer | None = None

    def put(self, order: Order) -> None:
        """Queue an order."""
        self._orders.append(order)
        if isinstance(order, EndJob):
            self.in_time()
        else:
            self.soon()

    def clear(self) -> None:
        """Forget what is queued: its session is over."""
        self._orders.clear()

    def soon(self) -> None:
        """Send in the next turn of the loop."""
        if not self._leaving:
            self._leaving = True
            self._world.leaving.append(self)
            self._world.loop.call_soon(self._at_end_of_turn)

    def hurry(self) -> None:
        """Send now what is to leave in this turn, unless a frame has just left."""
        if self._leaving and self._world.clock.mono() >= self._left + REST_S:
            self._go()

    def in_time(self) -> None:
        """Send with the next frame, or when none has come for a while."""
        if self._due is None and not self._leaving:
            clock = self._world.clock
            self._due = clock.call_at(clock.mono() + PATIENCE_S, self._go)

    def _at_end_of_turn(self) -> None:
        if self._leaving:
            self._go()

    def _go(self) -> None:
        if self._leaving:
            self._leaving = False
            self._world.leaving.remove(self)
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._left = self._world.clock.mono()
        orders, self._orders = self._orders, []
        self._send(orders)
