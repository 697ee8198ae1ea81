"""A node is back: what it says is compared with the record (node-agent.md 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.core.reports import Ended, LiveAttempt
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, a_sweep, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench


async def running(bench: Bench, *tasks: Any, **spec: Any) -> tuple[FakeAgent, int]:
    """Return a node on which a job's tasks run until they are told to end."""
    agent = await bench.node()
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(*tasks, **spec)
    await bench.clock.advance(0.5)
    assert agent.live
    return agent, job_id


def the_key(agent: FakeAgent) -> tuple[int, int, int, int]:
    (key,) = agent.live
    return key


async def test_what_runs_goes_on_over_a_cut(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.cut()
    await bench.clock.advance(20)
    await agent.connect()
    await settle()

    agent.exit(the_key(agent), 3)
    await bench.until_state(job_id, "Failed")

    task = await bench.task(job_id)
    assert (task.exit_code, task.attempt) == (3, 1)
    bench.check_at_rest()


async def test_what_runs_goes_on_over_a_restart_of_the_agent(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.restart()
    await agent.connect()
    await settle()
    agent.exit(the_key(agent), 0)

    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).attempt == 1


async def test_what_ended_while_the_node_was_away_is_taken_not_rerun(
    bench: Bench,
) -> None:
    agent, job_id = await running(bench)
    agent.cut()
    agent.exit(the_key(agent), 7)
    await bench.clock.advance(20)

    await agent.connect()
    await bench.until_state(job_id, "Failed")

    task = await bench.task(job_id)
    assert (task.exit_code, task.attempt) == (7, 1)
    assert sum(agent.starts.values()) == 1


async def test_a_result_that_comes_before_the_comparison_counts(bench: Bench) -> None:
    """The inventory still names it as living."""
    agent, job_id = await running(bench)
    agent.cut()
    key = the_key(agent)
    hello = agent.hello()
    agent.exit(key, 0)

    await agent.connect(live=hello.live)
    await bench.until_state(job_id, "Finished")

    assert (await bench.task(job_id)).attempt == 1


async def test_a_report_that_comes_twice_counts_once(bench: Bench) -> None:
    agent = await bench.node()
    agent.twice = True
    job_id = await bench.submit(a_sweep(20))
    await bench.until_state(job_id, "Finished")

    events = [e for e in await bench.events() if e.job_id == job_id]
    ended = [
        b - a + 1
        for e in events
        for c in e.changes
        if c.state == 8 and c.task_id
        for a, b in c.elements
    ]
    assert sum(ended) == 20
    bench.check_at_rest()


async def test_unacknowledged_reports_come_again_on_a_new_stream(bench: Bench) -> None:
    agent, job_id = await running(bench)
    bench.store.hold()
    agent.exit(the_key(agent), 0)
    await settle()
    assert agent.journal
    agent.cut()
    bench.store.release()
    await settle()
    assert agent.journal, "the acknowledgement went into a broken stream"

    await agent.connect()
    await settle()

    assert not agent.journal
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_start_that_never_arrived_is_sent_again(bench: Bench) -> None:
    agent = await bench.node()
    agent.retry = None
    agent.mute = True
    job_id = await bench.submit()
    await bench.clock.advance(1)
    assert not agent.starts
    agent.cut()
    agent.mute = False

    await agent.connect()

    await bench.until_state(job_id, "Finished")
    task = await bench.task(job_id)
    assert (task.attempt, sum(agent.starts.values())) == (1, 1)


async def test_a_start_that_never_arrived_is_not_sent_to_another_boot(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.retry = None
    agent.mute = True
    job_id = await bench.submit()
    await bench.clock.advance(1)
    agent.reboot()
    agent.mute = False

    await agent.connect()

    await bench.until_state(job_id, "Finished")
    assert [key[3] for key in agent.starts] == [2]


async def test_a_reboot_is_remembered_until_every_job_has_learned_of_it(
    bench: Bench,
) -> None:
    """The stream breaks after the Hello of the new boot, before the comparison."""
    agent = await bench.node()
    agent.retry = None
    agent.mute = True
    job_id = await bench.submit()
    await bench.clock.advance(1)
    agent.reboot()
    await agent.connect()  # mute: no heartbeat, so nothing is compared
    await settle()
    agent.cut()
    await bench.crash()
    agent.cut()
    agent.mute = False

    await agent.connect()

    await bench.until_state(job_id, "Finished")
    assert [key[3] for key in agent.starts] == [2]


async def test_after_the_comparison_a_new_stream_of_the_same_boot_loses_nothing(
    bench: Bench,
) -> None:
    agent, job_id = await running(bench)
    agent.reboot()
    await agent.connect()
    await bench.clock.advance(1)
    key = the_key(agent)
    assert key[3] == 2
    agent.cut()
    await agent.connect()
    await bench.clock.advance(1)

    assert the_key(agent) == key
    agent.exit(key, 0)
    await bench.until_state(job_id, "Finished")


@pytest.mark.parametrize("rerunnable", [True, False])
async def test_a_reboot_loses_what_ran(bench: Bench, rerunnable: bool) -> None:
    agent, job_id = await running(bench, a_task(is_rerunnable=rerunnable))
    agent.reboot()
    agent.plan = lambda _: (1.0, 0)

    await agent.connect()

    if rerunnable:
        await bench.until_state(job_id, "Finished")
        assert (await bench.task(job_id)).attempt == 2
    else:
        await bench.until_state(job_id, "Failed")
        assert (await bench.task(job_id)).end_reason == 11  # NODE_REBOOTED
    bench.check_at_rest()


async def test_a_result_of_the_old_boot_in_the_journal_counts(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.cut()
    agent.exit(the_key(agent), 0)
    agent.reboot()

    await agent.connect()

    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).attempt == 1


async def test_an_attempt_that_has_vanished_is_run_again(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.cut()
    agent.live.clear()
    agent.plan = lambda _: (1.0, 0)

    await agent.connect()

    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).attempt == 2
    bench.check_at_rest()


async def test_a_vanished_attempt_is_run_again_on_whichever_node_is_free(
    bench: Bench,
) -> None:
    """The comparison with one node sends orders to another."""
    agent = await bench.node("n1", 1)
    agent.plan = lambda _: None
    agent.retry = None
    other = await bench.node("n2", 1)
    job_id = await bench.submit(a_sweep(2))
    await bench.clock.advance(1)
    agent.cut()
    lost = the_key(agent)
    agent.live.clear()
    bench.store.hold()
    await agent.connect()
    bench.store.release()
    await bench.until_state(job_id, "Running")
    agent.plan = lambda _: (1.0, 0)

    await bench.until_state(job_id, "Finished")
    assert lost[3] == 1
    assert sum(other.starts.values()) + sum(agent.starts.values()) == 3


async def test_strangers_are_stopped(bench: Bench) -> None:
    """An attempt of a job that is there no more, and one that was superseded."""
    agent, job_id = await running(bench)
    agent.cut()
    live = [
        *agent.hello().live,
        LiveAttempt(job_id, 1, 0, 9, running=True, start_time=1.0),
        LiveAttempt(777, 1, 0, 1, running=True, start_time=1.0),
    ]
    agent.orders.clear()
    agent.ended_jobs.clear()

    await agent.connect(live=tuple(live))
    await settle()

    stops = [o for o in agent.orders if isinstance(o, StopTasks)]
    assert [(s.job_id, list(s.attempts), s.grace_ms) for s in stops] == [
        (job_id, [9], 0)
    ]
    assert agent.ended_jobs == [777]
    assert the_key(agent)[3] == 1, "what belongs there goes on"


async def test_a_job_that_ended_while_the_node_was_away_is_ended_there(
    bench: Bench,
) -> None:
    agent, job_id = await running(bench)
    agent.cut()
    await bench.clock.advance(100)  # lost
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.until_state(job_id, "Canceled")

    await agent.connect()
    await settle()

    assert agent.ended_jobs[-1] == job_id
    assert not agent.live
    assert await bench.state(job_id) == "Canceled"
    bench.check_at_rest()


async def test_a_cancel_that_never_arrived_is_repeated(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.mute = True
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()
    assert agent.live
    agent.mute = False
    agent.cut()

    await agent.connect()

    await bench.until_state(job_id, "Canceled")
    bench.check_at_rest()


async def test_a_result_of_an_old_attempt_changes_nothing_and_is_acknowledged(
    bench: Bench,
) -> None:
    agent, job_id = await running(bench)
    old = the_key(agent)
    agent.reboot()
    await agent.connect()
    await bench.clock.advance(1)
    assert the_key(agent)[3] == 2
    stale = Ended(
        job_id=job_id,
        task_id=1,
        instances=[old[2]],
        attempts=[1],
        reasons=[1],
        exit_codes=[0],
        starts=[1.0],
        ends=[2.0],
        cores=[0],
        user_ms=[0],
        kernel_ms=[0],
        max_rss_kib=[0],
    )

    agent.say(stale)
    await settle()

    assert await bench.state(job_id) == "Running"
    assert not agent.journal


async def test_a_slow_network_changes_nothing_but_the_time(bench: Bench) -> None:
    agent = await bench.node()
    agent.delay = 0.4
    job_id = await bench.submit(a_sweep(12))

    await bench.until_state(job_id, "Finished")
    await bench.clock.advance(2)

    assert len(agent.starts) == 12
    bench.check_at_rest()


async def test_streams_that_keep_breaking_start_nothing_twice(bench: Bench) -> None:
    agent = await bench.node(cores=3)
    agent.plan = lambda p: (0.3 + 0.1 * (p.key[2] % 7), p.key[2] % 2)
    job_id = await bench.submit(a_sweep(40))
    for _ in range(40):
        await bench.clock.advance(0.35)
        agent.cut()
        await bench.clock.advance(0.05)
        agent.reconnect()
    await bench.until_state(job_id, "Failed")
    await bench.clock.advance(2)

    assert len(agent.starts) == 40
    for instance in range(1, 41):
        task = await bench.task(job_id, 1, instance)
        assert task.exit_code == instance % 2
    bench.check_at_rest()


async def test_orders_are_numbered_without_gaps_on_each_stream(bench: Bench) -> None:
    agent = await bench.node()
    for _ in range(3):
        await bench.submit(a_sweep(10))
    await bench.clock.advance(30)

    for link in agent.links:
        numbers = [frame.seq for frame in link.frames if frame.orders]
        assert numbers == list(range(1, len(numbers) + 1))
    assert any(isinstance(o, StartTasks) for o in agent.orders)
