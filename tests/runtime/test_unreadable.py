"""A job of which nobody can read what is stored harms no other, and is told (F8)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState
from hpcsched.runtime.front import Stop, WatchQuery
from hpcsched.store.base import JobQuery
from tests.support.head_bench import (
    ANN,
    BOB,
    NO_ID,
    ROOT,
    Bench,
    CrashingStore,
    a_sweep,
    once,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.store.memory_state import MemoryState

NO_CODE = b"\xc1"
"""Never the first byte of what we write."""


async def begin_with(bench: Bench, state: MemoryState) -> None:
    for agent in bench.agents.values():
        agent.cut()
    await bench.stop()
    bench.store = CrashingStore(state)
    await bench.start()
    for agent in bench.agents.values():
        await agent.connect()
    await bench.clock.advance(1)


@pytest.fixture(params=["its state", "a task"])
async def broken(request: pytest.FixtureRequest, bench: Bench) -> int:
    """A job that runs, and that the next head cannot read; job 2 is as it should be."""
    agent = await bench.node(cores=3)
    agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(2))
    await bench.submit()
    await bench.clock.advance(5)
    state: MemoryState = bench.store._state.copy()
    stored = state.jobs[job_id]
    if request.param == "its state":
        stored.row = replace(stored.row, blob=NO_CODE)
    else:
        stored.specs = {**stored.specs, 1: NO_CODE}
    await begin_with(bench, state)
    return job_id


async def test_it_is_listed_shown_and_watched_as_set_aside_and_so_are_the_others(
    bench: Bench, broken: int
) -> None:
    listed = {v.job_id: v for v in await bench.head.list_jobs(ANN, JobQuery())}
    shown = await bench.head.get_job(ANN, broken, full=True)
    snapshot = {}
    query = WatchQuery(nodes=False, backlog_only=True)
    async for item in bench.head.watch(ANN, query):
        snapshot.update({view.job_id: view for view in item.jobs})

    for view in (listed[broken], shown, snapshot.get(broken, shown)):
        assert view.state is JobState.RUNNING
        assert (view.owner, view.task_count) == ("ann", 1)
        assert "what is stored" in view.set_aside
    assert listed[2].state is JobState.RUNNING
    assert not listed[2].set_aside


async def test_administrators_and_its_owner_are_told_what_can_be_done(
    bench: Bench, broken: int
) -> None:
    view = await bench.head.cluster(ANN)
    found, *_ = await bench.head.diagnose(ROOT, store=False)
    _, why = await bench.head.explain(ANN, broken, None)

    assert view.jobs_set_aside == 1
    (finding,) = [one for one in found if broken in one.job_ids]
    assert finding.rule == "job_unreadable"
    assert "cannot be read" in why[0]
    assert f"hpc job forget {broken}" in why[-1]


CALLS: dict[str, Callable[[Any, int], Awaitable[Any]]] = {
    "cancel": lambda head, n: head.cancel_jobs(ROOT, [n], Stop(), NO_ID),
    "requeue": lambda head, n: head.requeue_jobs(ROOT, [n], NO_ID),
    "hold": lambda head, n: head.hold_jobs(ROOT, [n], None, NO_ID),
    "wait": lambda head, n: head.wait_job(ROOT, n, 5.0),
}


@pytest.mark.parametrize("call", CALLS)
async def test_what_would_change_it_is_refused_with_the_one_incident(
    bench: Bench, broken: int, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    incidents = set()
    for _ in range(3):
        with pytest.raises(HpcError) as refused:
            await CALLS[call](bench.head, broken)
        assert refused.value.reason == "JOB_QUARANTINED"
        incidents.add(str(refused.value))

    assert len(incidents) == 1
    told = [one for one in caplog.records if "cannot be read" in one.getMessage()]
    assert not told, "once, when the head began, however often somebody asks"


async def test_what_runs_of_it_runs_on_and_its_end_waits_for_who_can_read_it(
    bench: Bench, broken: int
) -> None:
    agent = bench.agents["n1"]
    assert {key[0] for key in agent.live} == {broken, 2}
    for key in [key for key in agent.live if key[0] == broken]:
        agent._stop(key, 0)
    await bench.clock.advance(30)

    assert not agent.journal, "acknowledged: it is kept in the store"
    kept = [name for kind, name in bench.store._state.entries if kind == "quarantine"]
    assert kept
    assert all(name.startswith(f"{broken}/") for name in kept)


async def test_a_head_that_can_read_it_goes_on_with_it(bench: Bench) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(5)
    state: MemoryState = bench.store._state.copy()
    whole, stored = state.jobs[job_id].row, state.jobs[job_id]
    stored.row = replace(whole, blob=NO_CODE)
    await begin_with(bench, state)
    (key,) = agent.live
    agent._stop(key, 0)
    await bench.clock.advance(30)
    state = bench.store._state.copy()
    state.jobs[job_id].row = whole
    agent.plan = lambda _: (1.0, 0)
    await begin_with(bench, state)
    await bench.until_state(job_id, "Finished")

    assert not (await bench.head.get_job(ANN, job_id, full=False)).set_aside
    assert set(agent.starts) == {key, (*key[:3], 2)}, "what ended was run again"
    assert not [1 for kind, _ in bench.store._state.entries if kind == "quarantine"]


async def test_administrators_may_delete_it_and_what_runs_of_it_is_stopped(
    bench: Bench, broken: int
) -> None:
    agent = bench.agents["n1"]
    with pytest.raises(HpcError) as refused:
        await bench.head.forget_jobs(BOB, [broken], once("b"))
    await bench.head.forget_jobs(ROOT, [broken], once("r"))
    await bench.head.forget_jobs(ROOT, [broken], once("r"))
    agent.cut()
    await agent.connect()
    await bench.clock.advance(60)

    assert refused.value.reason == "PERMISSION_DENIED"
    assert [v.job_id for v in await bench.head.list_jobs(ANN, JobQuery())] == [2]
    assert {key[0] for key in agent.live} == {2}
    assert not (await bench.head.cluster(ANN)).jobs_set_aside
