"""Durable, then visible, then acted on (ARCHITECTURE.md 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.runtime.front import Stop, TaskPage, WatchQuery
from hpcsched.store.errors import StoreFullError
from tests.support.head_bench import ANN, NO_ID, a_job, a_sweep, a_task, turns_until
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench


def ordered(agent: FakeAgent, kind: type) -> int:
    return sum(isinstance(order, kind) for order in agent.orders)


async def test_a_new_job_is_nowhere_before_its_commit(bench: Bench) -> None:
    agent = await bench.node()
    before = bench.world.feed.last
    bench.store.hold()

    call = bench.begin(bench.submit())
    await bench.clock.advance(5)

    assert not call.done()
    assert bench.world.feed.last == before
    assert not ordered(agent, StartTasks)

    bench.store.release()
    await settle()
    assert call.done()
    assert bench.world.feed.last > before


async def test_no_task_starts_before_the_start_is_durable(bench: Bench) -> None:
    job_id = await bench.submit()
    agent = await bench.node()
    assert ordered(agent, StartTasks) == 1  # with a store that answers

    call = bench.begin(bench.submit_two())
    await turns_until(call)
    bench.store.hold()  # the creation is written, the grants are not
    await bench.clock.advance(5)
    starts = [o for o in agent.orders if isinstance(o, StartTasks)]

    assert {o.job_id for o in starts} == {job_id}

    bench.store.release()
    await settle()
    starts = [o for o in agent.orders if isinstance(o, StartTasks)]
    assert {o.job_id for o in starts} > {job_id}


async def test_a_job_for_which_cores_wait_starts_in_the_commit_that_makes_it(
    bench: Bench,
) -> None:
    agent = await bench.node()
    bench.store.hold()
    before = bench.store.transactions

    call = bench.begin(bench.submit())
    await bench.clock.advance(5)
    assert not ordered(agent, StartTasks)
    bench.store.release()
    await turns_until(call)

    assert await bench.state(call.result()) == "Running"
    assert ordered(agent, StartTasks) == 1
    assert bench.store.transactions - before <= 2  # the second: its process has started


async def test_a_job_that_the_disk_refuses_gives_back_the_cores_that_waited_for_it(
    bench: Bench,
) -> None:
    await bench.node()
    bench.store.fail_next(StoreFullError("full"))

    with pytest.raises(HpcError, match="disk is full"):
        await bench.submit()

    job_id = await bench.submit(a_task(min_cores=2))
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_cancel_is_not_answered_nor_sent_before_it_is_durable(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    assert await bench.state(job_id) == "Running"
    bench.store.hold()

    call = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
    await bench.clock.advance(3)

    assert not call.done()
    assert not ordered(agent, StopTasks)

    bench.store.release()
    await settle()
    assert ordered(agent, StopTasks) == 1
    (view,) = await call
    assert view.state.label in ("Canceling", "Canceled")


async def test_a_read_waits_for_the_commit_before_it(bench: Bench) -> None:
    job_id = await bench.submit()
    bench.store.hold()
    bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
    await settle()

    read = bench.begin(bench.job(job_id))
    await bench.clock.advance(1)
    assert not read.done()

    bench.store.release()
    assert (await read).state.label == "Canceled"


async def test_events_come_to_watchers_in_commit_order_without_gaps(
    bench: Bench,
) -> None:
    await bench.node()
    for _ in range(5):
        await bench.submit(a_sweep(4))
    await bench.clock.advance(20)

    numbers = [event.seq for event in await bench.events()]

    assert numbers == list(range(1, bench.world.feed.last + 1))


async def test_revisions_of_a_job_have_no_gaps_however_mail_was_batched(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (0.1 * (p.key[2] % 5), 0)
    job_id = await bench.submit(a_sweep(40))
    await bench.until_state(job_id, "Finished")

    revisions = [e.revision for e in await bench.events() if e.job_id == job_id]

    assert revisions == list(range(1, len(revisions) + 1))


async def test_reports_are_acknowledged_only_when_they_are_durable(
    bench: Bench,
) -> None:
    agent = await bench.node()
    job_id = await bench.submit()
    await settle()
    told = list(agent.acks)
    bench.store.hold()

    await bench.clock.advance(5)

    assert agent.exits, "it has ended"
    assert agent.acks == told
    assert agent.journal

    bench.store.release()
    await settle()
    assert not agent.journal
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_who_goes_away_stops_nothing(bench: Bench) -> None:
    bench.store.hold()
    call = bench.begin(
        bench.head.submit_jobs(ANN, [a_job()], NO_ID, validate_only=False)
    )
    await settle()
    call.cancel()
    await settle()
    bench.store.release()
    await settle()

    assert await bench.state(1) == "Queued"


async def test_two_calls_that_add_tasks_in_one_turn_both_survive_a_crash(
    bench: Bench,
) -> None:
    view = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=False)
    calls = [
        bench.begin(
            bench.head.add_tasks(ANN, view.job_id, [a_sweep(n)], NO_ID, submit=False)
        )
        for n in (3, 5)
    ]
    assert [list(await call) for call in calls] == [[2], [3]]

    await bench.crash()

    tasks, _ = await bench.head.list_tasks(ANN, view.job_id, TaskPage())
    assert [task.task_id for task in tasks] == [1, 2, 3]
    assert [sum((t.counts or {}).values()) for t in tasks] == [0, 3, 5]


async def test_a_watcher_never_sees_what_a_crash_undoes(bench: Bench) -> None:
    shown: list[int] = []

    async def watch() -> None:
        async for item in bench.head.watch(ANN, WatchQuery(after=0)):
            shown.extend(event.seq for event in item.events)

    bench.begin(watch())
    await bench.submit()
    await settle()
    bench.store.hold()
    bench.begin(bench.submit())
    await settle()
    seen = max(shown)

    await bench.crash()

    assert bench.world.feed.last >= seen
    again = [event.seq for event in await bench.events()]
    assert again[:seen] == list(range(1, seen + 1))
