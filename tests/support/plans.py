"""Values for tests of plans: nodes, and who holds or wants what of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcsched.core.scheduling.plan import plan
from hpcsched.core.scheduling.snapshot import Demand, Holder, NodeFree, Policy

if TYPE_CHECKING:
    from hpcsched.core.scheduling.proposal import Plan


def order(priority: int, number: int) -> tuple[int, int, int]:
    """Return a place in the queue."""
    return (-priority, 1, number)


@dataclass
class Cluster:
    """Nodes, and who holds what of them.

    Attributes:
        nodes: Node to number of cores.
    """

    nodes: dict[int, int]
    now: float = 1000.0
    held: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    holders: dict[int, Holder] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)

    def taken(self, node_id: int) -> set[int]:
        """Return the cores of a node that jobs hold."""
        return {c for cores in self.held.values() for c in cores.get(node_id, ())}

    def free(self, node_id: int) -> list[int]:
        """Return the cores of a node that nobody holds."""
        taken = self.taken(node_id)
        return [core for core in range(self.nodes[node_id]) if core not in taken]

    def runs(
        self, job_id: int, cores: dict[int, int], *, priority: int = 2000, **more: Any
    ) -> Cluster:
        """Let a job hold so many cores by node."""
        found = {n: tuple(self.free(n)[:count]) for n, count in cores.items()}
        assert all(len(found[n]) == count for n, count in cores.items())
        self.held[job_id] = found
        self.holders[job_id] = Holder(
            job_id=job_id, order=order(priority, job_id), **more
        )
        return self

    def waits(
        self,
        job_id: int,
        least: int = 1,
        most: int | None = None,
        *,
        priority: int = 2000,
        **more: Any,
    ) -> Cluster:
        """Let a job wait in the queue."""
        self.demands.append(
            Demand(
                job_id=job_id,
                order=order(priority, job_id),
                least=least,
                most=max(least, most or least),
                **more,
            )
        )
        return self

    def grows(self, job_id: int, most: int, **more: Any) -> Cluster:
        """Let a running job want more."""
        holder = self.holders[job_id]
        self.demands.append(
            Demand(
                job_id=job_id,
                order=holder.order,
                least=0,
                most=most,
                running=True,
                pool=holder.pool,
                **more,
            )
        )
        return self

    def node_list(self) -> list[NodeFree]:
        """Return the nodes as a snapshot has them."""
        made = []
        for node_id, cores in self.nodes.items():
            jobs = {job for job, held in self.held.items() if held.get(node_id)}
            alone = [job for job in jobs if self.holders[job].exclusive]
            made.append(
                NodeFree(
                    node_id,
                    f"n{node_id}",
                    cores,
                    free=self.free(node_id),
                    jobs=jobs,
                    exclusive=alone[0] if alone else 0,
                )
            )
        return made

    def plan(self, **policy: Any) -> Plan:
        """Return the plan; without preemption if not said."""
        return plan(
            self.demands,
            self.node_list(),
            self.held,
            self.holders.values(),
            self.now,
            Policy(**policy),
        )
