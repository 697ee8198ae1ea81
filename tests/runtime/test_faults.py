"""Faults of ours in a job hit only what caused them, and lose nothing (F8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import CancelJob, TakeReports
from hpcsched.core.job.decide import decide
from hpcsched.runtime import apart, job_actor
from hpcsched.runtime.front import Stop
from tests.support.head_bench import (
    ANN,
    BOB,
    NO_ID,
    ROOT,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


class Faults:
    """Makes ``decide`` fail for some commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real = decide
        self.count = 0
        self.when: Any = lambda job, command: False
        monkeypatch.setattr(job_actor, "decide", self.decide)

    def decide(self, job: Any, command: Any, *more: Any) -> Any:
        if self.when(job, command):
            self.count += 1
            job.spec = None  # the state is damaged as well
            raise ZeroDivisionError("a fault of ours")
        return self.real(job, command, *more)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


async def test_a_fault_hits_only_the_mail_that_caused_it(
    bench: Bench, faults: Faults
) -> None:
    job_id = await bench.submit()
    faults.when = lambda _, c: isinstance(c, CancelJob) and c.message == "bad"
    bad = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(message="bad"), NO_ID))
    read = bench.begin(bench.job(job_id))
    good = bench.begin(
        bench.head.cancel_jobs(ANN, [job_id], Stop(message="good"), NO_ID)
    )

    with pytest.raises(HpcError) as refusal:
        await bad
    assert refusal.value.reason == "INTERNAL"
    assert (await read).state.label in ("Queued", "Canceled")
    (view,) = await good
    assert (view.state.label, view.error_message) == ("Canceled", "good")


async def test_faults_in_a_row_leave_other_calls_and_other_jobs_alone(
    bench: Bench, faults: Faults
) -> None:
    await bench.node()
    victim = await bench.submit()
    faults.when = lambda job, c: job.job_id == victim and isinstance(c, CancelJob)
    calls = [
        bench.begin(bench.head.cancel_jobs(ANN, [victim], Stop(), NO_ID))
        for _ in range(5)
    ]
    other = await bench.submit(caller=BOB)

    for call in calls:
        with pytest.raises(HpcError, match="internal error"):
            await call
    await bench.until_state(other, "Finished")
    await bench.until_state(victim, "Finished")
    assert faults.count == 5


async def test_a_job_that_faults_on_its_grant_is_no_busy_loop(
    bench: Bench, faults: Faults
) -> None:
    victim = await bench.submit(priority=4000)
    other = await bench.submit()
    names = ("GrantCores",)
    faults.when = lambda job, c: job.job_id == victim and type(c).__name__ in names

    await bench.node()
    await bench.until_state(other, "Finished")
    await bench.clock.advance(60)

    assert faults.count == apart.FAULTS
    assert await bench.state(victim) == "Queued"
    faults.when = lambda job, c: False
    await bench.head.release_jobs(ROOT, [victim], NO_ID)
    await bench.until_state(victim, "Finished")
    bench.check_at_rest()


async def test_a_report_whose_handling_faults_is_kept_until_it_is_recorded(
    bench: Bench, faults: Faults
) -> None:
    agent = await bench.node()
    victim, other = await bench.submit(), await bench.submit()
    await settle()
    faults.when = lambda job, c: job.job_id == victim and isinstance(c, TakeReports)

    await bench.until_state(other, "Finished")
    await bench.clock.advance(300)
    assert await bench.state(victim) == "Running"
    assert faults.count == apart.FAULTS, "it is tried again, and then set aside"
    assert not agent.journal, "the head keeps it now"
    assert not agent.refusals, "other jobs of the node are not disturbed"

    faults.when = lambda job, c: False
    await bench.head.release_jobs(ROOT, [victim], NO_ID)
    await bench.until_state(victim, "Finished")
    task = await bench.task(victim)
    assert (task.exit_code, task.attempt) == (0, 1)
    assert not agent.journal
    bench.check_at_rest()


async def test_a_report_that_one_head_cannot_take_is_recorded_by_the_next(
    bench: Bench, faults: Faults
) -> None:
    await bench.node()
    victim = await bench.submit()
    await settle()
    faults.when = lambda job, c: isinstance(c, TakeReports)
    await bench.clock.advance(30)

    faults.when = lambda job, c: False
    await bench.crash()
    await bench.until_state(victim, "Finished")

    task = await bench.task(victim)
    assert (task.exit_code, task.attempt) == (0, 1)
