"""The run-time limit of a job (J16), and clocks that jump (P17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.deadlines import Deadlines
from hpcsched.runtime.front import Edit, Stop
from hpcsched.store.errors import StoreFullError
from tests.support.head_bench import ANN, NO_ID, a_sweep, a_task

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def lasting(bench: Bench, runtime: float = 60.0) -> int:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(4), runtime=runtime)
    await bench.clock.advance(1)
    assert await bench.state(job_id) == "Running"
    return job_id


async def test_at_its_limit_a_job_is_canceled(bench: Bench) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(58)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(2)

    job = await bench.job(job_id)
    assert job.state.label == "Canceled"
    assert "run-time limit of 60 s" in job.error_message
    bench.check_at_rest()


async def test_the_limit_goes_on_over_a_restart_of_the_head(bench: Bench) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(20)
    await bench.crash()
    await bench.clock.advance(38)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(2)

    assert await bench.state(job_id) == "Canceled"


async def test_a_limit_that_passed_while_no_head_was_there_is_kept(
    bench: Bench,
) -> None:
    job_id = await lasting(bench)
    for agent in bench.agents.values():
        agent.cut()
    await bench.stop()
    await bench.clock.advance(300)
    await bench.start()
    for agent in bench.agents.values():
        agent.reconnect()

    await bench.until_state(job_id, "Canceled", seconds=10)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_jump_of_the_wall_clock_moves_no_limit(
    bench: Bench, jump: float
) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(20)
    bench.clock.jump_wall(jump)
    await bench.clock.advance(38)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(2)

    assert await bench.state(job_id) == "Canceled"


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_jump_of_the_wall_clock_loses_no_node_and_no_order(
    bench: Bench, jump: float
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: (5.0, 0)
    first = await bench.submit()
    second = await bench.submit()
    bench.clock.jump_wall(jump)
    third = await bench.submit()
    await bench.crash()
    bench.clock.jump_wall(-2 * jump)
    fourth = await bench.submit()
    for job_id in (first, second, third, fourth):
        await bench.until_state(job_id, "Finished")

    started = sorted(agent.starts, key=list(agent.starts).index)
    assert [key[0] for key in started] == [first, second, third, fourth]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.parametrize("first", ["jump", "restart"])
async def test_a_head_that_is_started_again_goes_on_counting_whatever_the_clock_did(
    bench: Bench, first: str, jump: float
) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(20)
    if first == "jump":
        bench.clock.jump_wall(jump)
        await bench.clock.advance(5)
        await bench.crash()
    else:
        await bench.stop()
        bench.clock.jump_wall(jump)
        await bench.clock.advance(5)
        await bench.crash()
    await bench.crash()
    await bench.clock.advance(32)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(3)

    assert await bench.state(job_id) == "Canceled"


async def test_a_limit_that_was_changed_is_counted_on_as_well(bench: Bench) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(9)
    edit = Edit(changes={"runtime": 100.0}, entries={})
    await bench.head.modify_job(ANN, job_id, edit, NO_ID)
    bench.clock.jump_wall(-3600.0)
    await bench.crash()
    await bench.clock.advance(88)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(3)

    assert await bench.state(job_id) == "Canceled"


@pytest.mark.parametrize("boot_id", ["boot-2", ""])
async def test_in_another_boot_only_the_wall_clock_is_left(
    bench: Bench, boot_id: str
) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(20)
    bench.boot_id = boot_id
    bench.clock._boot = 5.0
    await bench.crash()
    await bench.clock.advance(38)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(2)

    assert await bench.state(job_id) == "Canceled"


async def test_a_hold_ends_when_it_would_have_over_a_restart(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.head.hold_jobs(ANN, [job_id], bench.clock.wall() + 60, NO_ID)
    bench.clock.jump_wall(-3600.0)
    await bench.crash()
    await bench.clock.advance(58)
    assert (await bench.job(job_id)).pending_reason.label == "HeldByUser"
    await bench.clock.advance(3)

    assert (await bench.job(job_id)).pending_reason.label != "HeldByUser"


async def test_jobs_without_limits_keep_nothing_of_the_clock(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit(a_task())
    await bench.clock.advance(1)

    assert await bench.world.jobs.look(job_id, lambda job: job.due) == ()


async def test_a_queued_again_job_gets_its_whole_limit_again(bench: Bench) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(40)
    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
    await bench.clock.advance(40)
    assert await bench.state(job_id) == "Running"
    await bench.clock.advance(25)

    assert await bench.state(job_id) == "Canceled"


async def test_no_timer_is_left_of_a_job_that_ended(bench: Bench) -> None:
    job_id = await lasting(bench, runtime=5000)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await bench.until_state(job_id, "Canceled")

    far = [when for when in bench.clock.waiting if when > bench.clock.mono() + 100]
    assert not far


async def test_a_limit_that_the_full_disk_kept_from_being_recorded_is_kept_later(
    bench: Bench,
) -> None:
    job_id = await lasting(bench)
    await bench.clock.advance(58)
    bench.store.fail_next(StoreFullError("full"), times=2)
    await bench.clock.advance(10)

    assert await bench.state(job_id) == "Canceled"


async def test_tasks_without_a_limit_run_on(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit(a_task())
    await bench.clock.advance(10_000)

    assert await bench.state(job_id) == "Running"


async def test_a_jump_back_before_somebody_looks_again_moves_no_limit(
    bench: Bench,
) -> None:
    reached: list[float] = []
    deadlines = Deadlines(bench.clock, reached.append)
    limit = bench.clock.wall() + 60
    deadlines.set([limit])
    await bench.clock.advance(20)
    bench.clock.jump_wall(-3600.0)
    sooner = bench.clock.wall() + 10
    deadlines.set([limit, sooner])
    await bench.clock.advance(10)
    assert reached == [sooner]
    deadlines.set([limit])
    await bench.clock.advance(29)
    assert reached == [sooner]
    await bench.clock.advance(1)

    assert reached == [sooner, limit]


async def test_a_limit_of_a_job_that_is_read_again_comes_when_it_would_have(
    bench: Bench,
) -> None:
    reached: list[float] = []
    deadlines = Deadlines(bench.clock, reached.append)
    limit = bench.clock.wall() + 60
    deadlines.set([limit])
    deadlines.stop()
    await bench.clock.advance(20)
    bench.clock.jump_wall(-3600.0)
    deadlines.set([limit])
    await bench.clock.advance(40)

    assert reached == [limit]


async def test_deadlines_that_are_over_are_waited_for_no_more(bench: Bench) -> None:
    reached: list[float] = []
    deadlines = Deadlines(bench.clock, reached.append)
    deadlines.set([bench.clock.wall() + 60])
    deadlines.set([])
    await bench.clock.advance(120)

    assert not reached
