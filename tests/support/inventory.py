"""An inventory of nodes for tests of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.scheduling.snapshot import NodeFree


class Nodes:
    """What the cluster consists of."""

    def __init__(self, *nodes: NodeFree) -> None:
        self._nodes = nodes

    def node(self, name: str) -> NodeFree | None:
        return next((node for node in self._nodes if node.name == name), None)

    def nodes(self) -> Iterable[NodeFree]:
        return self._nodes

    def has_group(self, name: str) -> bool:
        return any(name in node.groups for node in self._nodes)
