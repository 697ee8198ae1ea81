"""Groups of nodes: who is in them, who says so, and that it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime.node_front import NodeQuery
from tests.support.head_bench import ANN, NO_ID, ROOT, once

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def groups(bench: Bench, *names: str) -> dict[str, tuple[str, ...]]:
    return {view.name: view.nodes for view in await bench.head.list_groups(ANN, names)}


async def groups_of(bench: Bench, name: str) -> tuple[str, ...]:
    (view,) = await bench.nodes(name)
    found: tuple[str, ...] = view.groups
    return found


async def create(bench: Bench, name: str, *nodes: str) -> Any:
    return await bench.head.create_group(ROOT, name, "why", list(nodes), NO_ID)


async def refused(call: Any) -> HpcError:
    with pytest.raises(HpcError) as caught:
        await call
    return caught.value


async def change(bench: Bench, name: str, *nodes: str, add: bool) -> Any:
    return await bench.head.change_group(ROOT, name, nodes, NO_ID, add=add)


async def test_every_node_is_in_the_built_in_group_which_nobody_changes(
    bench: Bench,
) -> None:
    await bench.node("n1")
    await bench.node("n2")

    (view,) = await bench.head.list_groups(ANN, [])

    assert (view.name, view.managed, view.nodes) == ("ComputeNodes", True, ("n1", "n2"))
    for call in (
        bench.head.delete_group(ROOT, "ComputeNodes", NO_ID),
        bench.head.describe_group(ROOT, "ComputeNodes", "x", NO_ID),
        change(bench, "ComputeNodes", "n1", add=False),
    ):
        assert (await refused(call)).reason == "NODE_GROUP_MANAGED"
    assert await groups_of(bench, "n1") == ("ComputeNodes",)


async def test_a_group_has_the_nodes_that_it_was_given(bench: Bench) -> None:
    for name in ("n1", "n2", "n3"):
        await bench.node(name)

    made = await create(bench, "gpu", "n2", "n1", "n2")

    assert (made.description, made.nodes) == ("why", ("n1", "n2"))
    assert (await change(bench, "gpu", "n3", "n1", add=True)).nodes == (
        "n1",
        "n2",
        "n3",
    )
    assert (await change(bench, "gpu", "n1", add=False)).nodes == ("n2", "n3")
    assert await groups_of(bench, "n2") == ("ComputeNodes", "gpu")
    await bench.head.delete_group(ROOT, "gpu", NO_ID)
    assert await groups(bench) == {"ComputeNodes": ("n1", "n2", "n3")}
    assert await groups_of(bench, "n2") == ("ComputeNodes",)


async def test_groups_and_what_was_said_of_nodes_survive_the_head(bench: Bench) -> None:
    agent = await bench.node("n1", groups=("fast",))
    await bench.node("n2")
    await create(bench, "gpu", "n1")
    await change(bench, "fast", "n1", add=False)
    await bench.head.describe_group(ROOT, "gpu", "with GPUs", NO_ID)
    agent.retry = None

    await bench.crash()

    (gpu,) = await bench.head.list_groups(ANN, ["gpu"])
    assert (gpu.description, gpu.nodes) == ("with GPUs", ("n1",))
    assert await groups(bench, "fast") == {"fast": ()}


async def test_a_node_declares_groups_and_administrators_have_the_last_word(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", groups=("fast", "a,b", "", "x" * 81))
    assert await groups_of(bench, "n1") == ("ComputeNodes", "fast")
    await change(bench, "fast", "n1", add=False)

    await agent.connect()
    assert await groups_of(bench, "n1") == ("ComputeNodes",)
    await change(bench, "fast", "n1", add=True)
    agent.facts = {}
    await agent.connect()

    assert await groups_of(bench, "n1") == ("ComputeNodes", "fast")


async def test_a_group_that_a_node_no_longer_declares_has_lost_it(bench: Bench) -> None:
    agent = await bench.node("n1", groups=("fast",))
    agent.facts = {}

    await agent.connect()

    assert await groups(bench, "fast") == {"fast": ()}


async def test_a_deleted_group_does_not_come_back_because_a_node_declares_it(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", groups=("fast",))
    await bench.head.delete_group(ROOT, "fast", NO_ID)

    agent.cut()
    agent.boots += 1
    await agent.connect()

    assert await groups_of(bench, "n1") == ("ComputeNodes",)


async def test_what_is_wrong_is_refused_and_nothing_changes(bench: Bench) -> None:
    await bench.node("n1")
    await create(bench, "gpu", "n1")
    head = bench.head
    for call, reason, hresult in (
        (create(bench, "GPU"), "NODE_GROUP_EXISTS", 0),
        (create(bench, "computenodes"), "NODE_GROUP_EXISTS", 0),
        (create(bench, "a;b"), "INVALID_FIELD", -2147220987),
        (create(bench, " a"), "INVALID_FIELD", -2147220987),
        (create(bench, "x" * 81), "TEXT_TOO_LONG", -2147220987),
        (create(bench, "new", "n9"), "NODE_NOT_FOUND", -2147220978),
        (change(bench, "none", "n1", add=True), "NODE_GROUP_NOT_FOUND", -2147220937),
        (change(bench, "gpu", "n9", add=True), "NODE_NOT_FOUND", -2147220978),
        (change(bench, "gpu", add=False), "REQUIRED_FIELD", -2147219981),
        (head.delete_group(ROOT, "none", NO_ID), "NODE_GROUP_NOT_FOUND", -2147220937),
        (head.list_groups(ANN, ["none"]), "NODE_GROUP_NOT_FOUND", -2147220937),
        (head.create_group(ANN, "x", "", [], NO_ID), "PERMISSION_DENIED", -2147220981),
        (
            head.create_group(ROOT, "x", "d" * 321, [], NO_ID),
            "TEXT_TOO_LONG",
            -2147220987,
        ),
    ):
        error = await refused(call)
        assert (error.reason, error.hresult) == (reason, hresult)

    assert await groups(bench) == {"ComputeNodes": ("n1",), "gpu": ("n1",)}


async def test_a_full_disk_changes_no_node_of_a_group(bench: Bench) -> None:
    await bench.node("n1")
    await bench.node("n2")
    await create(bench, "gpu")
    bench.store.fail_next(OSError("full"))

    error = await refused(change(bench, "gpu", "n1", "n2", add=True))

    assert error.reason == "DISK_FULL"
    assert await groups(bench, "gpu") == {"gpu": ()}
    assert (await change(bench, "gpu", "n1", add=True)).nodes == ("n1",)


async def test_a_change_of_groups_is_an_event_with_its_actor(bench: Bench) -> None:
    await bench.node("n1", groups=("fast",))
    await create(bench, "gpu", "n1")
    await change(bench, "gpu", "n1", add=True)  # it is in it: nothing happens
    await bench.head.delete_group(ROOT, "gpu", NO_ID)

    seen = [
        (e.name, e.actor, e.node, e.group, e.joined_groups, e.left_groups)
        for e in await bench.events()
        if "Group" in e.name
    ]

    assert seen == [
        ("NodeGroupCreated", "node:n1", "", "fast", (), ()),
        ("NodeGroupsChanged", "node:n1", "n1", "", ("fast",), ()),
        ("NodeGroupCreated", "root", "", "gpu", (), ()),
        ("NodeGroupsChanged", "root", "n1", "", ("gpu",), ()),
        ("NodeGroupsChanged", "root", "n1", "", (), ("gpu",)),
        ("NodeGroupDeleted", "root", "", "gpu", (), ()),
    ]


async def test_events_read_from_the_store_are_those_that_were_watched(
    bench: Bench,
) -> None:
    await bench.node("n1", groups=("fast",))
    await create(bench, "gpu", "n1")
    watched = await bench.events()

    await bench.crash()

    assert (await bench.events())[: len(watched)] == watched


async def test_a_repeated_call_has_one_effect(bench: Bench) -> None:
    await bench.node("n1")
    first = await bench.head.create_group(ROOT, "gpu", "", ["n1"], once("r1"))

    again = await bench.head.create_group(ROOT, "gpu", "", ["n1"], once("r1"))

    assert again == first
    assert [e.name for e in await bench.events()].count("NodeGroupCreated") == 1


async def test_nodes_are_chosen_by_group(bench: Bench) -> None:
    for name in ("n1", "n2", "n3"):
        await bench.node(name)
    await create(bench, "gpu", "n1", "n2")
    await create(bench, "fast", "n2", "n3")

    async def chosen(*names: str) -> list[str]:
        query = NodeQuery(groups=names)
        return [view.name for view in await bench.head.find_nodes(ANN, query)]

    assert await chosen("gpu") == ["n1", "n2"]
    assert await chosen("gpu", "fast") == ["n2"]
    error = await refused(bench.head.find_nodes(ANN, NodeQuery(groups=("no",))))
    assert error.hresult == -2147220937


async def test_the_scheduler_knows_the_groups_of_nodes_at_once(bench: Bench) -> None:
    await bench.node("n1", groups=("fast",))
    await create(bench, "gpu", "n1")
    node = bench.world.scheduler.books.nodes[1]
    assert node.groups == {"ComputeNodes", "fast", "gpu"}

    await change(bench, "gpu", "n1", add=False)

    assert bench.world.scheduler.books.nodes[1].groups == {"ComputeNodes", "fast"}
