"""What must not grow with the number of jobs and nodes, counted instead of timed."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

from hpcsched.core.job.resourcecheck import check_resources
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.scheduling.plan import propose
from hpcsched.core.scheduling.snapshot import Demand, Holder, NodeFree, Policy, Snapshot
from hpcsched.core.template.applying import check_sizes
from hpcsched.core.template.template import Template
from hpcsched.runtime.books import Books
from hpcsched.runtime.front import Stop
from hpcsched.runtime.waiting import Waiting
from tests.support.head_bench import ANN, NO_ID, Bench, a_job
from tests.support.store_kit import SqliteKit
from tests.support.work_count import Calls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

CORES = 16


def calls_of_a_pass(nodes: int, jobs: int) -> int:
    """Return the calls of a pass, jobs of many sizes, a tenth of the nodes free."""
    books, waiting = Books(), Waiting(lambda _: False)
    for node_id in range(1, nodes + 1):
        books.set_node(NodeFree(node_id, f"n{node_id}", CORES, 1 << 36), ready=True)
        if node_id > nodes // 10:
            books.book(node_id, {node_id: tuple(range(CORES))})
            books.note(node_id, Holder(job_id=node_id, order=(-1000, 1, node_id)))
    for number in range(jobs):
        kind, job_id = number % 50, 1_000_000 + number
        demand = Demand(job_id, (-2000, 1, job_id), 1 + kind, 1 + kind, 1 + kind % 4)
        waiting.put(job_id, demand)
    shot = Snapshot(
        now=1e6,
        demands=waiting,
        nodes=books.ready,
        open=list(books.open.values()),
        held=books.held,
        holders=books.holders,
        fragile=books.fragile.values(),
        limited=books.limited.values(),
        loose=list(books.loose.values()),
        known=books.known,
    )
    calls = Calls()
    with calls.counted():
        plan = propose(shot, Policy())
    assert plan.grants
    return calls.count


def test_a_pass_over_ten_times_the_jobs_and_nodes_costs_ten_times_as_much() -> None:
    small, large = calls_of_a_pass(500, 5_000), calls_of_a_pass(5_000, 50_000)

    assert large < 11 * small


async def test_a_queued_job_that_nobody_asked_for_takes_no_memory_of_its_own(
    clock: ManualClock, ids: SeededIds, tmp_path: Path
) -> None:
    kit = SqliteKit(tmp_path / "state.db")
    async with Bench(clock, ids, kit.store) as bench:
        new = [a_job()] * 5_000
        await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
        tracemalloc.start()
        try:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown / len(new) < 30

        calls = Calls()
        with calls.counted():
            await bench.stop()
            await bench.start()
        assert calls.count / (2 * len(new)) < 20
        assert bench.world.jobs.awake == 0
        found = range(1, 2 * len(new) + 1)
        await bench.head.cancel_jobs(ANN, found, Stop(), NO_ID)
        assert not bench.world.scheduler.waiting
    await kit.store.close()


def test_checking_new_jobs_leaves_nothing_behind() -> None:
    """Names of attributes that are made anew stay in the interpreter's cache."""
    spec, template = JobSpec(), Template(name="any")
    kept = []
    tracemalloc.start()
    try:
        for number in range(500):
            check_resources(spec)
            check_sizes(spec, template)
            kept.append(f"job {number:20}")  # no text is where another one was
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()

    core = snapshot.filter_traces([tracemalloc.Filter(True, "*/hpcsched/core/*")])
    assert sum(one.size for one in core.statistics("lineno")) < 2000
