"""Settings of a living head: own parameters, environment, restore mode, log level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.orders import DefineTask
from hpcsched.runtime.front import Stop
from hpcsched.services.convert_node import cluster_message
from tests.support.head_bench import ANN, NO_ID, ROOT, a_job, a_sweep, a_task, once
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def put(bench: Bench, **values: str) -> None:
    await bench.head.set_parameters(ROOT, values, NO_ID)


async def setenv(bench: Bench, **values: str) -> dict[str, str]:
    return dict(await bench.head.set_variables(ROOT, values, NO_ID))


async def test_administrators_define_parameters_of_their_own(bench: Bench) -> None:
    await put(bench, SiteName="here", maxsweepinstances="5")
    await bench.crash()
    await put(bench, SITENAME="there")

    rows = {row[0]: row[1] for row in await bench.head.parameters(ANN, [])}
    assert rows["SiteName"] == "there"
    assert "SITENAME" not in rows
    assert rows["MaxSweepInstances"] == "5"
    ((name, value, default, _),) = await bench.head.parameters(ANN, ["sitename"])
    assert (name, value, default) == ("SiteName", "there", "")

    assert list(await bench.head.set_parameters(ROOT, {"sitename": ""}, NO_ID)) == []
    with pytest.raises(HpcError) as refusal:
        await bench.head.parameters(ANN, ["SiteName"])
    assert refusal.value.reason == "PARAMETER_NOT_FOUND"
    await put(bench, MaxSweepInstances="")
    rows = {row[0]: row[1] for row in await bench.head.parameters(ANN, [])}
    assert rows["MaxSweepInstances"] == "1000000", "the system's own stay"


def environments(agent: Any) -> list[Any]:
    return [o.environment for o in agent.orders if isinstance(o, DefineTask)]


async def test_variables_of_the_cluster_are_the_lowest_layer_of_every_task(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    await setenv(bench, SITE="cluster", JOB="cluster", TASK="cluster", GONE="cluster")
    await bench.crash()
    job_id = await bench.submit(
        a_task(environment={"TASK": "task"}),
        environment={"JOB": "job", "TASK": "job", "GONE": ""},
    )
    await bench.until_state(job_id, "Finished")

    found = environments(agent)[-1]
    assert (found["SITE"], found["JOB"], found["TASK"]) == ("cluster", "job", "task")
    assert "GONE" not in found
    assert found["CCP_ENVLIST"] == "JOB,SITE,TASK"


async def test_a_changed_variable_is_for_what_starts_from_then_on(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    await setenv(bench, SITE="old")
    job_id = await bench.submit(a_sweep(30))
    await settle()

    assert await setenv(bench, SITE="new", EMPTY="") == {"SITE": "new"}
    await bench.until_state(job_id, "Finished")

    assert [found["SITE"] for found in environments(agent)] == ["old", "new"]
    assert await setenv(bench, SITE="") == {}
    assert await bench.head.variables(ANN) == {}


async def test_what_the_scheduler_provides_cannot_be_set_and_is_no_error(
    bench: Bench,
) -> None:
    assert await setenv(bench, CCP_JOBID="7", ccp_home="/x", OWN="1") == {"OWN": "1"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "REQUIRED_FIELD"),
        ({"a b": "1"}, "ENVIRONMENT_NAME_INVALID"),
        ({"A": "nul\0"}, "INVALID_FIELD"),
        ({"A": "x" * 2048}, "TEXT_TOO_LONG"),
    ],
)
async def test_variables_that_cannot_be_are_refused_all_or_none(
    bench: Bench, values: dict[str, str], reason: str
) -> None:
    await setenv(bench, FULL="x" * 2000)
    with pytest.raises(HpcError) as refusal:
        await bench.head.set_variables(ROOT, values, NO_ID)
    assert refusal.value.reason == reason
    with pytest.raises(HpcError, match="may not"):
        await bench.head.set_variables(ANN, {"A": "1"}, NO_ID)

    assert list(await bench.head.variables(ANN)) == ["FULL"]
    assert len(await setenv(bench, B="x" * 43)) == 2, "2,048 characters in sum"


async def test_setting_variables_is_repeatable(bench: Bench) -> None:
    request = once("r1", b"A=1")
    await bench.head.set_variables(ROOT, {"A": "1"}, request)
    await setenv(bench, A="2")

    again = await bench.head.set_variables(ROOT, {"A": "1"}, request)

    assert again == {"A": "2"}, "it had been carried out before"


async def test_in_restore_mode_nothing_is_started_and_no_work_is_taken(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: None
    busy = await bench.submit(a_sweep(2))
    queued = await bench.submit()
    other = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=False)
    await settle()
    starts = len(agent.starts)
    await put(bench, RestoreMode="True")

    for call in (
        bench.submit(caller=ROOT),
        bench.head.submit_job(ANN, other.job_id, NO_ID),
        bench.head.requeue_jobs(ANN, [busy], NO_ID),
        bench.head.create_command(ROOT, ["n1"], a_task(), NO_ID),
    ):
        with pytest.raises(HpcError) as refusal:
            await call
        assert refusal.value.reason == "RESTORE_MODE"
        assert refusal.value.hresult == -2147220788
    await bench.head.cancel_tasks(ANN, busy, [(1, 1)], Stop(force=True), NO_ID)
    await bench.clock.advance(5)
    await bench.crash()
    await bench.clock.advance(5)
    assert len(agent.starts) == starts, "not even in the place of what ended"
    assert await bench.state(queued) == "Queued"
    for job_id in (busy, queued):
        _, lines = await bench.head.explain(ANN, job_id, None)
        assert "restore mode" in lines[0]
    assert (await bench.head.cluster(ANN)).restore_mode

    agent.plan = lambda _: (1.0, 0)
    await put(bench, RestoreMode="False")

    await bench.until_state(queued, "Finished")
    assert len(agent.starts) > starts
    await bench.until_state(busy, "Failed")
    assert not (await bench.head.cluster(ANN)).restore_mode


async def test_work_that_runs_goes_on_in_restore_mode(bench: Bench) -> None:
    await bench.node(cores=1)
    job_id = await bench.submit()
    await settle()
    await put(bench, RestoreMode="True")

    await bench.until_state(job_id, "Finished")


async def test_the_clusters_counters_add_up(bench: Bench) -> None:
    agent = await bench.node("n1", cores=4)
    await bench.node("n2", cores=2)
    agent.plan = lambda _: None
    await bench.head.offline_nodes(ROOT, ["n2"], NO_ID, drain=False, reason="")
    await bench.submit(a_sweep(3))
    await bench.head.create_job(ANN, a_job(a_sweep(5)), NO_ID, validate_only=False)
    await settle()

    view = await bench.head.cluster(ANN)

    assert (view.cores_total, view.cores_busy, view.cores_idle) == (6, 3, 1)
    assert view.task_counts == {1: 5, 6: 3}


async def test_the_cluster_says_which_head_answers(bench: Bench) -> None:
    world = bench.head._world
    world.scene = replace(world.scene, head="head1:7470")

    view = await bench.head.cluster(ANN)

    assert cluster_message(view, ANN).head == view.head == "head1:7470"
