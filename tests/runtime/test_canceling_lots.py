"""Jobs that are alike and sleep are canceled together; nobody can tell (S3, 4.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.core.job.states import JobState
from hpcsched.runtime import canceling
from hpcsched.runtime.front import NewJob, Stop, WatchQuery
from hpcsched.store.base import JobQuery
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_sweep, once
from tests.support.manual_clock import ManualClock, settle
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

WHY = Stop(message="not needed any more")


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        yield bench


async def many(bench: Bench, count: int, *tasks: Any, **spec: Any) -> list[int]:
    new = [a_job(*tasks, **spec)] * count
    return list(await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False))


async def states(bench: Bench) -> dict[int, str]:
    rows = await bench.store.list_jobs(JobQuery(ascending=True, limit=10_000))
    return {row.job_id: JobState(row.state).label for row in rows}


CHOICES: dict[str, Callable[[Sequence[int]], Sequence[int]]] = {
    "all": lambda ids: ids,
    "a part": lambda ids: ids[7:30],
    "every second": lambda ids: ids[::2],
    "from the last to the first": lambda ids: ids[::-1],
    "of several kinds": lambda ids: [*ids[20:], *ids[:20]],
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("tasks", [(), (a_sweep(300),)], ids=["a task", "a sweep"])
@pytest.mark.parametrize("stop", [WHY, Stop(force=True)], ids=["message", "force"])
async def test_what_is_stored_is_what_is_stored_of_each_that_is_canceled(
    choice: str, tasks: Any, stop: Stop
) -> None:
    found = []
    for alike in (True, False):
        kinds = [a_job(*tasks), a_job(*tasks, priority=3000)]
        new = [kinds[0]] * 25 + [kinds[1]] * 15
        if not alike:
            new = [NewJob(spec=one.spec, tasks=one.tasks) for one in new]
        clock = ManualClock()
        async with Bench(clock, SeededIds(clock)) as bench:
            ids = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
            await clock.advance(5)
            chosen = CHOICES[choice](ids)
            views = await bench.head.cancel_jobs(ANN, chosen, stop, NO_ID)
            assert [view.job_id for view in views] == list(chosen)
            state = bench.store._state
            rest = [d.job_id for d in bench.world.scheduler.waiting.in_order()]
            feed = await bench.events()
            kept = (state.jobs, state.events, state.counters, state.books)
            found.append((list(views), kept, rest, feed, bench.world.tally.counts))

    assert found[0] == found[1]


async def test_none_of_them_wakes_for_it(bench: Bench) -> None:
    ids = await many(bench, 5000)
    await bench.head.cancel_jobs(ANN, ids, WHY, once("c"))

    assert bench.world.jobs.awake == 1  # the first is asked of the ledger by itself
    assert set((await states(bench)).values()) == {"Canceled"}
    assert not bench.world.scheduler.waiting
    assert bench.store.transactions < 12


async def test_those_before_a_refusal_are_canceled_and_none_behind_it(
    bench: Bench,
) -> None:
    ids = await many(bench, 30)
    await bench.head.cancel_jobs(ANN, [ids[20]], WHY, NO_ID)
    with pytest.raises(HpcError) as refused:
        await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)

    assert refused.value.reason == "INVALID_CANCEL_JOB_STATE"
    assert refused.value.facts["done"] == "20"
    after = list((await states(bench)).values())
    assert after == ["Canceled"] * 21 + ["Queued"] * 9


async def test_who_may_not_cancel_them_cancels_none(bench: Bench) -> None:
    ids = await many(bench, 4)
    with pytest.raises(HpcError) as refused:
        await bench.head.cancel_jobs(Caller(user="bob"), ids, WHY, NO_ID)

    assert refused.value.reason == "PERMISSION_DENIED"
    assert refused.value.facts["done"] == "0"
    assert set((await states(bench)).values()) == {"Queued"}


async def test_a_watcher_sees_each_of_them_end_with_its_state_before(
    bench: Bench,
) -> None:
    ids = await many(bench, 700)
    seen: list[Any] = []

    async def watch() -> None:
        async for item in bench.head.watch(ANN, WatchQuery(after=1400)):
            seen.extend(getattr(item, "events", ()))

    bench.begin(watch())
    await settle()
    await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)
    await bench.clock.advance(1)

    assert [(event.job_id, event.revision) for event in seen] == [(i, 3) for i in ids]
    assert {event.message for event in seen} == {WHY.message}
    own = [[c for c in event.changes if not c.task_id] for event in seen]
    moved = {(c.previous_state, c.state) for changes in own for c in changes}
    assert moved == {(int(JobState.QUEUED), int(JobState.CANCELED))}


def before_the_commit_of_many(bench: Bench, do: Callable[[], None]) -> None:
    """Do something just before jobs are changed together."""
    commit = bench.store.commit

    def watched(delta: Any, done: Any) -> None:
        if delta.alike is not None:
            do()
        commit(delta, done)

    bench.store.commit = watched


async def test_who_asks_for_one_meanwhile_waits_until_it_is_durable(
    bench: Bench,
) -> None:
    ids = await many(bench, 10)
    before_the_commit_of_many(bench, bench.store.hold)
    call = bench.begin(bench.head.cancel_jobs(ANN, ids, WHY, NO_ID))
    await settle()
    look = bench.begin(bench.job(ids[3]))
    await settle()
    assert not look.done()
    bench.store.release()

    assert (await look).state is JobState.CANCELED
    assert [view.state.label for view in await call] == ["Canceled"] * 10


async def test_what_is_not_written_is_not_canceled(bench: Bench) -> None:
    ids = await many(bench, 10)
    looks: list[Any] = []

    def trouble() -> None:
        bench.store.fail_next(OSError("full"))
        looks.append(bench.begin(bench.job(ids[6])))

    before_the_commit_of_many(bench, trouble)
    with pytest.raises(HpcError) as refused:
        await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)

    assert refused.value.reason == "DISK_FULL"
    assert refused.value.facts["done"] == "1"
    assert (await looks[0]).state is JobState.QUEUED
    assert list((await states(bench)).values()) == ["Canceled"] + ["Queued"] * 9
    assert [d.job_id for d in bench.world.scheduler.waiting.in_order()] == ids[1:]
    assert bench.world.tally.counts == {4: 9, 10: 1}
    await bench.node(cores=2)
    for job_id in ids[1:]:
        await bench.until_state(job_id, "Finished")


@pytest.mark.parametrize("crash_at", [1, 2, 3])
@pytest.mark.parametrize("written", [True, False])
async def test_a_call_that_is_repeated_after_a_crash_cancels_each_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crash_at: int, written: bool
) -> None:
    monkeypatch.setattr(canceling, "MOST", 40)
    ids = await many(bench, 170)
    bench.store.crash_at = bench.store.transactions + crash_at
    bench.store.written = written
    bench.begin(bench.head.cancel_jobs(ANN, ids, WHY, once("c")))
    await settle()
    assert bench.store.crashed
    await bench.crash()
    views = await bench.head.cancel_jobs(ANN, ids, WHY, once("c"))
    again = await bench.head.cancel_jobs(ANN, ids[:], WHY, once("c"))

    assert [view.job_id for view in views] == [view.job_id for view in again] == ids
    assert {view.state for view in views} == {JobState.CANCELED}
    assert len(bench.store._state.events) == 3 * len(ids)
    assert len(bench.store._state.books.history) == len(ids)
    (used,) = bench.store._state.books.used.values()
    assert used.canceled == len(ids)


async def test_a_child_of_one_of_them_learns_that_it_was_canceled(
    bench: Bench,
) -> None:
    ids = await many(bench, 6)
    child = await bench.submit(parent_job_ids=(ids[4],))
    await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)
    await settle()

    reason, _ = await bench.head.explain(ANN, child, None)
    assert re.sub(" ", "", reason) == "ParentJobsCanceledOrFailed"
    assert (await bench.job(ids[4])).child_job_ids == (child,)


async def test_who_waits_for_the_end_of_one_is_told(bench: Bench) -> None:
    ids = await many(bench, 6)
    wait = bench.begin(bench.head.wait_job(ANN, ids[4], 50.0))
    await settle()
    await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)

    assert (await wait).state is JobState.CANCELED


async def test_the_next_jobs_start_when_those_before_them_are_canceled(
    bench: Bench,
) -> None:
    ids = await many(bench, 6, min_cores=8, max_cores=8)
    behind = await bench.submit()
    await bench.node(cores=1)
    await bench.head.cancel_jobs(ANN, ids, WHY, NO_ID)
    await bench.until_state(behind, "Finished")
