"""Equal jobs that pass a node asleep leave what each of them would leave by itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.orders import EndJobs, StartAlike
from hpcsched.runtime.front import NewJob, Stop, WatchQuery
from hpcsched.runtime.sleepers import YOUNG_S
from tests.support.ahead_bench import RUN_S, many, node, taught, there
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_sweep, a_task
from tests.support.manual_clock import ManualClock, settle
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        node(bench).silent_starts = True
        node(bench).gathers = 0.02
        yield bench


async def at_its_end(bench: Bench, ids: Sequence[int]) -> set[str]:
    await bench.clock.advance(5)
    return {await bench.state(job_id) for job_id in ids}


def woken(bench: Bench) -> list[int]:
    """Return the jobs that ever had an actor, from now on."""
    found: list[int] = []
    actor = bench.world.jobs.actor

    def seen(job_id: int) -> Any:
        if bench.world.jobs.get(job_id) is None:
            found.append(job_id)
        return actor(job_id)

    bench.world.jobs.actor = seen
    return found


async def test_hardly_any_of_them_wakes(bench: Bench) -> None:
    awake = woken(bench)
    ids = await many(bench, 200)
    await bench.clock.advance(5)

    assert len(set(awake) & set(ids)) < 40
    assert await at_its_end(bench, ids) == {"Finished"}
    assert all(node(bench).starts[job_id, 1, 0, 1] == 1 for job_id in ids)
    assert not bench.world.scheduler.waiting
    assert not bench.world.scheduler.ahead.sent
    assert not bench.world.scheduler.books.claims
    assert bench.world.tally.counts == {8: 204}
    assert set(ids) <= set(node(bench).ended_jobs)
    assert not node(bench).overlaps
    bench.check_at_rest()


async def test_they_end_in_another_order_than_that_of_their_numbers(
    bench: Bench,
) -> None:
    first, second = RUN_S, RUN_S / 7
    node(bench).plan = lambda one: (first if one.key[0] % 3 else second, 0)
    waiting, ended = bench.world.scheduler.waiting, bench.world.jobs.have_ended
    left: list[int] = []

    def end(over: Sequence[int]) -> None:
        ended(over)
        left.extend(job_id for job_id in over if waiting.has(job_id))

    bench.world.jobs.have_ended = end
    ids = await many(bench, 120)
    await bench.clock.advance(5)

    assert not left
    assert not bench.world.scheduler.waiting
    assert not bench.world.scheduler.ahead.sent
    assert bench.world.tally.counts == {8: 124}
    assert await at_its_end(bench, ids) == {"Finished"}


async def test_their_history_is_that_of_jobs_that_differ() -> None:
    found = []
    for alike in (True, False):
        clock = ManualClock()
        async with Bench(clock, SeededIds(clock)) as bench:
            await taught(bench)
            node(bench).silent_starts = True
            node(bench).gathers = 0.02
            one = a_job()
            new = [one] * 60
            if not alike:
                new = [NewJob(spec=one.spec, tasks=one.tasks) for _ in new]
            ids = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
            assert await at_its_end(bench, ids) == {"Finished"}
            own: dict[int, list[Any]] = {job_id: [] for job_id in ids}
            for event in await bench.events():
                if event.job_id in own:
                    told = (event.revision, event.name, event.actor, event.changes)
                    own[event.job_id].append(told)
            ahead = {
                job_id: any(name == "JobSentAhead" for _, name, *_ in events)
                for job_id, events in own.items()
            }
            found.append({tuple(own[n]) for n in ids if ahead[n]})

    assert found[0] == found[1]


async def test_a_watcher_sees_each_of_them_in_every_state_in_order(
    bench: Bench,
) -> None:
    seen: dict[int, list[tuple[int, int]]] = {}

    async def watch() -> None:
        async for item in bench.head.watch(ANN, WatchQuery(jobs_only=True)):
            for event in getattr(item, "events", ()):
                moves = [(one.previous_state, one.state) for one in event.changes]
                seen.setdefault(event.job_id, []).extend(moves)

    bench.begin(watch())
    await settle()
    ids = await many(bench, 80)
    await bench.clock.advance(5)

    way = [(1, 2), (2, 3), (3, 5), (5, 6), (6, 7), (7, 8)]
    assert {job_id: seen[job_id][-4:] for job_id in ids} == dict.fromkeys(ids, way[2:])


async def test_those_that_fail_or_say_something_go_their_own_way(bench: Bench) -> None:
    await many(bench, 1)
    ids = await many(bench, 60)
    failing = set(ids[5::9])
    node(bench).plan = lambda one: (RUN_S, int(one.key[0] in failing))
    await bench.clock.advance(5)

    states = {job_id: await bench.state(job_id) for job_id in ids}
    assert {n for n, state in states.items() if state == "Failed"} == failing
    assert set(states.values()) == {"Finished", "Failed"}
    bench.check_at_rest()


async def test_one_that_is_canceled_among_them_ends_alone(bench: Bench) -> None:
    node(bench).plan = lambda _: None
    ids = await many(bench, 40)
    await settle()
    waiting = sorted(there(bench))
    assert len(waiting) > 8
    calls = [
        bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
        for job_id in waiting[3:5]
    ]
    await settle()
    node(bench).plan = lambda _: (RUN_S, 0)
    for key in list(node(bench).live):
        node(bench).exit(key)
    await bench.clock.advance(5)
    assert all(call.done() and not call.exception() for call in calls)

    states = {job_id: await bench.state(job_id) for job_id in ids}
    canceled = {n for n, state in states.items() if state == "Canceled"}
    assert canceled == set(waiting[3:5])
    assert set(states.values()) == {"Finished", "Canceled"}
    bench.check_at_rest()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("crash_at", range(1, 6))
async def test_each_ends_once_when_the_head_dies_at_any_commit(
    bench: Bench, crash_at: int, written: bool
) -> None:
    bench.store.crash_at = bench.store.transactions + crash_at
    bench.store.written = written
    bench.begin(bench.head.submit_jobs(ANN, [a_job()] * 60, NO_ID, validate_only=False))
    for _ in range(400):
        await bench.clock.advance(RUN_S / 2)
        if bench.store.crashed:
            break
    assert bench.store.crashed
    await bench.crash()
    await bench.clock.advance(10)

    stored = bench.store._state.jobs
    ids = [job_id for job_id in stored if job_id > 4]
    assert len(ids) in ({0, 60} if crash_at == 1 else {60})
    assert await at_its_end(bench, ids) <= {"Finished"}
    assert max(node(bench).starts.values()) == 1
    ended = Counter(row.job_id for row in bench.store._state.books.history)
    assert all(ended[job_id] == 1 for job_id in ids)
    bench.check_at_rest()


@pytest.mark.parametrize("refused_at", range(1, 7))
async def test_what_could_not_be_written_is_done_again(
    bench: Bench, refused_at: int
) -> None:
    ids = await many(bench, 60)
    await settle()
    commit, left = bench.store.commit, [refused_at]

    def refused(delta: Any, done: Any) -> None:
        if delta.alike is not None:
            left[0] -= 1
            if not left[0]:
                bench.store.fail_next(OSError("full"))
        commit(delta, done)

    bench.store.commit = refused
    await bench.clock.advance(20)

    assert await at_its_end(bench, ids) == {"Finished"}
    assert max(node(bench).starts.values()) == 1
    bench.check_at_rest()


async def test_who_asks_for_one_meanwhile_waits_until_its_end_is_durable(
    bench: Bench,
) -> None:
    ids = await many(bench, 60)
    looks: list[Any] = []
    commit = bench.store.commit

    def held(delta: Any, done: Any) -> None:
        if delta.alike is not None and delta.history and not looks:
            bench.store.hold()
            first = delta.alike.ids[1]
            looks.append(
                (first, bench.begin(bench.head.get_job(ANN, first, full=True)))
            )
        commit(delta, done)

    bench.store.commit = held
    await bench.clock.advance(1)
    job_id, look = looks[0]
    assert job_id in ids
    assert not look.done()
    bench.store.release()
    await bench.clock.advance(1)

    assert (await look).state.label == "Finished"


async def test_a_start_waits_for_its_end_as_long_as_others_wait_behind_it(
    bench: Bench,
) -> None:
    node(bench).silent_starts = False
    node(bench).plan = lambda _: None
    ids = await many(bench, 40)
    await settle()
    for key in list(node(bench).live):
        node(bench).exit(key)
    await bench.clock.advance(1.5 * node(bench).gathers)
    first = [key[0] for key in node(bench).live]
    assert len(first) == 2
    assert await rows_in_state(bench, first) == {5}
    claims = bench.world.scheduler.books.claims[1]
    there_on = [process.core for process in node(bench).live.values()]
    assert [claims[job_id] for job_id in first] == [(core,) for core in there_on]
    await bench.clock.advance(2 * YOUNG_S)

    assert await rows_in_state(bench, first) == {6}
    assert {await bench.state(job_id) for job_id in first} == {"Running"}
    assert set(first) <= set(ids)


async def rows_in_state(bench: Bench, ids: Sequence[int]) -> set[int]:
    """Return the states that are stored of jobs, without waking one."""
    return {bench.store._state.jobs[job_id].row.state for job_id in ids}


async def test_sweeps_and_wide_jobs_are_not_touched_by_it(bench: Bench) -> None:
    sweep = await bench.submit(a_sweep(300))
    wide = await many_of(bench, a_job(a_task(min_cores=2, max_cores=2)), 5)
    await bench.clock.advance(30)

    assert {await bench.state(job_id) for job_id in [sweep, *wide]} == {"Finished"}


async def many_of(bench: Bench, one: NewJob, count: int) -> Sequence[int]:
    return await bench.head.submit_jobs(ANN, [one] * count, NO_ID, validate_only=False)


@pytest.mark.parametrize("takes", [True, False], ids=["new", "earlier version"])
async def test_an_agent_is_told_of_all_at_once_if_it_takes_that(
    bench: Bench, takes: bool
) -> None:
    await node(bench).connect(takes_alike=takes)
    await bench.clock.advance(1)
    heard = len(node(bench).links)
    ids = await many(bench, 80)
    await bench.clock.advance(5)

    frames = [frame for link in node(bench).links[heard - 1 :] for frame in link.frames]
    orders = [order for frame in frames for order in frame.orders]
    whole = [one for one in orders if isinstance(one, (StartAlike, EndJobs))]
    assert bool(whole) is takes
    assert await at_its_end(bench, ids) == {"Finished"}
    assert all(node(bench).starts[job_id, 1, 0, 1] == 1 for job_id in ids)
    assert set(ids) <= set(node(bench).ended_jobs)
