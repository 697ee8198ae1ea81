"""SubmitJobs of several drafts: all or none (lifecycle.md 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime.front import Stop
from tests.support.fake_filters import FakePrograms, exits, kit
from tests.support.head_bench import (
    ANN,
    BOB,
    NO_ID,
    ROOT,
    Bench,
    a_job,
    a_task,
    once,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.runtime.front import NewJob
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


async def drafts(bench: Bench, *jobs: NewJob) -> list[int]:
    ids = []
    for job in jobs or (a_job(), a_job(), a_job()):
        view = await bench.head.create_job(ANN, job, NO_ID, validate_only=False)
        ids.append(view.job_id)
    return ids


async def states(bench: Bench, ids: Sequence[int]) -> list[str]:
    return [await bench.state(job_id) for job_id in ids]


async def submit(bench: Bench, ids: Sequence[int], *, check: bool = False) -> object:
    return await bench.head.submit_drafts(ANN, ids, NO_ID, validate_only=check)


async def test_they_are_queued_in_the_order_given(bench: Bench) -> None:
    first, second, third = await drafts(bench)

    assert await submit(bench, [third, first, second]) == [third, first, second]

    assert await states(bench, [first, second, third]) == ["Queued"] * 3
    await bench.node(cores=1)
    for job_id in (third, first, second):
        await bench.until_state(job_id, "Finished")
    starts = [(await bench.job(n)).start_time for n in (third, first, second)]
    assert starts == sorted(starts)


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_one_that_cannot_be_submitted_keeps_all_of_them_back(
    bench: Bench, at: int
) -> None:
    ids = await drafts(bench)
    ids[at] = await bench.submit()

    with pytest.raises(HpcError) as refusal:
        await submit(bench, ids)

    assert refusal.value.reason == "JOB_NOT_CONFIGURING"
    assert refusal.value.facts["job_id"] == str(ids[at])
    assert refusal.value.facts["done"] == "0"
    others = [n for n in ids if n != ids[at]]
    assert await states(bench, others) == ["Configuring"] * 2


async def test_one_that_is_not_valid_keeps_all_of_them_back_and_fails_none(
    bench: Bench,
) -> None:
    bad = a_job(a_task(depends_on=("nobody",), name="a"))
    ids = await drafts(bench, a_job(), bad)

    for check in (True, False):
        with pytest.raises(HpcError) as refusal:
            await submit(bench, ids, check=check)
        assert refusal.value.reason == "DEPENDENCY_UNKNOWN"
        assert refusal.value.facts["job_id"] == str(ids[1])
        assert await states(bench, ids) == ["Configuring"] * 2


async def test_a_check_alone_submits_nothing(bench: Bench) -> None:
    ids = await drafts(bench)

    assert await submit(bench, ids, check=True) == []
    assert await states(bench, ids) == ["Configuring"] * 3


async def test_another_s_draft_is_not_submitted(bench: Bench) -> None:
    ids = await drafts(bench)

    with pytest.raises(HpcError) as refusal:
        await bench.head.submit_drafts(BOB, ids, NO_ID, validate_only=False)
    assert refusal.value.reason == "PERMISSION_DENIED"


async def test_a_call_that_is_repeated_submits_each_once(bench: Bench) -> None:
    ids = await drafts(bench)
    for _ in range(2):
        found = await bench.head.submit_drafts(ANN, ids, once("s"), validate_only=False)
        assert found == ids
    await bench.head.cancel_jobs(ANN, ids, Stop(), NO_ID)
    await bench.head.submit_drafts(ANN, ids, once("s"), validate_only=False)

    assert await states(bench, ids) == ["Canceled"] * 3


async def test_a_filter_that_refuses_one_keeps_the_others_from_the_queue(
    clock: ManualClock, ids: SeededIds
) -> None:
    programs = FakePrograms()
    async with Bench(clock, ids, filters=kit(programs)) as bench:
        values = {"SubmissionFilterProgram": "/filter"}
        await bench.head.set_parameters(ROOT, values, NO_ID)
        made = await drafts(bench)
        programs.answers = [exits(0), exits(9, "not this one"), exits(0)]

        with pytest.raises(HpcError, match=r"not this one|another job"):
            await submit(bench, made)

        assert "Queued" not in await states(bench, made)
