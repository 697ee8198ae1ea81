"""What other people take from a job: no error of its own, and no way around a stop.

Sections 3.5, 5.2 and 5.5 of lifecycle.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.states import JobState
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState
from tests.support.job_bench import Bench, plain, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

S = TaskState


@pytest.mark.parametrize("drain", [False, True], ids=["offline", "drain"])
def test_nodes_that_people_take_away_are_no_system_error_of_the_job(
    *, drain: bool
) -> None:
    bench = Bench(sweep(2), settings=Settings(job_retries=0)).start({1: 1})

    bench.evict(1, drain=drain)
    if drain:
        bench.end(1, 1)
    else:
        bench.stop(1, 1)

    assert bench.stands(JobState.QUEUED)
    assert bench.job.auto_requeue_count == 0
    bench.grant({2: 1}).run_all()
    bench.lose(2)
    assert bench.stands(JobState.FAILED), "one that is lost later still is one"


STOPS: dict[str, Callable[[Bench], object]] = {
    "cancel task": lambda b: b.cancel_tasks((1, 0), force=True, message="no"),
    "cancel job": lambda b: b.cancel("no"),
    "finish job": lambda b: b.finish_job("no"),
    "limit": lambda b: b.tick(100),
}


@pytest.mark.parametrize("ran", [False, True], ids=["never ran", "had started"])
@pytest.mark.parametrize("stop", STOPS)
def test_a_later_stop_replaces_the_preemption_of_what_never_started(
    stop: str, *, ran: bool
) -> None:
    tasks = (plain(is_rerunnable=False), plain(is_rerunnable=False))
    bench = Bench(*tasks, runtime=50.0, min_cores=1, max_cores=2)
    bench.submit().grant({1: 2}).run(2)
    bench.preempt({1: 1}, immediate=True)
    assert bench.state(1) is S.CANCELING

    STOPS[stop](bench)
    reason = EndReason.CANCELED if ran else EndReason.NOT_STARTED
    bench.end(1, code=143, ran=ran, reason=reason)

    after = S.FINISHED if stop == "finish job" else S.FAILED
    assert bench.state(1) is (after if ran else S.CANCELED)
    assert bench.get("origin", 1) != CancelOrigin.PREEMPTION
    assert bench.note(1)[1] != ""


@pytest.mark.parametrize("code", [0, 1], ids=["Finished", "Failed"])
@pytest.mark.parametrize("how", ["lost", "preempted"])
def test_why_a_run_was_broken_off_is_not_how_the_job_ends(how: str, code: int) -> None:
    bench = Bench(plain(), plain(), min_cores=2, max_cores=2).start({1: 1, 2: 1})
    if how == "lost":
        bench.lose(1)
        bench.end(2, code=code)
    else:
        bench.end(2, code=code)
        bench.preempt(immediate=True, whole=True, text="for job 9")
        bench.stop(1)
    assert bench.stands(JobState.QUEUED)
    assert bench.job.error_message

    bench.cancel_tasks((1, 0), message="enough")

    assert bench.stands(JobState.FAILED if code else JobState.FINISHED)
    told = (-2147218980, "1 task failed") if code else (0, "")
    assert (bench.job.error_code, bench.job.error_message) == told
