"""What one job gets where nobody else wants anything, without a plan."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import UnitType
from hpcsched.core.scheduling.fitting import fit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.snapshot import Demand, NodeFree
    from hpcsched.core.settings import Settings

_FIRST: Final = 32


def alone(demand: Demand, nodes: Iterable[NodeFree], settings: Settings) -> Grant:
    """Return what a plan would give to the only job that wants something.

    Args:
        demand: Of a job that holds nothing.
        nodes: Those with free cores, in the planner's order.
        settings: Those in force.

    Returns:
        Node to cores, all that it can use; empty: only a plan can tell.
    """
    if settings.mode != "Queued" or settings.pools:
        return {}  # shares count
    if demand.order_by or demand.unit is not UnitType.CORE:
        return {}
    grant = fit(demand, list(islice(nodes, _FIRST)), {})
    return grant if sum(map(len, grant.values())) >= demand.most else {}
