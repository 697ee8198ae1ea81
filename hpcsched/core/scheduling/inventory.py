"""What the cluster consists of, as far as decisions about one job need to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.scheduling.snapshot import NodeFree


class Inventory(Protocol):
    """Nodes and groups that the head knows, whether they take work now or not.

    Its answers stay the same while one command is decided. Who holds what is not in it.
    """

    def node(self, name: str) -> NodeFree | None:
        """Return a node by name, or None if there is none of that name."""

    def nodes(self) -> Iterable[NodeFree]:
        """Return all nodes."""

    def has_group(self, name: str) -> bool:
        """Is there a node group of that name?"""
