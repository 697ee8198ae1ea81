"""Jobs of one call whose tasks run different things are kept as one, and run theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core import orders as o
from hpcsched.core.job.lots import TEXTS
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import UnitType
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import NewJob, Stop
from tests.runtime.test_canceling_lots import before_the_commit_of_many
from tests.support.head_bench import ANN, NO_ID, Bench, a_task
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from hpcsched.core.task.spec import TaskSpec
    from tests.support.fake_agent import FakeAgent

    Maker = Callable[[int], TaskSpec]

SPEC = JobSpec(name="job", environment={"ALL": "1"})


def command(number: int) -> TaskSpec:
    return a_task(arguments=("/bin/echo", str(number)))


DIFFERING: dict[str, Maker] = {
    "arguments": command,
    "command_line": lambda n: a_task(arguments=(), command_line=f"echo {n}"),
    "environment": lambda n: a_task(environment={"N": str(n), "CCP_JOBID": "0"}),
    "custom_properties": lambda n: a_task(custom_properties={"n": "é" * n}),
    "work_directory": lambda n: a_task(work_directory=f"/tmp/{n}"),  # noqa: S108
    "stdin_path": lambda n: a_task(stdin_path=f"in{n}"),
    "stdout_path": lambda n: a_task(stdout_path=f"out{n}", runtime=5.0),
    "stderr_path": lambda n: a_task(stderr_path=f"err{n}" * 30),
    "two of a kind": lambda n: command(n // 2),
    "long texts": lambda n: command(10 ** (n * 9)),
}


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        yield bench


def jobs(count: int, task: Maker = command, spec: JobSpec = SPEC) -> list[NewJob]:
    return [NewJob(spec=spec, tasks=(task(n),)) for n in range(count)]


async def submit(bench: Bench, new: Sequence[NewJob]) -> Sequence[int]:
    return await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)


def everything(bench: Bench) -> tuple[Any, ...]:
    state = bench.store._state
    return (state.jobs, state.events, state.counters, state.books, state.last_seq)


def awake(bench: Bench) -> int:
    awake: int = bench.world.jobs.awake
    return awake


def defined(agent: FakeAgent) -> dict[int, Sequence[str]]:
    """Return what the node was told to run, by job."""
    orders = agent.orders
    return {
        one.job_id: one.arguments for one in orders if isinstance(one, o.DefineTask)
    }


def commands(ids: Sequence[int]) -> dict[int, Sequence[str]]:
    """Return what was asked for, by job."""
    return {job_id: ("/bin/echo", str(n)) for n, job_id in enumerate(ids)}


def kept(bench: Bench) -> int:
    """Return of how many jobs something of their own is in memory."""
    lots = bench.world.scheduler.waiting.lots()
    return sum(
        len(own) for own in {id(lot.kind): lot.kind.own for lot in lots}.values()
    )


async def arguments(bench: Bench, job_id: int) -> tuple[str, ...]:
    view = await bench.head.get_task(ANN, job_id, (1, 0), full=True)
    assert view.spec is not None
    return view.spec.arguments


def test_every_text_is_one_that_may_differ() -> None:
    assert {*DIFFERING} >= TEXTS


@pytest.mark.parametrize("text", DIFFERING)
async def test_what_is_stored_of_them_is_what_is_stored_of_each_by_itself(
    text: str,
) -> None:
    found = []
    for together in (True, False):
        new = jobs(40, DIFFERING[text])
        if not together:
            new = [replace(one, spec=replace(one.spec)) for one in new]
        clock = ManualClock()
        async with Bench(clock, SeededIds(clock)) as bench:
            await bench.submit(a_task(name="first"))
            ids = await submit(bench, new)
            assert (kept(bench) == 40) is together
            await bench.submit(a_task(name="last"))
            await bench.head.cancel_jobs(ANN, ids[10:20], Stop(message="no"), NO_ID)
            await bench.clock.advance(1)
            found.append((everything(bench), bench.world.tally.counts))

    assert found[0] == found[1]


async def test_none_of_them_has_an_actor_until_somebody_asks(bench: Bench) -> None:
    ids = await submit(bench, jobs(500))
    assert awake(bench) == 0
    assert kept(bench) == 500

    assert await arguments(bench, ids[77]) == ("/bin/echo", "77")
    assert awake(bench) == 1
    assert kept(bench) == 499
    assert bench.world.tally.counts == {4: 500}


async def test_each_runs_what_it_was_given(bench: Bench) -> None:
    ids = await submit(bench, jobs(30))
    agent = await bench.node(cores=3)
    for job_id in ids:
        await bench.until_state(job_id, "Finished")

    assert defined(agent) == commands(ids)
    bench.check_at_rest()


async def test_a_head_that_starts_again_lets_them_sleep_with_what_is_theirs(
    bench: Bench,
) -> None:
    first = await submit(bench, jobs(30))
    alike = await submit(bench, [NewJob(spec=SPEC, tasks=(a_task(),))] * 20)
    urgent = replace(SPEC, priority=3000)
    other = await submit(bench, jobs(30, spec=urgent))
    await bench.head.cancel_jobs(ANN, first[3:5], Stop(), NO_ID)
    want = list(bench.world.scheduler.waiting.in_order())
    counts, before = bench.world.tally.counts, everything(bench)
    await bench.crash()

    assert list(bench.world.scheduler.waiting.in_order()) == want
    assert bench.world.tally.counts == counts
    assert everything(bench)[:2] == before[:2]
    assert awake(bench) == 0
    for n in (0, 2, 5, 29):
        assert await arguments(bench, first[n]) == ("/bin/echo", str(n))
    assert await arguments(bench, alike[7]) == ("/bin/true",)
    assert await arguments(bench, other[20]) == ("/bin/echo", "20")


async def test_a_restart_tells_those_that_are_equal_from_those_that_differ(
    bench: Bench,
) -> None:
    one = NewJob(spec=SPEC, tasks=(a_task(),))
    first = await submit(bench, [one] * 5)
    await bench.submit(a_task(name="between"))
    more = await submit(bench, [one] * 2)
    other = await submit(bench, jobs(9))
    want = list(bench.world.scheduler.waiting.in_order())
    await bench.crash()

    assert list(bench.world.scheduler.waiting.in_order()) == want
    for job_id in (first[2], more[1]):
        assert await arguments(bench, job_id) == ("/bin/true",)
    for n in (0, 1, 8):
        assert await arguments(bench, other[n]) == ("/bin/echo", str(n))


async def test_secrets_are_sealed_each_by_itself(bench: Bench) -> None:
    secret = [
        NewJob(spec=SPEC, tasks=(replace(command(n), user_blob=b"mine"),))
        for n in range(3)
    ]
    ids = await submit(bench, secret)
    stored = [await bench.store.load_job(job_id) for job_id in ids]
    bodies = [one.specs[1] for one in stored if one is not None]

    assert len({*bodies}) == 3
    assert not any(b"mine" in body for body in bodies)


async def test_after_a_restart_each_runs_what_it_was_given(bench: Bench) -> None:
    ids = await submit(bench, jobs(12))
    await bench.crash()
    agent = await bench.node(cores=3)
    for job_id in ids:
        await bench.until_state(job_id, "Finished")

    assert defined(agent) == commands(ids)


async def test_nothing_is_kept_of_those_that_are_over(bench: Bench) -> None:
    ids = await submit(bench, jobs(40))
    lot = bench.world.scheduler.waiting.lot_of(ids[0])
    await bench.head.cancel_jobs(ANN, ids[:20], Stop(), NO_ID)
    assert len(lot.kind.own) == 20
    await bench.node(cores=4)
    for job_id in ids[20:]:
        await bench.until_state(job_id, "Finished")

    assert not lot.kind.own


async def test_what_is_not_written_stays_where_it_was(bench: Bench) -> None:
    ids = await submit(bench, jobs(6))
    before_the_commit_of_many(bench, lambda: bench.store.fail_next(OSError("full")))
    with pytest.raises(HpcError):
        await bench.head.cancel_jobs(ANN, ids, Stop(), NO_ID)

    assert kept(bench) == 5  # the first was canceled by itself
    assert await arguments(bench, ids[4]) == ("/bin/echo", "4")


UNLIKE: dict[str, tuple[TaskSpec, ...]] = {
    "its size": (a_task(min_cores=2, max_cores=2),),
    "its name": (a_task(name="b"),),
    "its type": (a_task(type=TaskType.SERVICE),),
    "its run time": (a_task(runtime=5.0),),
    "that it may not run again": (a_task(is_rerunnable=False),),
    "how many tasks it has": (a_task(), a_task()),
    "that it has a secret": (a_task(user_blob=b"x"),),
}


@pytest.mark.parametrize("what", UNLIKE)
async def test_a_job_that_differs_in_anything_else_stands_by_itself(
    bench: Bench, what: str
) -> None:
    new = [*jobs(3), NewJob(spec=SPEC, tasks=UNLIKE[what]), *jobs(3)]
    await submit(bench, new)

    assert kept(bench) == 6
    assert [lot.ids for lot in bench.world.scheduler.waiting.lots()] == [
        *(range(1, 4), range(5, 8))
    ]


async def test_jobs_of_another_specification_stand_by_themselves(bench: Bench) -> None:
    other = replace(SPEC, priority=3000, unit_type=UnitType.NODE)
    await submit(bench, [*jobs(3), *jobs(3, spec=other)])

    assert [lot.ids for lot in bench.world.scheduler.waiting.lots()] == [
        *(range(1, 4), range(4, 7))
    ]


WRONG: dict[str, TaskSpec] = {
    "nothing to run": a_task(arguments=()),
    "two commands": a_task(command_line="ls"),
    "a NUL in an argument": a_task(arguments=("a", "b\0")),
    "a NUL in a line": a_task(arguments=(), command_line="\0"),
    "no name of a variable": a_task(environment={"A=": "b"}),
    "a NUL in a value": a_task(environment={"A": "\0"}),
    "a property without a name": a_task(custom_properties={"": "b"}),
    "a long property": a_task(custom_properties={"a": "b" * 1025}),
    "a NUL in a path": a_task(stdout_path="\0"),
    "a NUL in a directory": a_task(work_directory="a\0"),
    "too much": a_task(arguments=("x" * (1 << 20),)),
    "too much in variables": a_task(environment={"A": "x" * (1 << 20)}),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_text_is_refused_as_it_is_of_a_job_by_itself(
    bench: Bench, what: str
) -> None:
    wrong = NewJob(spec=SPEC, tasks=(WRONG[what],))
    with pytest.raises(HpcError) as alone:
        await submit(bench, [*jobs(1, spec=replace(SPEC)), wrong])
    with pytest.raises(HpcError) as among:
        await submit(bench, [*jobs(1), wrong])

    assert (among.value.reason, str(among.value), among.value.facts) == (
        *(alone.value.reason, str(alone.value), alone.value.facts),
    )
    assert among.value.facts.get("field", "specs[1]").startswith("specs[1]")
    assert not bench.store._state.jobs


async def test_a_text_that_only_the_scheduler_sets_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await submit(
        bench,
        [*jobs(2), NewJob(spec=SPEC, tasks=(a_task(environment={"CCP_JOBID": "1"}),))],
    )

    assert "CCP_JOBID" in caplog.text
