"""Queued jobs wait on nodes before a core is free there (runtime/sending_ahead.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job.commands import CancelJob, Tick
from hpcsched.core.job.decide import decide
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import RecallTasks, StartAlike, StartTasks
from hpcsched.runtime import job_actor
from hpcsched.runtime.front import Stop
from tests.support.ahead_bench import (
    RUN_S,
    exit_of,
    many,
    node,
    taught,
    there,
    waiting_there,
)
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_job, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        yield bench


async def test_short_jobs_wait_on_the_node_and_are_queued_until_they_start(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)

    assert there(bench) == set(others)
    assert [await bench.state(n) for n in running] == ["Running", "Running"]
    assert {await bench.state(n) for n in others} == {"Queued"}

    exit_of(bench, running[0])
    await settle()
    assert [await bench.state(n) for n in others[:2]] == ["Running", "Queued"]


async def test_all_of_them_run_once_in_order_and_a_core_is_never_given_twice(
    bench: Bench,
) -> None:
    jobs = await many(bench, 200)
    await bench.clock.advance(200 * RUN_S)

    assert {await bench.state(n) for n in jobs} == {"Finished"}
    started = [key[0] for key in node(bench).starts if key[0] in jobs]
    assert started == jobs
    bench.check_at_rest()


async def test_they_need_few_frames_and_commits(bench: Bench) -> None:
    frames, commits = len(node(bench).links[0].frames), bench.store.transactions
    await many(bench, 200)
    await bench.clock.advance(200 * RUN_S)

    assert len(node(bench).links[0].frames) - frames < 300
    assert bench.store.transactions - commits < 300


async def test_what_waits_behind_the_first_ones_is_sent_with_them(
    bench: Bench,
) -> None:
    """Their orders are in one frame: no core waits for the next one."""
    node(bench).plan = lambda _: None
    frames = len(node(bench).links[0].frames)
    jobs = await many(bench, 50)
    await settle()

    sent = [f for f in node(bench).links[0].frames[frames:] if f.orders]
    (frame,) = [f for f in sent if any(isinstance(o, StartTasks) for o in f.orders)]
    assert [type(order) for order in frame.orders].count(StartTasks) == 2
    (behind,) = [o for o in frame.orders if isinstance(o, StartAlike)]
    assert frame.orders[-1] is behind
    assert list(behind.job_ids) == jobs[2:]
    assert {key[0] for key in node(bench).live} == set(jobs[:2])
    assert there(bench) == set(jobs[2:])


async def test_nobody_is_sent_behind_the_first_ones_that_may_not_run_again(
    bench: Bench,
) -> None:
    node(bench).plan = lambda _: None
    new = [a_job(a_task(is_rerunnable=False))] * 20
    jobs = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
    await settle()

    assert {key[0] for key in node(bench).live} == set(jobs[:2])
    assert not there(bench)
    assert not bench.world.scheduler.ahead.sent


async def test_watchers_see_every_state_of_a_job_that_waited_there(
    bench: Bench,
) -> None:
    jobs = await many(bench, 20)
    await bench.clock.advance(20 * RUN_S)

    states = [
        (change.previous_state, change.state)
        for event in await bench.events()
        if event.job_id == jobs[-1]
        for change in event.changes
        if not change.task_id
    ]
    assert [JobState(state).label for _, state in states] == [
        *("Submitted", "Validating", "Queued", "Running", "Finishing", "Finished"),
    ]
    assert [old for old, _ in states[1:]] == [new for _, new in states[:-1]]


async def test_a_job_of_higher_priority_is_the_next_one_to_start(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)
    (first,) = await many(bench, 1, priority=4000)
    await settle()
    assert not there(bench) & set(others)

    exit_of(bench, running[0])
    await settle()

    assert await bench.state(first) == "Running"
    assert {await bench.state(n) for n in others} == {"Queued"}


async def test_nobody_is_sent_past_a_job_that_needs_more(bench: Bench) -> None:
    node(bench).plan = lambda _: None
    small = await many(bench, 2)
    wide = await bench.submit(a_task(min_cores=2))
    later = await many(bench, 5)
    await settle()

    assert there(bench) == set()
    for job_id in small:
        exit_of(bench, job_id)
    await settle()
    assert await bench.state(wide) == "Running"
    assert {await bench.state(n) for n in later} == {"Queued"}


async def test_what_waits_behind_long_jobs_comes_back_after_a_second(
    bench: Bench,
) -> None:
    _, others = await waiting_there(bench)
    assert there(bench)

    await bench.clock.advance(2.5)

    assert there(bench) == set()
    agent = await bench.node("n2", cores=4)
    await settle()
    assert {key[0] for key in agent.live} == set(others[:4])
    starts = node(bench).starts + agent.starts
    assert max(starts.values()) == 1


async def test_a_cancel_waits_for_the_word_of_the_node_and_it_never_ran(
    bench: Bench,
) -> None:
    _, others = await waiting_there(bench)
    await bench.head.cancel_jobs(ANN, [others[3]], Stop(), NO_ID)

    assert await bench.state(others[3]) == "Canceled"
    assert (await bench.task(others[3])).state.label == "Canceled"
    assert others[3] not in there(bench)
    assert not [key for key in node(bench).starts if key[0] == others[3]]


async def test_a_cancel_that_comes_too_late_stops_what_runs(bench: Bench) -> None:
    running, others = await waiting_there(bench)
    node(bench).mute = True  # the recall is not heard before it starts
    cancel = bench.begin(bench.head.cancel_jobs(ANN, [others[0]], Stop(), NO_ID))
    await settle()
    assert not cancel.done()
    node(bench).mute = False
    exit_of(bench, running[0])
    await bench.until_state(others[0], "Canceled")
    await cancel

    assert (await bench.task(others[0])).state.label == "Failed"
    assert node(bench).starts[others[0], 1, 0, 1] == 1


async def test_all_of_them_are_canceled_by_one_call(bench: Bench) -> None:
    running, others = await waiting_there(bench)
    await bench.head.cancel_jobs(ANN, [*running, *others], Stop(), NO_ID)
    await bench.clock.advance(30)

    states = [await bench.state(n) for n in (*running, *others)]
    assert set(states) == {"Canceled"}
    bench.check_at_rest()


async def test_a_hold_of_a_job_that_waits_there_holds_it(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    await bench.head.hold_jobs(ROOT, [others[0]], None, NO_ID)

    assert others[0] not in there(bench)
    assert (await bench.job(others[0])).state.label == "Queued"


async def test_a_silent_node_does_not_keep_who_cancels_waiting(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    node(bench).retry = None
    node(bench).cut()
    await settle()

    await bench.head.cancel_jobs(ANN, [others[0]], Stop(), NO_ID)

    assert await bench.state(others[0]) == "Canceling"
    await bench.clock.advance(100)
    assert await bench.state(others[0]) == "Canceled"


async def test_a_drained_node_gives_back_what_waits_there(bench: Bench) -> None:
    running, others = await waiting_there(bench)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="")
    await settle()

    assert there(bench) == set()
    assert {await bench.state(n) for n in others} == {"Queued"}
    assert {await bench.state(n) for n in running} == {"Running"}


async def test_a_crash_of_the_head_loses_none_and_starts_none_twice(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)
    await bench.crash()
    await bench.clock.advance(1)
    node(bench).plan = lambda _: (RUN_S, 0)
    for job_id in running:
        exit_of(bench, job_id)
    await bench.clock.advance(60)

    assert {await bench.state(n) for n in (*running, *others)} == {"Finished"}
    bench.check_at_rest()


async def test_a_reboot_of_the_node_runs_them_as_other_attempts(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    node(bench).plan = lambda _: (RUN_S, 0)
    node(bench).reboot()
    node(bench).reconnect()
    await bench.clock.advance(60)

    assert {await bench.state(n) for n in others} == {"Finished"}
    ran = {key[0]: key[3] for key in node(bench).starts if key[0] in others}
    assert set(ran.values()) == {2}
    bench.check_at_rest()


async def test_a_lost_node_leaves_them_queued_for_others(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    node(bench).retry = None
    node(bench).cut()
    await bench.clock.advance(100)
    agent = await bench.node("n2", cores=4)
    agent.plan = lambda _: (RUN_S, 0)
    await bench.clock.advance(10)

    assert {await bench.state(n) for n in others} == {"Finished"}


async def test_orders_are_sent_once(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    sent = [o.job_id for o in node(bench).orders if isinstance(o, StartTasks)]
    recalled = [o for o in node(bench).orders if isinstance(o, RecallTasks)]

    assert sorted(n for n in sent if n in others) == others
    assert not recalled


async def test_equal_jobs_of_higher_priority_are_the_next_ones_to_start(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)
    urgent = await many(bench, 2, priority=4000)
    await settle()

    assert not there(bench) & set(others)
    for job_id in running:
        exit_of(bench, job_id)
    await settle()
    assert {await bench.state(n) for n in urgent} == {"Running"}


async def test_jobs_that_wait_on_a_node_are_awake_after_a_crash_of_the_head(
    bench: Bench,
) -> None:
    _, others = await waiting_there(bench)
    await many(bench, 30)
    await settle()
    sent = dict(bench.world.scheduler.ahead.sent)
    assert set(sent) >= set(others)
    await bench.crash()

    ahead = bench.world.scheduler.ahead.sent
    assert {job_id: ahead.get(job_id) for job_id in sent} == sent
    assert all(bench.world.jobs.get(job_id) is not None for job_id in sent)


async def test_what_waits_for_the_node_is_done_once_although_the_head_has_a_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, others = await waiting_there(bench)
    real = decide

    def faulty(job: Any, command: Any, *rest: Any) -> Any:
        if isinstance(command, Tick):
            raise ZeroDivisionError
        return real(job, command, *rest)

    monkeypatch.setattr(job_actor, "decide", faulty)
    answers: list[Any] = []
    jobs = bench.world.jobs
    cancel = CancelJob(caller=ANN)
    jobs.tell(others[0], cancel, lambda _, error: answers.append(error))
    jobs.post(others[0], Tick())
    await bench.clock.advance(10)

    assert answers == [None]
    assert await bench.state(others[0]) == "Canceled"


async def test_what_comes_back_starts_at_once_where_a_core_is_idle(
    bench: Bench,
) -> None:
    _, behind = await waiting_there(bench)
    idle = await bench.node("n2", cores=2)
    idle.plan = lambda _: None
    await settle()
    assert not idle.live
    await bench.clock.advance(2.5)

    assert {key[0] for key in idle.live} == set(behind[:2])
