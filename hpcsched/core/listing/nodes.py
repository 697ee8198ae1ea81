"""Listing nodes by any of their properties, in any order (api.md 11)."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from hpcsched.core.listing.ordering import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.core.listing.conditions import Condition
    from hpcsched.core.listing.ordering import Position, SortKey
    from hpcsched.core.listing.properties import Value
    from hpcsched.core.views import NodeView


def search_nodes(
    views: Iterable[NodeView],
    conditions: Sequence[Condition],
    sort: Sequence[SortKey],
    after: Position | None,
) -> list[tuple[NodeView, Position]]:
    """Return the nodes that match behind a position, each with its own.

    What is equal in all keys stands by number.
    """
    falling = [key.descending for key in sort] + [False]
    found = []
    for view in views:
        if all(c.holds(value_of(view, c.property.name)) for c in conditions):
            values = [value_of(view, key.property.name) for key in sort]
            position = (*values, view.node_id)
            found.append((Place(position, falling), view, position))
    found.sort(key=itemgetter(0))
    last = None if after is None else Place(after, falling)
    return [(v, position) for place, v, position in found if not last or last < place]


def value_of(view: NodeView, name: str) -> Value | None:
    """Return a property of a node; None: it has no value."""
    if name == "cpu_mhz":
        return view.inventory.cpu_mhz or None
    value: Value | None = getattr(view, "node_id" if name == "id" else name)
    return int(value) if isinstance(value, bool) else value
