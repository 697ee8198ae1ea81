"""Children hear what becomes of their parents, whatever dies meanwhile (3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import PendingReason
from hpcsched.runtime.front import Edit, Stop
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
def bench(clock: ManualClock, ids: SeededIds) -> Bench:
    return Bench(clock, ids)


async def reason(bench: Bench, job_id: int) -> PendingReason:
    found: PendingReason = (await bench.job(job_id)).pending_reason
    return found


async def test_a_child_starts_when_its_parents_have_finished(bench: Bench) -> None:
    async with bench:
        await bench.node(cores=1)
        one = await bench.submit(a_task(), a_task())
        two = await bench.submit()
        child = await bench.submit(parent_job_ids=(one, two))
        assert await reason(bench, child) is PendingReason.PARENT_JOBS_NOT_FINISHED

        await bench.until_state(two, "Finished")
        await bench.until_state(child, "Finished")

        first, second, last = [await bench.job(n) for n in (one, two, child)]
        assert last.start_time >= max(first.end_time, second.end_time)
        assert last.parent_job_ids == (one, two)
        assert first.child_job_ids == second.child_job_ids == (child,)
        bench.check_at_rest()


async def test_a_child_waits_on_until_a_failed_parent_has_finished(
    bench: Bench,
) -> None:
    async with bench:
        agent = await bench.node()
        agent.plan = lambda process: (1.0, int(process.key[:2] == (1, 1)))
        parent = await bench.submit()
        child = await bench.submit(parent_job_ids=(parent,))
        await bench.until_state(parent, "Failed")
        await settle()
        lost = PendingReason.PARENT_JOBS_CANCELED_OR_FAILED
        assert await reason(bench, child) is lost

        agent.plan = lambda _: (1.0, 0)
        await bench.head.requeue_jobs(ANN, [parent], NO_ID)

        await bench.until_state(child, "Finished")


@pytest.mark.parametrize("crash", ["before", "after", "while the child is told"])
async def test_what_a_child_knows_survives_the_head(bench: Bench, crash: str) -> None:
    async with bench:
        await bench.node()
        parent = await bench.submit(hold_until=bench.clock.wall() + 100)
        child = await bench.submit(parent_job_ids=(parent,))
        await settle()
        if crash == "before":
            await bench.crash()
        if crash == "while the child is told":
            bench.store.crash_at = bench.store.transactions + 2
        await bench.head.cancel_jobs(ANN, [parent], Stop(message="no"), NO_ID)
        if crash != "before":
            await bench.crash()
        await settle()

        lost = PendingReason.PARENT_JOBS_CANCELED_OR_FAILED
        assert await reason(bench, child) is lost
        await bench.head.requeue_jobs(ANN, [parent], NO_ID)
        await bench.head.release_jobs(ANN, [parent], NO_ID)
        await bench.until_state(child, "Finished")


async def test_a_parent_that_is_deleted_takes_its_waiting_children_along(
    bench: Bench,
) -> None:
    async with bench:
        agent = await bench.node()
        agent.plan = lambda process: (1.0, int(process.key[:2] == (1, 1)))
        parent = await bench.submit()
        child = await bench.submit(parent_job_ids=(parent,))
        grandchild = await bench.submit(parent_job_ids=(child,))
        await bench.until_state(parent, "Failed")

        await bench.head.forget_jobs(ANN, [parent], NO_ID)
        await settle()

        ended = await bench.job(child)
        assert ended.state.label == "Canceled"
        assert ended.error_code == -2147220563
        assert ended.request_cancel.label == "ParentJobsDeleted"
        lost = PendingReason.PARENT_JOBS_CANCELED_OR_FAILED
        assert await reason(bench, grandchild) is lost


async def test_a_parent_that_was_deleted_while_the_head_was_down(bench: Bench) -> None:
    async with bench:
        agent = await bench.node()
        agent.plan = lambda process: (1.0, int(process.key[:2] == (1, 1)))
        parent = await bench.submit()
        child = await bench.submit(parent_job_ids=(parent,))
        await bench.until_state(parent, "Failed")
        bench.store.crash_at = bench.store.transactions + 2
        call = bench.begin(bench.head.forget_jobs(ANN, [parent], NO_ID))
        await settle()
        call.cancel()

        await bench.crash()
        await settle()

        assert await bench.state(child) == "Canceled"


async def test_a_parent_exists_and_was_submitted(bench: Bench) -> None:
    async with bench:
        draft = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=False)
        for parent, number in ((99, -2147219976), (draft.job_id, -2147219975)):
            with pytest.raises(HpcError) as refused:
                await bench.submit(parent_job_ids=(parent,))
            assert refused.value.hresult == number
        child = await bench.head.create_job(
            ANN, a_job(parent_job_ids=(99,)), NO_ID, validate_only=False
        )
        with pytest.raises(HpcError) as refused:
            await bench.head.submit_job(ANN, child.job_id, NO_ID)
        assert refused.value.hresult == -2147219976
        assert await bench.state(child.job_id) == "Failed"


async def test_jobs_never_wait_for_each_other_in_a_circle(bench: Bench) -> None:
    async with bench:
        first = await bench.submit()
        second = await bench.submit(parent_job_ids=(first,))
        third = await bench.submit(parent_job_ids=(second,))
        await bench.head.configure_jobs(ANN, [first], NO_ID)
        edit = Edit(changes={"parent_job_ids": (third,)})
        await bench.head.modify_job(ANN, first, edit, NO_ID)

        with pytest.raises(HpcError) as refused:
            await bench.head.submit_job(ANN, first, NO_ID)

        assert refused.value.hresult == -2147220567


async def test_a_child_may_be_made_when_its_parent_is_long_gone_from_memory(
    bench: Bench,
) -> None:
    async with bench:
        await bench.node()
        parent = await bench.submit()
        await bench.until_state(parent, "Finished")
        await bench.crash()

        child = await bench.submit(parent_job_ids=(parent,))

        await bench.until_state(child, "Finished")


async def test_a_child_that_was_taken_back_hears_what_it_missed(bench: Bench) -> None:
    async with bench:
        await bench.node()
        until = bench.clock.wall() + 50
        parent = await bench.submit(hold_until=until)
        child = await bench.submit(parent_job_ids=(parent,))
        await bench.head.configure_jobs(ANN, [child], NO_ID)
        await bench.until_state(parent, "Finished")

        await bench.head.submit_job(ANN, child, NO_ID)

        await bench.until_state(child, "Finished")
        assert not bench.world.families._children
        assert not bench.world.families._parents


async def test_why_a_child_waits(bench: Bench) -> None:
    async with bench:
        parent = await bench.submit()
        child = await bench.submit(parent_job_ids=(parent,))

        why, lines = await bench.head.explain(ANN, child, None)

        assert why == "ParentJobsNotFinished"
        assert lines == [f"it waits for job {parent}, not Finished yet"]
