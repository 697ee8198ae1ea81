"""What a stream needs of the node that it speaks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node_agent.core.attempts import Inhabitant
    from node_agent.core.frames import Load, NodeFacts, Welcome
    from node_agent.core.orders import Order
    from node_agent.core.spool import Spool
    from node_agent.core.usage import Usages
    from node_agent.shelf import Shelf


class Node(Protocol):
    """What the stream needs to know of the node, and tells it."""

    @property
    def spool(self) -> Spool:
        """Reports that the head has not acknowledged."""

    @property
    def shelf(self) -> Shelf:
        """Where tasks' output is found."""

    @property
    def has_deep_queue(self) -> bool:
        """Do so many attempts wait for cores that no core soon waits for the head?"""

    def has_plenty(self, ends: int) -> bool:
        """Is the queue deep, and long beside so many attempts that have ended?"""

    @property
    def starts_have_waited(self) -> bool:
        """Has whoever tells of starts waited for their ends?"""

    @property
    def usages(self) -> Usages:
        """What running tasks use."""

    def ask_usage(self) -> None:
        """Have the supervisor say what running tasks use now."""

    def facts(self) -> NodeFacts:
        """Return who and what the node is."""

    def inventory(self) -> Iterable[Inhabitant]:
        """Return what lives on the node."""

    def load(self) -> Load:
        """Return how busy it is."""

    async def welcomed(self, welcome: Welcome) -> None:
        """Take the head's settings, and its term for good.

        Raises:
            StaleHeadError: the term is lower than one that was seen, or work of
                another cluster lives here.
        """

    def heard_of(self, position: int) -> None:
        """Hear how far the cluster has come: the number of an event."""

    def carry_out(self, orders: Iterable[Order], done: Callable[[], None]) -> None:
        """Hand orders to the supervisor; call ``done`` when it has them."""

    def acknowledged(self, position: int) -> None:
        """Hear that the head has stored the reports up to a journal position."""

    def attach(self, wake: Callable[[], None]) -> None:
        """Name whom to call when there is a new report."""
