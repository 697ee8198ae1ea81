"""What ``job why`` says of a job that runs or is being stopped."""

from __future__ import annotations

from hpcsched.core.job.stages import why_it_runs, why_it_stops
from hpcsched.core.job.states import JobState
from tests.support.job_bench import Bench, plain, prep, release, sweep


def test_a_job_that_is_being_stopped_says_what_it_still_waits_for() -> None:
    bench = Bench(sweep(3), prep(), release()).submit().grant({1: 2, 2: 2}).run_all()
    bench.end(2, 1)
    bench.run_all().cancel("enough")

    assert why_it_stops(bench.job) == [
        "it is being stopped: 2 tasks have not ended yet"
    ]
    bench.stop(1, 1)
    assert why_it_stops(bench.job) == ["it is being stopped: 1 task has not ended yet"]
    bench.stop(1, 2)
    assert why_it_stops(bench.job) == [
        "it is being stopped: its node preparation runs on 1 node"
    ]
    bench.stop(2, 2)
    assert why_it_stops(bench.job) == ["its node release runs on 2 nodes"]


def test_a_job_that_is_stopped_to_run_again_says_so() -> None:
    bench = Bench(plain()).start()

    bench.requeue()

    assert why_it_stops(bench.job)[-1] == "it is queued again after that"


def test_a_job_that_only_releases_its_nodes_says_that_it_goes_back() -> None:
    bench = Bench(plain(), plain(), release(), min_cores=2, max_cores=2)
    bench.start({1: 1, 2: 1}).lose(1)
    assert why_it_runs(bench.job) == ["it runs: 1 task runs, 1 waits"]

    bench.end(2)

    assert bench.stands(JobState.RUNNING)
    assert "queued again" in why_it_runs(bench.job)[1]


def test_a_job_that_keeps_its_cores_without_work_says_why() -> None:
    bench = Bench(plain(), run_until_canceled=True, min_cores=1, max_cores=1).start()
    assert len(why_it_runs(bench.job)) == 1

    bench.end(1)

    assert "run_until_canceled" in why_it_runs(bench.job)[1]
