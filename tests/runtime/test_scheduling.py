"""Many jobs on many nodes: who gets what, and never anything twice (J8, J11, P12)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsched.core.job.states import PendingReason
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import Stop
from hpcsched.runtime.scheduler_actor import SchedulerActor
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_sweep, a_task
from tests.support.manual_clock import ManualClock, settle
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent


def order_of(*agents: FakeAgent) -> list[int]:
    """Return jobs in the order of their first starts."""
    found: dict[int, None] = {}
    for agent in agents:
        found.update(dict.fromkeys(key[0] for key in agent.starts))
    return list(found)


async def reason(bench: Bench, job_id: int) -> PendingReason:
    found: PendingReason = (await bench.job(job_id)).pending_reason
    return found


async def test_jobs_start_by_priority_then_by_submission(bench: Bench) -> None:
    low = await bench.submit(priority=1000)
    first = await bench.submit()
    high = await bench.submit(priority=3000)
    second = await bench.submit()
    agent = await bench.node(cores=1)
    for job_id in (low, first, high, second):
        await bench.until_state(job_id, "Finished")

    assert order_of(agent) == [high, first, second, low]


async def test_a_job_that_its_user_queued_again_goes_before_its_equals(
    bench: Bench,
) -> None:
    ids = [await bench.submit() for _ in range(3)]
    await bench.head.cancel_jobs(ANN, [ids[1]], Stop(), NO_ID)
    await bench.head.requeue_jobs(ANN, [ids[1]], NO_ID)
    agent = await bench.node(cores=1)
    for job_id in ids:
        await bench.until_state(job_id, "Finished")

    assert order_of(agent) == [ids[1], ids[0], ids[2]]


async def test_jobs_of_one_batch_start_in_their_order(bench: Bench) -> None:
    ids = await bench.head.submit_jobs(
        ANN, [a_job() for _ in range(6)], NO_ID, validate_only=False
    )
    agent = await bench.node(cores=1)
    await bench.until_state(ids[-1], "Finished")

    assert order_of(agent) == list(ids)


async def test_a_small_job_does_not_starve_a_large_one(bench: Bench) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (5.0 + p.key[0], 0)
    for _ in range(3):
        await bench.submit()
    await bench.clock.advance(1)
    large = await bench.submit(a_sweep(4), min_cores=4, max_cores=4)
    small = [await bench.submit() for _ in range(3)]
    await bench.clock.advance(1)

    assert await bench.state(large) == "Queued"
    assert await reason(bench, large) == PendingReason.NOT_ENOUGH_RESOURCE
    for job_id in small:
        assert await bench.state(job_id) == "Queued", "one core is free"
        assert await reason(bench, job_id) == PendingReason.JOB_SUBMITTED_EARLIER
    await bench.until_state(large, "Running")
    assert {await bench.state(job_id) for job_id in small} == {"Queued"}
    await bench.until_state(small[-1], "Finished")
    bench.check_at_rest()


async def test_an_exclusive_job_is_not_starved_by_small_ones(bench: Bench) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (3.0 + p.key[0] % 2, 0)
    for _ in range(2):
        await bench.submit()
    await bench.clock.advance(1)
    alone = await bench.submit(is_exclusive=True)
    late = []
    for _ in range(4):
        late.append(await bench.submit())
        await bench.clock.advance(1)

    await bench.until_state(alone, "Finished", seconds=20)
    for job_id in late:
        await bench.until_state(job_id, "Finished")
    assert order_of(agent)[2] == alone


async def test_an_exclusive_job_has_its_nodes_alone_also_after_a_restart(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: None if p.key[0] == 1 else (1.0, 0)
    alone = await bench.submit(is_exclusive=True)
    other = await bench.submit()
    await bench.clock.advance(3)
    assert set(agent.grants) == {alone}
    await bench.crash()
    await bench.clock.advance(3)

    assert set(agent.grants) == {alone}
    assert await bench.state(other) == "Queued"
    agent.exit(next(iter(agent.live)), 0)
    await bench.until_state(other, "Finished")


async def test_a_job_that_can_never_run_is_passed_over_with_its_reason(
    bench: Bench,
) -> None:
    await bench.node("n1", 2)
    gone = await bench.node("n2", 2)
    gone.retry = None
    gone.cut()
    large = await bench.submit(a_sweep(100), min_cores=64, max_cores=64)
    elsewhere = await bench.submit(requested_nodes=("n2",))
    small = await bench.submit()
    await bench.until_state(small, "Finished")

    assert await reason(bench, large) == PendingReason.NOT_ENOUGH_RESOURCE
    assert await reason(bench, elsewhere) == PendingReason.REQUIRED_NODES_NOT_AVAILABLE
    name, lines = await bench.head.explain(ANN, large, None)
    assert name == "NotEnoughResource"
    assert "it needs 64 cores" in lines[0]
    await gone.connect()
    await bench.until_state(elsewhere, "Finished")
    assert set(gone.starts)


async def test_requested_and_excluded_nodes_are_obeyed(bench: Bench) -> None:
    agents = {name: await bench.node(name, 2) for name in ("n1", "n2", "n3")}
    wanted = await bench.submit(a_sweep(12), requested_nodes=("n2",))
    avoided = await bench.submit(a_sweep(12), excluded_nodes=("n2", "n3"))
    for job_id in (wanted, avoided):
        await bench.until_state(job_id, "Finished")

    def nodes(job_id: int) -> set[str]:
        return {n for n, a in agents.items() if job_id in order_of(a)}

    assert nodes(wanted) == {"n2"}
    assert nodes(avoided) == {"n1"}


async def test_no_job_gets_more_than_its_maximum_nor_starts_below_its_minimum(
    bench: Bench,
) -> None:
    one = await bench.node("n1", 2)
    two = await bench.node("n2", 2)
    most = 0
    job_id = await bench.submit(a_sweep(20), min_cores=3, max_cores=3)
    for _ in range(60):
        await bench.clock.advance(0.25)
        running = len(one.live) + len(two.live)
        most = max(most, running)
        held = sum(len(a.grants.get(job_id, ())) for a in (one, two))
        assert held <= 3
    assert most == 3
    assert await bench.state(job_id) == "Finished"
    bench.check_at_rest()


async def test_a_minimum_that_no_multiple_of_its_tasks_reaches_is_still_met(
    bench: Bench,
) -> None:
    await bench.node("n1", 4)
    job_id = await bench.submit(a_task(min_cores=3, max_cores=3), min_cores=4)
    behind = await bench.submit()

    await bench.until_state(job_id, "Finished")
    await bench.until_state(behind, "Finished")


async def test_a_running_job_grows_onto_what_becomes_free(bench: Bench) -> None:
    first = await bench.node("n1", 1)
    first.plan = lambda _: (4.0, 0)
    job_id = await bench.submit(a_sweep(12))
    await bench.clock.advance(1)
    second = await bench.node("n2", 3)
    second.plan = first.plan
    await bench.clock.advance(1)

    assert len(second.live) == 3
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_tasks_that_need_several_cores_get_them_on_one_node(
    bench: Bench,
) -> None:
    agents = [await bench.node(f"n{n}", 3) for n in (1, 2)]
    job_id = await bench.submit(
        a_sweep(6, min_cores=2, max_cores=2), a_task(min_cores=3, max_cores=3)
    )
    await bench.until_state(job_id, "Finished")

    assert sum(len(agent.starts) for agent in agents) == 7
    bench.check_at_rest()


async def test_a_grant_that_is_declined_is_not_offered_again_and_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is being released: the job can take nothing there for a while."""
    passes = 0
    real = SchedulerActor._pass

    def counted(self: SchedulerActor) -> None:
        nonlocal passes
        passes += 1
        real(self)

    monkeypatch.setattr(SchedulerActor, "_pass", counted)
    agent = await bench.node(cores=2)
    release = 3

    def plan(process: Any) -> tuple[float, int] | None:
        return (10.0 if process.key[1] == release else 1.0), 0

    agent.plan = plan
    job_id = await bench.submit(
        a_task(), a_task(), a_task(type=TaskType.NODE_RELEASE), min_cores=1
    )
    await bench.clock.advance(0.5)
    await bench.head.add_tasks(ANN, job_id, [a_task()], NO_ID, submit=True)
    await bench.until_state(job_id, "Finished")

    assert passes < 100
    bench.check_at_rest()


async def test_numbers_of_cores_are_each_given_to_one_job_at_a_time(
    bench: Bench,
) -> None:
    agents = [await bench.node(f"n{n}", n + 1) for n in range(1, 4)]
    for agent in agents:
        agent.plan = lambda p: (0.2 + 0.3 * (sum(p.key) % 5), 0)
    ids = [
        await bench.submit(
            a_sweep(1 + n % 7, min_cores=1 + n % 2, max_cores=1 + n % 2),
            priority=1000 + 500 * (n % 4),
            is_exclusive=n % 6 == 5,
        )
        for n in range(30)
    ]
    for _ in range(600):
        await bench.clock.advance(0.25)
        check_books(bench)
        if bench.world.scheduler.waiting or bench.world.scheduler.books.held:
            continue
        break
    for job_id in ids:
        assert await bench.state(job_id) == "Finished"
    bench.check_at_rest()


def check_books(bench: Bench) -> None:
    """What agents were told never overlaps, and fits what the books say."""
    for agent in bench.agents.values():
        seen: dict[int, int] = {}
        for job_id, cores in agent.grants.items():
            for core in cores:
                assert 0 <= core < agent.cores
                assert core not in seen, f"{core} of {job_id} and {seen[core]}"
                seen[core] = job_id
        node = bench.world.nodes.find(agent.name)
        assert set(seen) <= books_of(bench, node.record.node_id)


def books_of(bench: Bench, node_id: int) -> set[int]:
    jobs = bench.world.scheduler.books._on_node.get(node_id, {})
    return {core for cores in jobs.values() for core in cores}


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(1, 3),
            st.integers(0, 4),
            st.booleans(),
            st.sampled_from(["", "cancel", "requeue", "cut", "reboot", "crash"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_happens_everything_ends_and_nothing_is_given_twice(
    steps: list[tuple[int, int, int, bool, str]],
) -> None:
    asyncio.run(chaos(steps))


async def chaos(steps: list[tuple[int, int, int, bool, str]]) -> None:
    clock = ManualClock()
    async with Bench(clock, SeededIds(clock)) as bench:
        for name, cores in (("n1", 3), ("n2", 4)):
            agent = await bench.node(name, cores)
            agent.plan = lambda p: (0.3 + 0.4 * (sum(p.key) % 4), 0)
        ids = []
        for count, width, priority, exclusive, trouble in steps:
            job_id = await bench.submit(
                a_sweep(count, min_cores=width, max_cores=width),
                priority=priority * 1000,
                is_exclusive=exclusive,
            )
            ids.append(job_id)
            await clock.advance(0.35)
            await make(bench, trouble, ids, count)
        deadline = clock.mono() + 400
        while not all([(await bench.job(i)).state.terminal for i in ids]):
            assert clock.mono() < deadline, [await bench.state(i) for i in ids]
            await clock.advance(0.5)
        await clock.advance(5)
        bench.check_at_rest()


async def make(bench: Bench, trouble: str, ids: list[int], n: int) -> None:
    agent = list(bench.agents.values())[n % 2]
    job_id = ids[n % len(ids)]
    ended = (await bench.job(job_id)).state.terminal
    match trouble:
        case "cancel" if not ended:
            await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
        case "requeue" if await bench.state(job_id) in ("Running", "Canceled"):
            await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
        case "cut" | "reboot":
            (agent.cut if trouble == "cut" else agent.reboot)()
            agent.reconnect()
        case "crash":
            await bench.crash()
        case _:
            pass
    await settle()
