"""Jobs of one call that ask for the same are kept as one, and nobody can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.caller import Caller
from hpcsched.core.task.states import TaskType
from hpcsched.runtime import feed
from hpcsched.runtime.front import Edit, NewJob, Stop, WatchQuery
from hpcsched.store.base import JobQuery
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_job, a_sweep, a_task
from tests.support.manual_clock import ManualClock, settle
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "one task": ((), {}),
    "several tasks": ((a_task(name="a"), a_task(name="b", depends_on=("a",))), {}),
    "a sweep": ((a_sweep(1000),), {}),
    "a sweep and a task": ((a_sweep(300), a_task(min_cores=2, max_cores=2)), {}),
    "wide tasks": ((a_task(min_cores=3, max_cores=3),), {}),
    "with a limit": ((), {"runtime": 60.0, "priority": 3000}),
    "with labels": ((), {"custom_properties": {"a": "1", "b": "2"}}),
    "with text": ((), {"name": "submit_order", "project": "p" * 80}),
    "exclusive": ((), {"is_exclusive": True}),
    "held": ((), {"hold_until": 1_800_086_400.0}),
    "with a preparation": ((a_task(type=TaskType.NODE_PREP), a_task()), {}),
    "a service": ((a_task(type=TaskType.SERVICE),), {}),
    "fixed size": ((a_sweep(9),), {"min_cores": 2, "max_cores": 4}),
}


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        yield bench


async def many(bench: Bench, count: int, new: NewJob | None = None) -> Sequence[int]:
    """Submit so many jobs that are alike."""
    same = [new or a_job()] * count
    return await bench.head.submit_jobs(ANN, same, NO_ID, validate_only=False)


async def modify(bench: Bench, job_id: int, **changes: Any) -> None:
    await bench.head.modify_job(ROOT, job_id, Edit(changes=changes), NO_ID)


def awake(bench: Bench) -> int:
    awake: int = bench.world.jobs.awake
    return awake


def everything(bench: Bench) -> tuple[Any, ...]:
    state = bench.store._state
    return (state.jobs, state.events, state.counters, state.books, state.last_seq)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_stored_of_jobs_that_are_alike_is_what_is_stored_of_each(
    kind: str,
) -> None:
    tasks, spec = KINDS[kind]
    found = []
    for alike in (True, False):
        one = a_job(*tasks, **spec)
        new = [one] * 40
        if not alike:
            new = [NewJob(spec=one.spec, tasks=one.tasks) for _ in new]
        clock = ManualClock()
        async with Bench(clock, SeededIds(clock)) as bench:
            await bench.submit(a_task(name="first"))
            await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
            await bench.submit(a_task(name="last"))
            found.append((everything(bench), bench.world.tally.counts))

    assert found[0] == found[1]


async def test_a_queued_job_that_nobody_asked_for_has_no_actor(bench: Bench) -> None:
    await many(bench, 500)

    assert awake(bench) == 0
    assert bench.world.tally.counts == {4: 500}


async def test_a_job_that_is_looked_at_is_as_all_others_are(bench: Bench) -> None:
    ids = await many(bench, 10)
    seen = [await bench.head.get_job(ANN, job_id, full=True) for job_id in ids[3:6]]

    assert awake(bench) == 3
    assert [view.job_id for view in seen] == list(ids[3:6])
    assert {view.state.label for view in seen} == {"Queued"}
    assert bench.world.tally.counts == {4: 10}


async def test_jobs_that_are_alike_start_in_the_order_of_their_numbers(
    bench: Bench,
) -> None:
    ids = await many(bench, 20)
    await bench.head.get_job(ANN, ids[7], full=False)
    await bench.head.cancel_jobs(ANN, [ids[11]], Stop(), NO_ID)
    agent = await bench.node(cores=1)
    agent.plan = lambda _: (0.5, 0)
    await bench.clock.advance(30)

    stored = await bench.store.list_jobs(JobQuery(ascending=True))
    started = [row for row in stored if row.job_id != ids[11]]
    times = [row.start_time or 0.0 for row in started]
    assert len(times) == 19
    assert times == sorted(set(times))
    assert {await bench.state(row.job_id) for row in started} == {"Finished"}


async def test_a_change_of_priority_moves_one_of_them_and_no_other(
    bench: Bench,
) -> None:
    ids = await many(bench, 5)
    await modify(bench, ids[3], priority=4000)
    waiting = bench.world.scheduler.waiting

    order = [demand.job_id for demand in waiting.in_order()]
    assert order == [ids[3], ids[0], ids[1], ids[2], ids[4]]
    assert [waiting.place(job_id) for job_id in ids] == [1, 2, 3, 0, 4]


async def test_a_watcher_sees_the_events_of_each_in_order(bench: Bench) -> None:
    seen: list[Any] = []

    async def watch() -> None:
        async for item in bench.head.watch(ANN, WatchQuery()):
            seen.extend(getattr(item, "events", ()))

    bench.begin(watch())
    await settle()
    ids = await many(bench, 700)
    await bench.clock.advance(1)

    told = [(event.job_id, event.revision) for event in seen]
    assert told == [(job_id, revision) for job_id in ids for revision in (1, 2)]
    assert [event.seq for event in seen] == list(range(1, 1401))


async def test_a_watcher_sees_more_of_them_than_are_kept_in_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TAIL", 300)
    seen: list[Any] = []

    async def watch() -> None:
        async for item in bench.head.watch(ANN, WatchQuery()):
            seen.extend(getattr(item, "events", ()))

    bench.begin(watch())
    await settle()
    first = await many(bench, 20)
    ids = [*first, *await many(bench, 700), *await many(bench, 20)]
    await bench.clock.advance(1)

    assert [event.job_id for event in seen] == [i for i in ids for _ in range(2)]
    assert [event.seq for event in seen] == list(range(1, 1481))


async def test_who_watches_later_reads_the_same_from_the_store(bench: Bench) -> None:
    ids = await many(bench, 700)
    log = bench.world.feed
    seen: list[Any] = []
    while found := await log.read(len(seen)):
        seen.extend(found)

    assert [event.job_id for event in seen] == [i for i in ids for _ in range(2)]
    assert [event.seq for event in seen] == list(range(1, 1401))


async def test_a_head_that_starts_again_lets_them_sleep_where_they_stood(
    bench: Bench,
) -> None:
    first = await many(bench, 30)
    other = await many(bench, 30, a_job(a_sweep(50), priority=3000))
    alone = await bench.submit(a_task(name="alone"))
    more = await many(bench, 30)
    await bench.head.cancel_jobs(ANN, [first[4]], Stop(), NO_ID)
    await modify(bench, first[9], priority=1000)
    want = list(bench.world.scheduler.waiting.in_order())
    counts = bench.world.tally.counts
    before = everything(bench)
    await bench.crash()

    waiting = bench.world.scheduler.waiting
    assert list(waiting.in_order()) == want
    assert bench.world.tally.counts == counts
    assert everything(bench)[:2] == before[:2]
    assert awake(bench) == 2  # the one that is alone, and the one that was changed
    assert [lot.ids for lot in waiting.lots()] == [
        range(first[0], first[4]),
        range(first[5], first[9]),
        range(first[10], first[-1] + 1),
        range(other[0], other[-1] + 1),
        range(more[0], more[-1] + 1),
    ]
    last = await bench.submit()
    assert [demand.job_id for demand in waiting.in_order()][-2:] == [last, first[9]]
    assert (await bench.job(alone)).state.label == "Queued"


async def test_after_a_restart_they_run_to_their_end(bench: Bench) -> None:
    ids = await many(bench, 20)
    await bench.head.get_job(ANN, ids[3], full=False)
    await bench.crash()
    assert awake(bench) == 0
    await bench.node(cores=3)
    for job_id in ids:
        await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_child_of_one_of_them_is_told_how_it_ends(bench: Bench) -> None:
    ids = await many(bench, 3)
    child = await bench.submit(parent_job_ids=(ids[1],))
    await bench.head.cancel_jobs(ANN, [ids[1]], Stop(), NO_ID)
    await settle()

    reason, _ = await bench.head.explain(ANN, child, None)
    assert reason == "ParentJobsCanceledOrFailed"


async def test_their_pool_counts_them(
    bench: Bench,
) -> None:
    ids = await many(bench, 4)

    assert sorted(bench.world.jobs.in_pool("Default")) == list(ids)
    assert list(bench.world.jobs.pools()) == ["Default"] * 4


async def test_jobs_that_sleep_are_in_the_queue_of_their_pool(bench: Bench) -> None:
    ids = await many(bench, 4)
    await bench.head.set_parameters(ROOT, {"EnablePools": "True"}, NO_ID)
    await bench.clock.advance(1)

    pools = bench.world.scheduler.waiting.pools(on=True)
    assert [demand.job_id for demand in pools["Default"]] == list(ids)


async def test_somebody_who_asks_for_a_number_before_it_is_given_gets_the_job(
    bench: Bench,
) -> None:
    bench.store.hold()
    call = bench.begin(many(bench, 4))
    await settle()
    early = bench.world.jobs.actor(2)
    bench.store.release()
    await call
    await settle()

    assert early.job is not None or bench.world.jobs.get(2) is not early
    assert (await bench.head.get_job(ANN, 2, full=False)).state.label == "Queued"
    assert bench.world.tally.counts == {4: 4}


async def test_a_full_disk_leaves_no_trace_of_them(bench: Bench) -> None:
    bench.store.fail_next(OSError("full"))
    with pytest.raises(Exception, match="full"):
        await many(bench, 4)

    assert not bench.world.scheduler.waiting
    assert bench.world.tally.counts == {}
    assert await bench.store.load_job(1) is None


async def test_others_may_not_cancel_one_of_them(bench: Bench) -> None:
    ids = await many(bench, 4)
    with pytest.raises(Exception, match="bob"):
        await bench.head.cancel_jobs(Caller(user="bob"), ids, Stop(), NO_ID)

    assert bench.world.tally.counts == {4: 4}
