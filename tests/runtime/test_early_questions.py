"""Somebody asks for a job's number in the moment in which it is given out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.runtime.registry import JobRegistry
from tests.support.head_bench import ANN, NO_ID, Bench, a_job
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.mark.parametrize("count", [1, 20], ids=["one", "a lot"])
async def test_a_job_that_the_store_did_not_have_a_moment_ago_is_whole(
    count: int, clock: ManualClock, ids: SeededIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bench(clock, ids) as bench:
        never = asyncio.Event()

        async def no_answer(_: int) -> None:
            await never.wait()

        adopt = JobRegistry.adopt

        def just_before(jobs: Any, job: Job) -> Any:
            jobs.actor(job.job_id).loaded(None)  # in this very round of the loop
            return adopt(jobs, job)

        monkeypatch.setattr(bench.store, "load_job", no_answer)
        asked = bench.begin(bench.job(1))
        await settle()
        monkeypatch.setattr(JobRegistry, "adopt", just_before)
        new = [a_job()] * count
        made = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
        monkeypatch.undo()
        agent = await bench.node()
        agent.plan = lambda _: (0.5, 0)

        assert (await asked).job_id == 1
        for job_id in made:
            await bench.until_state(job_id, "Finished")
        await clock.advance(0.01)  # what waits for a frame to travel with goes alone
        bench.check_at_rest()
