"""Nodes that fall silent, and nodes that are taken out (T22 to T25, P11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.orders import StartTasks
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, ROOT, a_sweep, a_task, turns_until
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench

OFFLINE, DRAINING, ONLINE = 1, 2, 3


async def lasting(bench: Bench, name: str = "n1", cores: int = 2) -> FakeAgent:
    """Return a node whose processes run until they are stopped."""
    agent = await bench.node(name, cores)
    agent.plan = lambda _: None
    agent.retry = None
    return agent


async def node(bench: Bench, name: str = "n1") -> Any:
    (view,) = await bench.nodes(name)
    return view


async def names(bench: Bench) -> list[str]:
    """Return what happened to nodes after the first of them had joined."""
    return [event.name for event in await bench.events() if event.node][2:]


async def test_a_node_that_is_silent_for_90_s_is_unreachable_not_offline(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    agent.mute = True
    await bench.clock.advance(88)
    assert (await node(bench)).reachable

    await bench.clock.advance(14)  # its last heartbeat was up to 10 s after the start

    view = await node(bench)
    assert (view.reachable, view.state) == (False, ONLINE)
    assert (await names(bench)) == ["NodeUnreachable"]
    assert agent.links[-1].closed_for == "NODE_UNREACHABLE"


async def test_a_node_that_beats_stays_reachable(bench: Bench) -> None:
    await lasting(bench)

    await bench.clock.advance(600)

    assert (await node(bench)).reachable
    assert await names(bench) == []


@pytest.mark.parametrize("rerunnable", [True, False])
async def test_what_ran_on_a_lost_node_is_run_again_or_fails(
    bench: Bench, rerunnable: bool
) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit(a_task(is_rerunnable=rerunnable))
    await bench.clock.advance(1)
    agent.cut()
    await bench.clock.advance(80)
    assert await bench.state(job_id) == "Running"

    other = await bench.node("n2")

    if not rerunnable:
        await bench.until_state(job_id, "Failed")
        assert (await bench.task(job_id)).end_reason == 10  # NODE_LOST
        return
    await bench.until_state(job_id, "Finished")
    assert [key[3] for key in other.starts] == [2]


async def test_when_a_lost_node_returns_its_old_attempts_are_stopped(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(1)
    agent.cut()
    await bench.clock.advance(100)
    await bench.node("n2")
    await bench.until_state(job_id, "Finished")
    assert agent.live

    await agent.connect()
    await bench.clock.advance(1)

    assert not agent.live
    assert (await node(bench)).reachable
    assert await bench.state(job_id) == "Finished"
    bench.check_at_rest()


async def test_the_interval_and_the_count_are_obeyed(bench: Bench) -> None:
    await bench.head.set_parameters(
        ROOT, {"HeartbeatInterval": "4", "InactivityCount": "2"}, NO_ID
    )
    agent = await lasting(bench)
    assert agent.links[-1].frames[0].welcome is not None
    assert agent.links[-1].frames[0].welcome.heartbeat_ms == 4000
    agent.mute = True
    await bench.clock.advance(7)
    assert (await node(bench)).reachable

    await bench.clock.advance(10)

    assert not (await node(bench)).reachable


async def test_a_shorter_interval_loses_no_node_that_beats_as_it_was_told(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.retry = None
    await bench.head.set_parameters(
        ROOT, {"HeartbeatInterval": "1", "InactivityCount": "1"}, NO_ID
    )

    await bench.clock.advance(60)

    assert (await node(bench)).reachable
    assert any(frame.goodbye_retry_ms for frame in agent.links[-1].frames)


async def test_a_head_that_slept_blames_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(5)
    caplog.set_level(logging.ERROR)

    bench.clock._move_to(bench.clock.mono() + 3600)  # stopped, with its loop
    await bench.clock.advance(2)

    assert (await node(bench)).reachable
    assert await bench.state(job_id) == "Running"
    agent.mute = True
    await bench.clock.advance(101)
    assert not (await node(bench)).reachable


async def test_after_a_restart_every_node_gets_its_time_to_come_back(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(1)
    agent.cut()
    await bench.clock.advance(60)
    await bench.stop()
    agent.cut()
    await bench.start()
    await bench.clock.advance(85)
    assert await bench.state(job_id) == "Running"

    await bench.clock.advance(10)

    assert await bench.state(job_id) != "Running"


async def test_a_job_that_gets_a_node_in_the_moment_it_is_lost_is_not_stuck(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    bench.store.hold()
    call = bench.begin(bench.submit())
    bench.store.release()
    await turns_until(call)
    bench.store.hold()  # the grant is decided, and not committed
    await settle()
    agent.cut()
    await bench.clock.advance(100)
    assert not (await node(bench)).reachable
    bench.store.release()
    await settle()

    await bench.node("n2")

    await bench.until_state(call.result(), "Finished")


async def test_a_suspect_node_gets_nothing_new(bench: Bench) -> None:
    agent = await lasting(bench)
    agent.mute = True
    await bench.clock.advance(45)
    job_id = await bench.submit()
    await bench.clock.advance(5)
    assert await bench.state(job_id) == "Queued"
    agent.mute = False
    agent.plan = lambda _: (1.0, 0)
    assert agent.session is not None

    agent._heartbeat(10)

    await bench.until_state(job_id, "Finished")


async def test_offline_stops_what_runs_and_it_runs_elsewhere(bench: Bench) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(1)
    other = await bench.node("n2")

    (view,) = await bench.head.offline_nodes(
        ROOT, ["n1"], NO_ID, drain=False, reason="repair"
    )

    assert (view.state, view.reason) == (OFFLINE, "repair")
    await bench.until_state(job_id, "Finished")
    assert not agent.live
    assert other.starts
    bench.check_at_rest()


async def test_an_offline_node_gets_nothing_until_it_is_online(bench: Bench) -> None:
    agent = await bench.node()
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")
    job_id = await bench.submit()
    await bench.clock.advance(5)
    assert not [o for o in agent.orders if isinstance(o, StartTasks)]

    await bench.head.online_nodes(ROOT, ["n1"], NO_ID)

    await bench.until_state(job_id, "Finished")
    assert await names(bench) == ["NodeOffline", "NodeOnline"]


async def test_draining_lets_what_runs_end_and_then_the_node_is_offline(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(1)

    (view,) = await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="")
    assert view.state == DRAINING
    late = await bench.submit()
    await bench.clock.advance(5)
    assert await bench.state(job_id) == "Running"
    assert await bench.state(late) == "Queued"
    (key,) = agent.live
    agent.exit(key, 0)
    await bench.until_state(job_id, "Finished")
    await settle()

    assert (await node(bench)).state == OFFLINE
    assert await names(bench) == ["NodeDraining", "NodeOffline"]


async def test_draining_an_idle_node_is_offline_at_once(bench: Bench) -> None:
    await bench.node()
    (view,) = await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="")

    assert view.state == OFFLINE


async def test_a_drain_goes_on_after_a_restart_of_the_head(bench: Bench) -> None:
    agent = await lasting(bench)
    job_id = await bench.submit()
    await bench.clock.advance(1)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="x")
    await bench.crash()
    await bench.clock.advance(1)
    assert await bench.state(job_id) == "Running"
    (key,) = agent.live
    agent.exit(key, 0)

    await bench.until_state(job_id, "Finished")
    await settle()

    assert (await node(bench)).state == OFFLINE


async def test_what_is_on_an_offline_node_goes_even_if_the_head_dies_in_between(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    await lasting(bench, "n2")
    job_id = await bench.submit()
    await bench.clock.advance(1)
    busy = next(a for a in bench.agents.values() if a.live)
    bench.store.crash_at = bench.store.transactions + 1
    bench.begin(
        bench.head.offline_nodes(ROOT, [busy.name], NO_ID, drain=False, reason="")
    )
    await settle()
    assert bench.store.crashed
    await bench.crash()
    await bench.clock.advance(30)

    assert not busy.live
    assert (await bench.task(job_id)).attempt == 2
    del agent


async def test_nodes_of_others_are_not_for_users_to_take_out(bench: Bench) -> None:
    await bench.node()

    with pytest.raises(HpcError) as refusal:
        await bench.head.offline_nodes(ANN, ["n1"], NO_ID, drain=False, reason="")
    assert refusal.value.reason == "PERMISSION_DENIED"
    with pytest.raises(HpcError) as refusal:
        await bench.head.online_nodes(ROOT, ["n9"], NO_ID)
    assert refusal.value.reason == "NODE_NOT_FOUND"


async def test_states_of_nodes_survive_the_head(bench: Bench) -> None:
    await bench.node(groups=("gpu",), memory_bytes=1 << 30)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="why")
    before = await node(bench)
    await bench.crash()

    after = await node(bench)

    assert (after.state, after.reason, after.groups) == (
        OFFLINE,
        "why",
        ("ComputeNodes", "gpu"),
    )
    assert after.node_id == before.node_id
    assert after.memory_bytes == 1 << 30


async def test_a_command_runs_on_each_node_and_fails_where_none_is(
    bench: Bench,
) -> None:
    await bench.node("n1")
    gone = await bench.node("n2")
    gone.retry = None
    gone.cut()

    view = await bench.head.create_command(
        ROOT, ["n2", "n1", "n1"], a_task(is_rerunnable=False), NO_ID
    )
    await bench.until_state(view.job_id, "Failed")

    states = [(await bench.task(view.job_id, n)).state.label for n in (1, 2)]
    assert states == ["Finished", "Failed"]


async def test_a_command_runs_on_a_busy_and_on_an_offline_node(bench: Bench) -> None:
    agent = await lasting(bench)
    await bench.submit(a_sweep(2))
    await bench.clock.advance(1)
    agent.plan = lambda _: (1.0, 0)
    view = await bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID)
    await bench.until_state(view.job_id, "Finished")
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")

    again = await bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID)

    await bench.until_state(again.job_id, "Finished")


async def test_the_cluster_adds_up(bench: Bench) -> None:
    agent = await lasting(bench, "n1", 4)
    lost = await lasting(bench, "n2", 2)
    await bench.submit(a_sweep(3))
    await bench.clock.advance(1)
    lost.cut()
    await bench.clock.advance(100)

    view = await bench.head.cluster(ANN)

    assert view.nodes == {"total": 2, "online": 2, "ready": 1, "unreachable": 1}
    assert (view.cores_total, view.cores_busy) == (6, 3)
    assert view.job_counts == {6: 1}
    assert (await node(bench)).running_tasks in (2, 3)
    assert (await node(bench)).job_ids == (1,)
    assert len(agent.live) == 3


async def test_goodbye_is_said_to_every_agent(bench: Bench) -> None:
    agent = await bench.node()
    bench.head.stopping()
    await bench.head.drain()

    assert agent.links[-1].frames[-1].goodbye_retry_ms > 0
    with pytest.raises(HpcError, match="stopping"):
        await bench.submit()
    with pytest.raises(HpcError, match="not found"):
        await bench.head.cancel_jobs(ANN, [1], Stop(), NO_ID)
