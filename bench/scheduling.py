"""What one pass of the scheduler costs: python -m bench.scheduling.

A full queue, ten thousand nodes, and the moments that call for a pass: a full cluster,
one free node, many, a job that must preempt. Times are those of the plan alone, on
books that are kept up to date as the head's are.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.scheduling.plan import propose
from hpcsched.core.scheduling.snapshot import (
    Demand,
    Holder,
    NodeFree,
    Policy,
    Snapshot,
)
from hpcsched.runtime.books import Books
from hpcsched.runtime.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.scheduling.proposal import Plan

CORES = 16
NOW = 1e6
LOW, NORMAL, HIGH = 1000, 2000, 3000


def demand(job_id: int, priority: int = NORMAL, least: int = 1) -> Demand:
    """Return one of fifty kinds of waiting jobs."""
    kind = job_id % 50
    return Demand(
        job_id=job_id,
        order=(-priority, 1, job_id),
        least=least if least > 1 else 1 + kind,
        most=max(least, 1 + kind),
        width=1 + kind % 4,
        runtime=float(60 * kind),
    )


class Scene:
    """A cluster whose nodes are each held by one job, and a queue."""

    def __init__(self, nodes: int, jobs: int, *, can_preempt: bool = False) -> None:
        self.books = Books()
        self.waiting = Waiting(lambda _: False)
        for node_id in range(1, nodes + 1):
            node = NodeFree(node_id, f"n{node_id}", CORES, 1 << 36)
            self.books.set_node(node, ready=True)
            self.books.book(node_id, {node_id: tuple(range(CORES))})
            holder = Holder(
                job_id=node_id,
                order=(-LOW, 1, node_id),
                start=NOW - node_id,
                end=NOW + 3600 + node_id if node_id % 2 else float("inf"),
                can_preempt=can_preempt,
            )
            self.books.note(node_id, holder)
        for number in range(jobs):
            job_id = 1_000_000 + number
            self.waiting.put(job_id, demand(job_id))

    def free(self, *nodes: int) -> Scene:
        """Let the jobs on some nodes end."""
        for node_id in nodes:
            self.books.book(node_id, {})
            self.books.note(node_id, None)
        return self

    def snapshot(self) -> Snapshot:
        """Return what the actor would plan on."""
        books = self.books
        return Snapshot(
            now=NOW,
            demands=self.waiting,
            nodes=books.ready,
            open=list(books.open.values()),
            held=books.held,
            holders=books.holders,
            fragile=books.fragile.values(),
            limited=books.limited.values(),
            loose=list(books.loose.values()),
            known=books.known,
        )


def measure(
    name: str, make: Callable[[], Scene], policy: Policy, repeats: int
) -> tuple[str, float, float, Plan]:
    """Return the name, the first and the best later time of a pass, and its plan."""
    scene = make()
    times = []
    for _ in range(max(2, repeats)):
        began = time.perf_counter()
        plan = propose(scene.snapshot(), policy)
        times.append(time.perf_counter() - began)
    return name, times[0], min(times[1:]), plan


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    nodes, jobs = chosen.nodes, chosen.jobs
    graceful = Policy(preemption="Graceful")
    large = demand(1, NORMAL + 1, CORES * nodes // 2)
    urgent = demand(2, HIGH, 64)

    def scene(*, can_preempt: bool = False) -> Scene:
        return Scene(nodes, jobs, can_preempt=can_preempt)

    def with_(job: Demand, made: Scene) -> Scene:
        made.waiting.put(job.job_id, job)
        return made

    rows = [
        measure("full cluster", scene, graceful, chosen.repeats),
        measure("one node free", lambda: scene().free(1), graceful, chosen.repeats),
        measure(
            "a tenth of the nodes free",
            lambda: scene().free(*range(1, nodes // 10)),
            graceful,
            chosen.repeats,
        ),
        measure(
            "a large job waits, one node free, lookahead 1000",
            lambda: with_(large, scene().free(1)),
            graceful,
            chosen.repeats,
        ),
        measure(
            "the same, the whole queue looked at",
            lambda: with_(large, scene().free(1)),
            replace(graceful, lookahead=-1),
            chosen.repeats,
        ),
        measure(
            "one urgent job preempts 64 cores",
            lambda: with_(urgent, scene(can_preempt=True)),
            replace(graceful, lookahead=0),
            chosen.repeats,
        ),
        measure(
            "everything preempts (100,000 of normal over low priority)",
            lambda: scene(can_preempt=True),
            graceful,
            1,
        ),
        measure(
            "Balanced, shares looked at",
            lambda: scene().free(1),
            replace(graceful, balanced=True, rebalance=True),
            chosen.repeats,
        ),
    ]
    print(f"{nodes} nodes of {CORES} cores, {jobs} queued jobs; milliseconds per pass")
    print(f"{'':58} {'first':>9} {'again':>9}  grants  preempted")
    for name, first, later, plan in rows:
        times = f"{first * 1e3:9.2f} {later * 1e3:9.2f}"
        print(f"{name:58} {times} {len(plan.grants):7} {len(plan.preemptions):10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
