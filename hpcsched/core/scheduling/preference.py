"""Which nodes a job prefers (OrderBy, properties.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.core.scheduling.snapshot import NodeFree

OrderKey = tuple[str, bool]
"""(``cores`` or ``memory``, is it ascending)."""

ITEMS: Final = ("cores", "memory")
DEFAULT: Final[tuple[OrderKey, ...]] = (("cores", False), ("memory", False))
LIMIT: Final = 2


class OrderByError(ValueError):
    """A text is no order of nodes; the argument says why."""


def parse_order_by(text: str) -> tuple[OrderKey, ...]:
    """Return the keys of an OrderBy, the first one counts most; empty: the default.

    >>> parse_order_by("-Memory,Cores")
    (('memory', True), ('cores', False))

    Raises:
        OrderByError: it has more than two items, one twice, or an unknown one.
    """
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    if len(items) > LIMIT:
        raise OrderByError(f"it has {len(items)} items; the limit is {LIMIT}")
    keys: list[OrderKey] = []
    for item in items:
        ascending = item.startswith("-")
        name = item.removeprefix("-").strip().lower()
        if name not in ITEMS:
            raise OrderByError(f"{item!r} is not Cores or Memory, or - and one of them")
        if name in (known for known, _ in keys):
            raise OrderByError(f"{name.capitalize()} is given twice")
        keys.append((name, ascending))
    return () if tuple(keys) == DEFAULT else tuple(keys)


def preferred(
    nodes: Iterable[NodeFree], keys: Sequence[OrderKey] = DEFAULT
) -> list[NodeFree]:
    """Return nodes in the order in which a job takes them."""
    if keys == DEFAULT:  # what the planner does in every pass
        return sorted(nodes, key=lambda n: (-n.cores, -n.memory_bytes, n.node_id))

    def place(node: NodeFree) -> tuple[int, ...]:
        values = {"cores": node.cores, "memory": node.memory_bytes}
        signed = [values[name] if up else -values[name] for name, up in keys]
        return (*signed, node.node_id)

    return sorted(nodes, key=place)
