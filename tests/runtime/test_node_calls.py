"""What administrators say about nodes, their cores, and forgetting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import UnitType
from hpcsched.core.orders import DefineTask
from hpcsched.core.views import Inventory
from hpcsched.runtime.front import WatchQuery
from hpcsched.runtime.node_calls import BUSY, DRAINING, IDLE, OFFLINE, RESERVED
from hpcsched.runtime.node_front import NodeQuery, NodeUpdate
from tests.support.head_bench import ANN, NO_ID, ROOT, a_sweep, a_task, once
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench

BATCH, ADMIN = 1, 2


async def lasting(bench: Bench, name: str = "n1", cores: int = 2) -> FakeAgent:
    agent = await bench.node(name, cores)
    agent.plan = lambda _: None
    agent.retry = None
    return agent


async def update(bench: Bench, *names: str, **said: Any) -> Any:
    return await bench.head.update_nodes(ROOT, names, NodeUpdate(**said), NO_ID)


async def refused(call: Any) -> str:
    with pytest.raises(HpcError) as caught:
        await call
    return caught.value.reason


async def cores(bench: Bench, name: str = "n1") -> list[tuple[int, int, int, int]]:
    views = await bench.head.cores(ANN, name)
    assert [view.core for view in views] == list(range(len(views)))
    return [(v.state, v.job_id, v.task_id, v.instance_id) for v in views]


async def test_labels_are_set_replaced_and_deleted_and_last(bench: Bench) -> None:
    await bench.node("n1")
    await bench.node("n2")
    await update(bench, "n1", "n2", labels={"rack": "7", "os": "x"})
    (view,) = await update(bench, "n1", labels={"rack": "8", "os": ""})
    assert view.labels == {"rack": "8"}

    await bench.crash()

    found = {view.name: dict(view.labels) for view in await bench.nodes()}
    assert found == {"n1": {"rack": "8"}, "n2": {"os": "x", "rack": "7"}}

    async def chosen(**labels: str) -> list[str]:
        query = NodeQuery(labels=labels)
        return [view.name for view in await bench.head.find_nodes(ANN, query)]

    assert await chosen(rack="7") == ["n2"]
    assert await chosen(rack="") == ["n1", "n2"]
    assert await chosen(rack="7", os="y") == []


async def test_a_node_keeps_its_guid_and_the_time_it_joined(bench: Bench) -> None:
    agent = await bench.node("n1")
    (before,) = await bench.nodes("n1")
    await bench.clock.advance(5)

    agent.cut()
    agent.boots += 1
    await agent.connect()
    await bench.crash()

    (after,) = await bench.nodes("n1")
    assert len(before.guid) == 36
    assert (after.guid, after.join_time) == (before.guid, before.join_time)


async def test_the_inventory_is_what_the_node_said_last(bench: Bench) -> None:
    inventory = Inventory(os="Linux", cpu_mhz=3000, gpus=1, gpu_info=("A100",))
    agent = await bench.node("n1", inventory=inventory)
    await bench.crash()
    assert (await bench.nodes("n1"))[0].inventory == inventory

    agent.facts = {"inventory": Inventory(addresses=("eth0 10.0.0.1",))}
    await agent.connect()

    (view,) = await bench.nodes("n1")
    assert view.inventory == Inventory(addresses=("eth0 10.0.0.1",))


async def test_what_is_wrong_is_refused_and_no_node_changes(bench: Bench) -> None:
    await bench.node("n1")
    many = {f"l{n}": "x" for n in range(65)}
    for said, reason in (
        ({"labels": {"a=b": "c"}}, "INVALID_FIELD"),
        ({"labels": {" ": "c"}}, "INVALID_FIELD"),
        ({"labels": {"x" * 81: "c"}}, "CUSTOM_PROPERTY_NAME_TOO_LONG"),
        ({"labels": {"x": "c" * 1025}}, "CUSTOM_PROPERTY_VALUE_TOO_LONG"),
        ({"labels": many}, "OUT_OF_RANGE"),
        ({}, "REQUIRED_FIELD"),
    ):
        assert await refused(update(bench, "n1", **said)) == reason
    assert await refused(update(bench, "n1", "n9", affinity=1)) == "NODE_NOT_FOUND"
    assert await refused(update(bench, affinity=1)) == "REQUIRED_FIELD"
    call = bench.head.update_nodes(ANN, ["n1"], NodeUpdate(affinity=1), NO_ID)
    assert await refused(call) == "PERMISSION_DENIED"

    (view,) = await bench.nodes("n1")
    assert (view.labels, view.affinity) == ({}, 0)


async def test_a_node_for_commands_only_gets_no_jobs_and_keeps_what_runs(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    first = await bench.submit()
    await bench.until_state(first, "Running")

    await update(bench, "n1", job_types=ADMIN)
    second = await bench.submit()
    await bench.clock.advance(5)

    assert await bench.state(first) == "Running"
    assert await bench.state(second) == "Queued"
    _, why = await bench.head.explain(ANN, second, None)
    assert any("1 is not for jobs of the queue" in line for line in why), why
    agent.plan = lambda _: (0.5, 0)
    await update(bench, "n1", job_types=BATCH)
    await bench.until_state(second, "Finished")


async def test_a_node_that_takes_no_commands_answers_with_an_error_of_its_own(
    bench: Bench,
) -> None:
    await bench.node("n1")
    await bench.node("n2")
    await update(bench, "n1", job_types=BATCH)

    job = await bench.head.create_command(ROOT, ["n1", "n2"], a_task(), NO_ID)

    await bench.until_state(job.job_id, "Failed")
    assert "takes no commands" in (await bench.task(job.job_id, 1)).error_message
    assert (await bench.task(job.job_id, 2)).state.label == "Finished"


async def test_what_is_said_of_nodes_is_an_event(bench: Bench) -> None:
    await bench.node("n1")
    await update(bench, "n1", labels={"rack": "7"}, job_types=ADMIN, affinity=3)
    await update(bench, "n1", labels={"rack": "7"})  # as it is
    await update(bench, "n1", labels={"rack": ""})

    seen = [(e.actor, e.message) for e in await bench.events() if "Changed" in e.name]
    assert seen == [
        ("root", "rack=7, takes admin jobs, affinity no_jobs"),
        ("root", "without rack"),
    ]


async def test_cores_say_who_holds_them_and_what_runs_there(bench: Bench) -> None:
    agent = await lasting(bench, cores=4)
    assert await cores(bench) == [(IDLE, 0, 0, 0)] * 4
    job_id = await bench.submit(a_sweep(2), min_cores=3, max_cores=3)
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)

    found = await cores(bench)

    busy = sorted(core for core in found if core[0] == BUSY)
    assert busy == [(BUSY, job_id, 1, 1), (BUSY, job_id, 1, 2)]
    assert (RESERVED, job_id, 0, 0) in found
    assert (IDLE, 0, 0, 0) in found
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=True, reason="")
    states = sorted(core[0] for core in await cores(bench))
    assert states == [OFFLINE, DRAINING, DRAINING, DRAINING]
    agent.cut()
    await bench.clock.advance(100)
    assert await cores(bench) == [(OFFLINE, 0, 0, 0)] * 4


async def test_a_wide_task_is_on_as_many_cores_as_it_has(bench: Bench) -> None:
    await lasting(bench, cores=4)
    job_id = await bench.submit(a_task(min_cores=3))
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(1)

    found = await cores(bench)

    assert found.count((BUSY, job_id, 1, 0)) == 3


async def gone(bench: Bench, name: str) -> None:
    await bench.head.offline_nodes(ROOT, [name], NO_ID, drain=False, reason="")
    bench.agents[name].retry = None
    bench.agents[name].cut()
    await settle()


async def test_a_forgotten_node_is_gone_for_good_and_a_new_one_has_a_new_number(
    bench: Bench,
) -> None:
    await bench.node("n1")
    await bench.node("n2")
    (before,) = await bench.nodes("n2")
    job_id = await bench.submit(a_task(), requested_nodes=("n2",))
    await bench.until_state(job_id, "Finished")
    await gone(bench, "n2")

    await bench.head.forget_nodes(ROOT, ["n2"], NO_ID)

    assert [view.name for view in await bench.nodes()] == ["n1"]
    assert bench.world.scheduler.units[UnitType.CORE] == 2
    del bench.agents["n2"]
    await bench.crash()
    assert [view.name for view in await bench.nodes()] == ["n1"]
    assert (await bench.task(job_id)).nodes == ("n2",)
    await bench.node("n2")
    (after,) = await bench.nodes("n2")
    assert after.node_id == before.node_id + 1
    assert after.guid != before.guid
    names = [event.name for event in await bench.events() if event.node == "n2"]
    assert names.count("NodeRemoved") == 1
    assert names.count("NodeAdded") == 2


async def test_a_node_that_may_come_back_is_not_forgotten(bench: Bench) -> None:
    head = bench.head
    agent = await bench.node("n1")

    async def forget(*names: str) -> str:
        return await refused(head.forget_nodes(ROOT, names, NO_ID))

    assert await forget("n1") == "NODE_NOT_FORGETTABLE"  # Online
    await head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")
    assert await forget("n1") == "NODE_NOT_FORGETTABLE"  # connected
    agent.retry = None
    agent.cut()
    await settle()
    assert await forget("n1", "n9") == "NODE_NOT_FOUND"
    assert await forget() == "REQUIRED_FIELD"
    assert await refused(head.forget_nodes(ANN, ["n1"], NO_ID)) == "PERMISSION_DENIED"
    assert len(await bench.nodes()) == 1
    await head.forget_nodes(ROOT, ["n1"], once("r"))
    await head.forget_nodes(ROOT, ["n1"], once("r"))


async def test_only_nodes_are_watched_when_that_is_asked(bench: Bench) -> None:
    await bench.node("n1")
    await bench.until_state(await bench.submit(), "Finished")
    await update(bench, "n1", labels={"a": "b"})
    query = WatchQuery(after=0, only_nodes=True, backlog_only=True)

    seen = [
        e
        for item in [i async for i in bench.head.watch(ANN, query)]
        for e in item.events
    ]

    assert [e.name for e in seen] == ["NodeAdded", "NodeReachable", "NodeChanged"]
    wrong = WatchQuery(only_nodes=True, owner="ann")
    with pytest.raises(HpcError, match="only_nodes"):
        _ = [item async for item in bench.head.watch(ANN, wrong)]


async def test_offline_is_forced_where_nobody_waited_for_what_ran(bench: Bench) -> None:
    await lasting(bench)
    await bench.node("n2", 1)
    job_id = await bench.submit(a_task(), requested_nodes=("n1",))
    await bench.until_state(job_id, "Running")

    views = await bench.head.offline_nodes(
        ROOT, ["n1", "n2"], NO_ID, drain=False, reason=""
    )

    assert [view.forced_offline for view in views] == [True, False]
    (view,) = await bench.head.online_nodes(ROOT, ["n1"], NO_ID)
    assert not view.forced_offline


async def test_a_state_that_a_node_has_already_is_no_transition(bench: Bench) -> None:
    await lasting(bench)
    job_id = await bench.submit(a_task())
    await bench.until_state(job_id, "Running")

    async def ask(state: str, reason: str = "") -> tuple[Any, ...]:
        if state == "online":
            (view,) = await bench.head.online_nodes(ROOT, ["n1"], NO_ID)
        else:
            (view,) = await bench.head.offline_nodes(
                ROOT, ["n1"], NO_ID, drain=state == "drain", reason=reason
            )
        await bench.clock.advance(1)
        return (view.state, view.previous_state, view.forced_offline, view.reason)

    await bench.clock.advance(1)
    before = await bench.nodes()
    assert await ask("online") == (3, before[0].previous_state, False, "")
    assert (await bench.nodes())[0].online_time == before[0].online_time
    assert await ask("drain", "disk") == (2, 3, False, "disk")
    assert await ask("drain") == (2, 3, False, "disk")
    gone = await ask("offline")
    assert gone == (1, 2, True, "")
    (view,) = await bench.nodes()
    assert await ask("offline") == await ask("drain") == gone
    assert await ask("drain", "fans") == (1, 2, True, "fans")
    assert (await bench.nodes())[0].offline_time == view.offline_time

    events = [e for e in await bench.events() if not e.job_id]
    states = [(e.name, e.message) for e in events]
    assert states[-3:] == [
        ("NodeDraining", "disk"),
        ("NodeOffline", ""),
        ("NodeChanged", "fans"),
    ]
    assert not [name for name, _ in states if name == "NodeOnline"]


@pytest.mark.parametrize(
    ("affinity", "shared", "exclusive"),
    [(0, True, False), (1, True, True), (2, True, False), (3, False, False)],
)
async def test_a_nodes_own_word_on_affinity_counts_there(
    bench: Bench, affinity: int, shared: bool, exclusive: bool
) -> None:
    agent = await bench.node("n1")
    await update(bench, "n1", affinity=affinity) if affinity else None
    await bench.until_state(await bench.submit(), "Finished")
    await bench.until_state(await bench.submit(is_exclusive=True), "Finished")

    found = [order.pin for order in agent.orders if isinstance(order, DefineTask)]
    assert found == [shared, exclusive]


async def test_a_changed_affinity_counts_for_what_starts_from_then_on(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", 1)
    agent.plan = lambda _: (1.0, 0)
    job_id = await bench.submit(a_sweep(4))
    await bench.until_state(job_id, "Running")

    await update(bench, "n1", affinity=3)
    await bench.until_state(job_id, "Finished")

    found = [order.pin for order in agent.orders if isinstance(order, DefineTask)]
    assert found == [True, False]


async def test_commands_neither_hold_up_a_drain_nor_end_with_offline(
    bench: Bench,
) -> None:
    agent = await lasting(bench)
    job = await bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID)
    await bench.clock.advance(1)
    for drain in (True, False):
        (view,) = await bench.head.offline_nodes(
            ROOT, ["n1"], NO_ID, drain=drain, reason=""
        )
        assert view.state == 1  # Offline at once
        assert len(agent.live) == 1
    await bench.head.online_nodes(ROOT, ["n1"], NO_ID)

    assert await bench.state(job.job_id) == "Running"


async def test_a_command_waits_for_a_node_that_is_away_for_a_moment(
    bench: Bench,
) -> None:
    agent = await bench.node("n1")
    agent.retry = None
    agent.cut()
    view = await bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID)
    await bench.clock.advance(20)
    assert await bench.state(view.job_id) == "Running"

    await agent.connect()

    await bench.until_state(view.job_id, "Finished")
    assert (await bench.task(view.job_id)).attempt == 1


async def test_a_command_fails_at_once_where_the_node_is_unreachable(
    bench: Bench,
) -> None:
    agent = await bench.node("n1")
    agent.retry = None
    agent.cut()
    await bench.clock.advance(91)

    view = await bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID)

    assert await bench.state(view.job_id) == "Failed"
