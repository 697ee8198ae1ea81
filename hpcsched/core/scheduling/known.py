"""What plans remember of each other as long as the nodes stay the same.

It saves work and keeps a choice once made; without it a plan says the same of any one
moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.eligibility import ruled_out, units_in
from hpcsched.core.scheduling.fitting import misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.states import PendingReason
    from hpcsched.core.scheduling.proposal import Reservation
    from hpcsched.core.scheduling.snapshot import Demand, NodeFree

LIMIT = 10_000
"""Shapes remembered."""


class Known:
    """See the module; ``forget`` when a node comes, goes or changes."""

    __slots__ = ("_misfits", "_sizes", "open_ended")

    def __init__(self) -> None:
        self._misfits: dict[tuple[Any, ...], PendingReason | None] = {}
        self._sizes: dict[tuple[Any, ...], int] = {}
        self.open_ended: tuple[tuple[Any, ...], Reservation] | None = None

    def forget(self) -> None:
        """The nodes are others now."""
        self._misfits.clear()
        self._sizes.clear()
        self.open_ended = None

    def misfit(
        self, demand: Demand, nodes: Mapping[int, NodeFree]
    ) -> PendingReason | None:
        """Return why a job could not start on the nodes if they were idle, or None."""
        try:
            return self._misfits[demand.shape]
        except KeyError:
            pass
        if len(self._misfits) >= LIMIT:
            self._misfits.clear()
        reason = misfit(demand, list(nodes.values()))
        self._misfits[demand.shape] = reason
        return reason

    def unit_size(self, demand: Demand, nodes: Mapping[int, NodeFree]) -> int:
        """Return the cores of the largest unit that a job could get."""
        if demand.unit is UnitType.CORE:
            return 1
        if demand.shape not in self._sizes:
            if len(self._sizes) >= LIMIT:
                self._sizes.clear()
            able = (one for one in nodes.values() if ruled_out(one, demand) is None)
            sizes = (-(-n.cores // units_in(n, demand.unit)) for n in able)
            self._sizes[demand.shape] = max(sizes, default=1)
        return self._sizes[demand.shape]
