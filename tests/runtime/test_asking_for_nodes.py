"""Jobs that ask for certain nodes, on a cluster of several."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import NodeGroupOp, UnitType
from hpcsched.runtime.front import Exclusion
from tests.support.head_bench import ANN, ROOT, Bench, a_job, a_sweep, a_task, once

GIB = 1 << 30


async def running_on(bench: Bench, job_id: int) -> list[str]:
    await bench.until_state(job_id, "Running")
    return sorted((await bench.job(job_id)).allocated_nodes)


def forever(agent: Any) -> Any:
    agent.run_s = 1e6
    return agent


async def three(bench: Bench) -> None:
    forever(await bench.node("n1", 2, groups=("a",), memory_bytes=GIB))
    forever(await bench.node("n2", 4, groups=("a", "b"), sockets=2))
    forever(await bench.node("n3", 4, groups=("b",), memory_bytes=8 * GIB))


ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"unit_type": UnitType.NODE, "min_nodes": 3}, ["n1", "n2", "n3"]),
    ({"unit_type": UnitType.NODE, "min_nodes": 1, "max_nodes": 1}, ["n3"]),
    ({"unit_type": UnitType.SOCKET, "min_sockets": 4}, ["n1", "n2", "n3"]),
    ({"node_groups": ("a",), "min_cores": 6}, ["n1", "n2"]),
    ({"node_groups": ("a", "b"), "min_cores": 1}, ["n2"]),
    (
        {
            "node_groups": ("a", "b"),
            "node_group_op": NodeGroupOp.UNIFORM,
            "min_cores": 7,
        },
        ["n2", "n3"],
    ),
    ({"single_node": True, "min_cores": 2, "requested_nodes": ("n1", "n2")}, ["n2"]),
    ({"order_by": "-Cores", "min_cores": 1, "max_cores": 1}, ["n1"]),
    ({"min_memory": 4096, "min_cores": 1}, ["n3"]),
    ({"max_cores_per_node": 2, "min_cores": 1}, ["n1"]),
    ({"estimated_process_memory": 4096, "min_cores": 2}, ["n3"]),
]


@pytest.mark.parametrize(("asked", "nodes"), ASKED)
async def test_a_job_gets_the_nodes_that_it_asks_for(
    bench: Bench, asked: dict[str, Any], nodes: list[str]
) -> None:
    await three(bench)

    job_id = await bench.submit(a_sweep(12), **asked)

    found = await running_on(bench, job_id)
    assert set(found) <= set(nodes)
    assert len(found) == len(nodes) or "max_nodes" not in asked


async def test_whole_nodes_are_whole_and_counted(bench: Bench) -> None:
    await three(bench)
    await bench.submit(a_task(), requested_nodes=("n3",))

    job_id = await bench.submit(a_sweep(9), unit_type=UnitType.NODE)
    await bench.until_state(job_id, "Running")

    job = await bench.job(job_id)
    assert sorted(job.allocated_nodes) == ["n1", "n2"]
    assert job.units_held == {UnitType.CORE: 6, UnitType.SOCKET: 3, UnitType.NODE: 2}
    assert (job.least, job.most, job.auto_max) == (1, 3, True)


async def test_estimated_memory_is_shared_with_other_jobs(bench: Bench) -> None:
    forever(await bench.node("n1", 4, memory_bytes=4 * GIB))

    first = await bench.submit(a_sweep(3), estimated_process_memory=1024)
    second = await bench.submit(a_sweep(3), estimated_process_memory=1024)
    await bench.until_state(first, "Running")
    await bench.until_state(second, "Running")

    found = [(await bench.job(one)).allocated_cores for one in (first, second)]
    assert found == [3, 1]


UNKNOWN: list[tuple[dict[str, Any], str, int]] = [
    ({"requested_nodes": ("n1", "n9")}, "UNKNOWN_NODE", -2147219965),
    ({"node_groups": ("gone",)}, "UNKNOWN_NODE_GROUP", -2147220937),
    (
        {"requested_nodes": ("n1",), "min_cores": 3},
        "CLUSTER_TOO_SMALL",
        -2147219956,
    ),
]


@pytest.mark.parametrize(("asked", "reason", "number"), UNKNOWN)
async def test_what_is_not_there_is_refused_and_fails_a_draft(
    bench: Bench, asked: dict[str, Any], reason: str, number: int
) -> None:
    await three(bench)
    with pytest.raises(HpcError) as refused:
        await bench.submit(a_task(), **asked)
    assert (refused.value.reason, refused.value.hresult) == (reason, number)

    new = a_job(a_task(), **asked)
    draft = await bench.head.create_job(ANN, new, once("new"), validate_only=False)
    with pytest.raises(HpcError) as refused:
        await bench.head.submit_job(ANN, draft.job_id, once("submit"))

    assert refused.value.reason == reason
    job = await bench.job(draft.job_id)
    assert (job.state.label, job.error_code) == ("Failed", number)


WAITS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"min_cores": 99},
        "NotEnoughResource",
        "it needs 99 cores; the nodes that it may use have 10",
    ),
    (
        {"unit_type": UnitType.NODE, "min_nodes": 2, "node_groups": ("a", "b")},
        "NoAvailableResourceInRequestedNodeGroup",
        "2 of 3 nodes cannot be used: 2 are not in all of its node groups a, b",
    ),
    (
        {"min_cores": 5, "excluded_nodes": ("n1",), "max_cores_per_node": 3},
        "NotEnoughResource",
        "3 of 3 nodes cannot be used: 1 is excluded, 2 have more than 3 cores",
    ),
    (
        {"estimated_process_memory": 9000},
        "NotEnoughResource",
        "3 of 3 nodes cannot be used: 3 have less than 8.8G of memory",
    ),
    (
        {"single_node": True, "min_cores": 5},
        "NotEnoughResource",
        "it needs 5 cores of one node; the nodes that it may use have at most 4",
    ),
]


@pytest.mark.parametrize(("asked", "reason", "line"), WAITS)
async def test_a_waiting_job_says_what_rules_nodes_out(
    bench: Bench, asked: dict[str, Any], reason: str, line: str
) -> None:
    await three(bench)
    job_id = await bench.submit(a_task(), **asked)

    found, lines = await bench.head.explain(ANN, job_id, None)

    assert found == reason
    assert line in lines


async def test_offline_nodes_are_ruled_out_too(bench: Bench) -> None:
    await three(bench)
    off = once("off")
    await bench.head.offline_nodes(ROOT, ["n2"], off, drain=False, reason="")
    job_id = await bench.submit(a_task(), requested_nodes=("n2",))

    reason, lines = await bench.head.explain(ANN, job_id, None)

    assert reason == "RequiredNodesNotAvailable"
    assert "3 of 3 nodes cannot be used: 2 are not requested, 1 is offline" in lines, (
        lines
    )


# Excluding, and groups that change


async def test_an_excluded_node_is_left_and_its_task_runs_elsewhere(
    bench: Bench,
) -> None:
    await three(bench)
    job_id = await bench.submit(a_task(), requested_nodes=("n1", "n2"))
    assert await running_on(bench, job_id) == ["n2"]

    change = Exclusion(add=("n2",))
    job = await bench.head.exclude_nodes(ANN, job_id, change, once("exclude"))
    assert job.excluded_nodes == ("n2",)

    async def moved() -> bool:
        task = await bench.task(job_id)
        return bool(task.nodes == ("n1",) and task.state.label == "Running")

    await bench.until(moved)
    assert (await bench.job(job_id)).auto_requeue_count == 0


async def test_exclusions_survive_a_restart(bench: Bench) -> None:
    await three(bench)
    job_id = await bench.submit(a_task(), min_cores=1, max_cores=1)
    await bench.until_state(job_id, "Running")
    await bench.head.exclude_nodes(
        ANN, job_id, Exclusion(add=("n1", "n3")), once("exclude")
    )
    await bench.head.exclude_nodes(
        ANN, job_id, Exclusion(remove=("n1",)), once("allow")
    )

    await bench.crash()
    await bench.start()

    assert (await bench.job(job_id)).excluded_nodes == ("n3",)


async def test_a_repeated_call_is_answered_as_before(bench: Bench) -> None:
    await three(bench)
    job_id = await bench.submit(a_task())
    add, again = Exclusion(add=("n1",)), once("exclude")
    await bench.head.exclude_nodes(ANN, job_id, add, again)
    clear = Exclusion(clear=True)
    await bench.head.exclude_nodes(ANN, job_id, clear, once("clear"))

    await bench.head.exclude_nodes(ANN, job_id, add, again)

    assert (await bench.job(job_id)).excluded_nodes == ()


async def test_a_node_that_leaves_the_group_of_a_job_is_left(bench: Bench) -> None:
    await three(bench)
    await bench.head.create_group(ROOT, "mine", "", ["n1", "n3"], once("group"))
    job_id = await bench.submit(a_task(), node_groups=("mine",))
    assert await running_on(bench, job_id) == ["n3"]

    await bench.head.change_group(ROOT, "mine", ["n3"], once("out"), add=False)

    async def moved() -> bool:
        return bool((await bench.task(job_id)).nodes == ("n1",))

    await bench.until(moved)
