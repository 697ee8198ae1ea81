"""Accounting of a living head: rows, sums, and totals that are read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.accounting import decode_end
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.front import Stop
from hpcsched.runtime.tally import Tally
from hpcsched.store.errors import StoreFullError
from hpcsched.store.history import HistoryQuery, UsageQuery
from tests.support.head_bench import ANN, BOB, NO_ID, ROOT, a_sweep, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench

DAY = 86400.0


async def ends(bench: Bench, **query: Any) -> list[tuple[int, int, int]]:
    rows = await bench.head.job_history(ANN, HistoryQuery(**query))
    return [(row.job_id, row.requeue_id, row.state) for row in rows]


async def usage(bench: Bench, *by: str, **query: Any) -> list[Any]:
    today = int(bench.clock.wall() // DAY)
    days = {"first_day": today - 9, "last_day": today}
    return list(await bench.head.usage(ANN, UsageQuery(**{**days, "by": by, **query})))


async def test_each_end_of_a_job_is_kept_when_the_job_is_gone(bench: Bench) -> None:
    await bench.node()
    job_id = await bench.submit(a_task(), project="sky")
    await bench.until_state(job_id, "Finished")
    other = await bench.submit(a_task(), caller=BOB, min_cores=99, max_cores=99)
    await bench.head.cancel_jobs(BOB, [other], Stop(message="no"), NO_ID)
    await bench.head.requeue_jobs(BOB, [other], NO_ID)
    await bench.head.cancel_jobs(ROOT, [other], Stop(message="no"), NO_ID)
    await bench.head.forget_jobs(ANN, [job_id], NO_ID)
    await bench.crash()

    assert await ends(bench) == [(job_id, 0, 8), (other, 0, 10), (other, 1, 10)]
    assert await ends(bench, job_id=other, owner="ann") == []
    (row,) = await bench.head.job_history(ANN, HistoryQuery(job_id=job_id))
    end = decode_end(row.requeue_id, row.state, row.event_time, row.body)
    assert (end.tasks, end.finished_tasks, row.project) == (1, 1, "sky")


async def test_what_is_held_and_what_was_held_are_told_apart(bench: Bench) -> None:
    agent = await bench.node(cores=2)
    agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(2))
    await settle()

    (now,) = await bench.head.held(ANN)
    assert (now.job_id, now.node, now.cores, now.end_time) == (
        job_id,
        "n1",
        "0-1",
        None,
    )
    assert await bench.head.held(ANN, node="n2") == []
    await bench.crash()
    (again,) = await bench.head.held(ANN, job_id=job_id)
    assert again == now
    assert await bench.head.allocations(ANN, HistoryQuery()) == []

    await bench.clock.advance(30)
    (so_far,) = await usage(bench, "owner")
    assert (so_far.owner, so_far.core_ms >= 60_000) == ("ann", True)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(force=True), NO_ID)
    await bench.until_state(job_id, "Canceled")

    assert await bench.head.held(ANN) == []
    past = await bench.head.allocations(ANN, HistoryQuery(job_id=job_id))
    assert {view.cores for view in past} <= {"0-1", "0", "1"}
    assert past[0].start_time == now.start_time
    (used,) = await usage(bench, "owner")
    assert (used.canceled, used.core_ms >= so_far.core_ms) == (1, True)


async def test_a_time_over_midnight_is_split_between_its_days(bench: Bench) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: None
    bench.clock.jump_wall(DAY - bench.clock.wall() % DAY - 10.0)
    job_id = await bench.submit()
    await bench.clock.advance(20)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(force=True), NO_ID)
    await bench.until_state(job_id, "Canceled")

    first, second = await usage(bench, "day")

    assert second.day == first.day + 1
    assert first.core_ms == pytest.approx(10_000, abs=500)
    assert second.core_ms == pytest.approx(10_000, abs=1000)
    assert (first.canceled, second.canceled) == (0, 1)


async def test_nodes_have_a_history(bench: Bench) -> None:
    await bench.node("n1")
    await bench.node("n2")
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="disk")

    found, more = await bench.head.node_history(ANN, "n1", (None, None), 0, 100)

    assert more == 0
    assert (found[-1].name, found[-1].message) == ("NodeOffline", "disk")
    assert {view.node for view in found} == {"n1"}
    page, more = await bench.head.node_history(ANN, "", (None, None), 0, 1)
    assert (len(page), more) == (1, page[0].seq)
    rest, more = await bench.head.node_history(ANN, "", (None, None), more, 100)
    assert rest[0].seq > page[0].seq
    late = bench.clock.wall() + 1
    assert await bench.head.node_history(ANN, "", (late, None), 0, 9) == ([], 0)


def totals(bench: Bench) -> dict[str, int]:
    counts = bench.world.tally.counts
    return {TaskState(state).label: count for state, count in counts.items()}


async def test_totals_follow_every_turn_of_every_job_and_survive_the_head(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=2)
    assert totals(bench) == {}
    done = await bench.submit(a_sweep(5))
    await bench.until_state(done, "Finished")
    agent.plan = lambda _: None
    live = await bench.submit(a_sweep(6))
    await settle()
    canceled = await bench.submit(min_cores=99, max_cores=99)
    await bench.head.cancel_jobs(ANN, [canceled], Stop(), NO_ID)
    seen = totals(bench)
    assert (seen["Finished"], seen["Canceled"], sum(seen.values())) == (5, 1, 12)
    await bench.crash()
    assert sum(totals(bench).values()) == 12
    assert totals(bench)["Finished"] == 5

    await bench.head.requeue_jobs(ANN, [canceled], NO_ID)
    assert "Canceled" not in totals(bench)
    await bench.head.cancel_jobs(ANN, [canceled], Stop(), NO_ID)
    await bench.head.forget_jobs(ANN, [canceled, done], NO_ID)

    assert sum(totals(bench).values()) == 6
    stored = await bench.world.store.load_cluster()
    assert Tally(stored.counters).counts == {}
    await bench.head.cancel_jobs(ANN, [live], Stop(force=True), NO_ID)
    await bench.until_state(live, "Canceled")
    stored = await bench.world.store.load_cluster()
    assert Tally(stored.counters).counts == bench.world.tally.counts


async def test_what_was_not_committed_is_in_no_total(bench: Bench) -> None:
    job_id = await bench.submit(min_cores=99, max_cores=99)
    bench.store.fail_next(StoreFullError("full"))
    with pytest.raises(HpcError):
        await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.clock.advance(2)

    assert totals(bench) == {"Queued": 1}
    assert await ends(bench) == []
