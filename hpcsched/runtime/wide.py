"""Jobs whose tasks may be wider than every node, and what jobs are told of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.commands import GrantCores
from hpcsched.core.scheduling.needing import largest, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.scheduling.snapshot import Demand
    from hpcsched.runtime.books import Books, Cores


class Wide:
    """Lets a process have cores of several nodes where no single one has enough."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._demands: dict[int, Demand] = {}

    def eased(self, demand: Demand) -> Demand:
        """Return the demand with the width that matters now."""
        if demand.widest <= 1:
            return demand
        return spread(demand, self._books.ready.values())

    def note(self, job_id: int, demand: Demand | None) -> None:
        """Remember a demand that may have to be seen otherwise with other nodes."""
        if demand is not None and demand.widest > 1:
            self._demands[job_id] = demand
        else:
            self._demands.pop(job_id, None)

    def again(self) -> Iterator[Demand]:
        """Yield, as they are seen now, the demands for which nodes may matter."""
        return map(self.eased, list(self._demands.values()))


def order_of(
    books: Books, demand: Demand, grants: Cores, *, backfill: bool = False
) -> GrantCores:
    """Return the word to a job that cores are its own, and what it may need to know."""
    there = [books.nodes[node_id] for node_id in grants]
    return GrantCores(
        cores=grants,
        backfill=backfill,
        shapes={one.node_id: (one.cores, one.sockets) for one in there},
        sites={one.node_id: (one.name, tuple(sorted(one.groups))) for one in there},
        largest=largest(demand, books.ready.values()) if demand.widest > 1 else 0,
    )
