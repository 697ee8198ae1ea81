"""Whose fault it is that a job failed (FailureReason), and why its tasks wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.show import waiting_for
from hpcsched.core.job.states import FailureReason, JobState
from hpcsched.core.settings import Settings
from tests.support.job_bench import ROOT, Bench, plain, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

F, J = FailureReason, JobState


def fails(bench: Bench) -> None:
    bench.fail(1, 1)


def is_lost(bench: Bench) -> None:
    bench.lose(2)


def both(bench: Bench) -> None:
    fails(bench)
    is_lost(bench)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (fails, F.EXECUTION_FAILURE),
        (is_lost, F.RESOURCE_FAILURE),
        (both, F.EXECUTION_FAILURE),
    ],
)
def test_a_job_failed_by_its_own_fault_if_one_of_its_tasks_did(
    what: Callable[[Bench], None], reason: FailureReason
) -> None:
    bench = Bench(sweep(4), settings=Settings(task_retries=0), min_cores=1, max_cores=4)
    bench.start({1: 2, 2: 2})

    what(bench)
    bench.end_all()

    assert bench.stands(J.FAILED)
    assert bench.job.failure_reason is reason


def test_a_critical_task_that_is_lost_is_no_fault_of_its_job() -> None:
    settings = Settings(task_retries=0)
    bench = Bench(sweep(4, critical=True), settings=settings, min_cores=1, max_cores=4)
    bench.start({1: 2, 2: 2})

    bench.lose(2)
    bench.end_all()

    assert bench.stands(J.FAILED)
    assert bench.job.failure_reason is F.RESOURCE_FAILURE


def test_a_task_says_that_its_job_is_held() -> None:
    bench = Bench(plain()).submit()
    assert waiting_for(bench.job, bench.job.tasks[0]) == "its job waits for resources"

    bench.hold(500.0)
    assert waiting_for(bench.job, bench.job.tasks[0]) == "its job is held by its owner"

    bench.hold(500.0, ROOT)
    told = waiting_for(bench.job, bench.job.tasks[0])
    assert told == "its job is held by an administrator"
