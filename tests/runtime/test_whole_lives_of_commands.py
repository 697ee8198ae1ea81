"""Jobs that run different things pass a node asleep, and each runs its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hpcsched.core import orders as o
from hpcsched.core.job.spec import JobSpec
from hpcsched.runtime.front import NewJob, Stop
from tests.runtime.test_whole_lives import woken
from tests.support.ahead_bench import RUN_S, node, taught
from tests.support.head_bench import ANN, NO_ID, Bench, a_task
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

SPEC = JobSpec(name="job", environment={"ALL": "1"})


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        node(bench).silent_starts = True
        node(bench).gathers = 0.02
        yield bench


def jobs(count: int) -> list[NewJob]:
    tasks = [
        a_task(
            arguments=("/bin/echo", str(number)),
            environment={"OWN": str(number)},
            stdout_path='"out put"' if number % 2 else "",
            work_directory=f"/tmp/{number}",  # noqa: S108
        )
        for number in range(count)
    ]
    return [NewJob(spec=SPEC, tasks=(task,)) for task in tasks]


async def submit(bench: Bench, count: int) -> Sequence[int]:
    return await bench.head.submit_jobs(ANN, jobs(count), NO_ID, validate_only=False)


def defined(bench: Bench, name: str = "n1") -> dict[int, o.DefineTask]:
    orders = bench.agents[name].orders
    return {one.job_id: one for one in orders if isinstance(one, o.DefineTask)}


async def test_hardly_any_of_them_wakes_and_each_runs_its_own(bench: Bench) -> None:
    awake = woken(bench)
    ids = await submit(bench, 200)
    lot = bench.world.scheduler.waiting.lot_of(ids[-1])
    await bench.clock.advance(5)

    assert len(set(awake) & set(ids)) < 40
    assert {await bench.state(job_id) for job_id in ids} == {"Finished"}
    assert all(node(bench).starts[job_id, 1, 0, 1] == 1 for job_id in ids)
    assert not lot.kind.own
    orders = defined(bench)
    for number, job_id in enumerate(ids):
        order = orders[job_id]
        assert order.arguments == ("/bin/echo", str(number))
        assert order.work_directory == f"/tmp/{number}"  # noqa: S108
        assert order.stdout_path == ("out put" if number % 2 else "")
        assert order.environment["OWN"] == str(number)
        assert order.environment["ALL"] == "1"
        assert order.environment["CCP_JOBID"] == str(job_id)
        assert order.environment["CCP_TASKCONTEXT"] == f"{job_id}.1"
        assert order.environment["CCP_STDOUT"] == ('"out put"' if number % 2 else "")
    bench.check_at_rest()


async def test_a_definition_is_the_same_whether_its_job_sleeps_or_not() -> None:
    found = []
    for together in (True, False):
        clock = ManualClock()
        async with Bench(clock, SeededIds(clock)) as bench:
            await taught(bench)
            new = jobs(30)
            if not together:
                new = [replace(one, spec=replace(SPEC)) for one in new]
            await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
            await bench.clock.advance(9)
            found.append(defined(bench))

    assert found[0] == found[1]


async def test_those_that_are_taken_back_run_their_own_later(bench: Bench) -> None:
    node(bench).plan = lambda _: (1.0, 0)
    ids = await submit(bench, 40)
    await bench.clock.advance(1)
    call = bench.begin(bench.head.cancel_jobs(ANN, ids[5:9], Stop(), NO_ID))
    await bench.node("n2", cores=4)
    await bench.clock.advance(60)
    await call

    states = [await bench.state(job_id) for job_id in ids]
    assert states == ["Finished"] * 5 + ["Canceled"] * 4 + ["Finished"] * 31
    there = {**defined(bench), **defined(bench, "n2")}
    assert there[ids[-1]].arguments == ("/bin/echo", "39")
    for number, job_id in enumerate(ids):
        if job_id in there:
            assert there[job_id].arguments == ("/bin/echo", str(number))


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("crash_at", range(1, 6))
async def test_each_runs_its_own_once_when_the_head_dies_at_any_commit(
    bench: Bench, crash_at: int, *, written: bool
) -> None:
    bench.store.crash_at = bench.store.transactions + crash_at
    bench.store.written = written
    bench.begin(bench.head.submit_jobs(ANN, jobs(60), NO_ID, validate_only=False))
    for _ in range(400):
        await bench.clock.advance(RUN_S / 2)
        if bench.store.crashed:
            break
    assert bench.store.crashed
    await bench.crash()
    await bench.clock.advance(10)

    ids = [job_id for job_id in bench.store._state.jobs if job_id > 4]
    assert {await bench.state(job_id) for job_id in ids} <= {"Finished"}
    assert max(node(bench).starts.values()) == 1
    for number, job_id in enumerate(ids):
        assert defined(bench)[job_id].arguments == ("/bin/echo", str(number))
    bench.check_at_rest()
