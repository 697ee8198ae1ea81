"""What the planner sees: values only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcsched.core.job.states import PendingReason


@dataclass(slots=True)
class NodeFree:
    """A node that takes work.

    Attributes:
        free: Core ids that nobody holds, ascending.
        jobs: Jobs that hold cores there.
        exclusive: The job that has it alone, or 0.
        sockets: Its core ids are spread over them in order, as evenly as can be.
        groups: Names of its node groups.
    """

    node_id: int
    name: str
    cores: int
    memory_bytes: int = 0
    free: list[int] = field(default_factory=list)
    jobs: set[int] = field(default_factory=set)
    exclusive: int = 0
    sockets: int = 1
    groups: frozenset[str] = frozenset()

    def copy(self) -> NodeFree:
        """Return one that a plan may use up."""
        return replace(self, free=list(self.free), jobs=set(self.jobs))


@dataclass(frozen=True, slots=True)
class Demand:
    """What one job wants.

    Attributes:
        order: Place in the queue; smaller is earlier.
        least: Cores without which a queued job does not start.
        most: Cores that it can use now, those it holds included.
        width: Cores of its widest waiting process: a node with fewer is of no use.
        closed: Nodes on which it starts nothing more; it is about to leave them.
        running: It has started and wants more.
        requested: The only nodes it may use; empty: any.
        excluded: Nodes that it may not use.
    """

    job_id: int
    order: tuple[int, int, int]
    least: int
    most: int
    width: int = 1
    running: bool = False
    exclusive: bool = False
    requested: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    closed: frozenset[int] = frozenset()


@dataclass(slots=True)
class Plan:
    """What the planner proposes.

    Attributes:
        grants: Job to node to all the cores that it then holds there.
        never: Job to PendingReason, for queued jobs that were passed over: the nodes
            that there are can not run them, whatever else runs there.
    """

    grants: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    never: dict[int, PendingReason] = field(default_factory=dict)
