"""Preemption of tasks and jobs: J23, T26, sections 3.5 and 5.5 of lifecycle.md."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import Bench, plain, prep, release, sweep

S, J = TaskState, JobState
FOR = "preempted by job 9"


def running(
    *tasks: object, cores: dict[int, int] | None = None, **spec: object
) -> Bench:
    """Return a job that runs, with what started where known to the core."""
    bench = Bench(*(tasks or (sweep(8),)), **spec)  # type: ignore[arg-type]
    bench.submit().grant(cores or {1: 4})
    for core, (record, instance) in enumerate(list(bench.active((S.DISPATCHING,)))):
        bench.now += 1
        bench.run(record.task_id, instance, core=core)
    return bench


def held(bench: Bench) -> dict[int, int]:
    return {n: len(use.cores) for n, use in bench.job.uses.items()}


def test_gracefully_nothing_is_stopped_and_cores_go_as_tasks_end() -> None:
    bench = running()

    bench.preempt({1: 2}, text=FOR)

    assert not bench.told(StopTasks)
    assert bench.job.owing == {1: 2}
    bench.end(1, 1)
    assert held(bench) == {1: 3}
    assert bench.state(1, 5) is S.QUEUED, "what is owed is not used again"
    bench.end(1, 2)
    assert held(bench) == {1: 2}
    assert not bench.job.owing
    bench.end(1, 3)
    assert bench.state(1, 5) is S.DISPATCHING, "the rest is the job's own"


def test_idle_cores_are_given_up_at_once() -> None:
    waits = plain("b", depends_on=("a",))
    bench = running(plain("a"), waits, cores={1: 4}, min_cores=1, max_cores=4)

    bench.preempt({1: 2})

    assert held(bench) == {1: 2}
    assert not bench.job.owing


def test_what_is_asked_replaces_what_was_asked_before() -> None:
    bench = running()
    bench.preempt({1: 2})

    bench.preempt({})

    assert not bench.job.owing
    bench.end(1, 1)
    assert held(bench) == {1: 4}
    assert bench.state(1, 5) is S.DISPATCHING
    revision = bench.job.revision
    bench.preempt({})
    assert bench.job.revision == revision, "to say it again changes nothing"


def test_at_once_only_as_many_tasks_as_needed_are_stopped_the_latest_first() -> None:
    bench = running()

    bench.preempt({1: 2}, immediate=True, text=FOR)

    assert bench.states(1)[:4] == ["Running", "Running", "Canceling", "Canceling"]
    assert bench.job.state is J.RUNNING
    assert [e.name for e, _ in bench.last.turn.events] == ["TasksPreempted"]  # type: ignore[union-attr]
    (_, stop), *others = bench.told(StopTasks)
    assert (stop.reason, stop.grace_ms, others) == ("Preemption", 15000, [])
    bench.preempt({1: 2}, immediate=True, text=FOR)
    assert bench.states(1)[:2] == ["Running", "Running"], "nobody is stopped twice"
    bench.stop(1, 3)
    assert held(bench) == {1: 3}
    bench.stop(1, 4)
    assert held(bench) == {1: 2}
    assert bench.states(1) == ["Running"] * 2 + ["Queued"] * 6
    assert bench.get("attempt", 1, 3) == 2
    assert bench.get("auto", 1, 3) == 0, "a preemption is charged to nobody"
    bench.end(1, 1)
    assert bench.state(1, 3) is S.DISPATCHING


def test_rerunnable_tasks_go_before_others() -> None:
    bench = running(
        plain(), plain(is_rerunnable=False), cores={1: 2}, min_cores=1, max_cores=2
    )

    bench.preempt({1: 1}, immediate=True, text=FOR)

    assert [bench.state(t) for t in (1, 2)] == [S.CANCELING, S.RUNNING]


def test_a_task_that_cannot_run_again_fails_as_preempted() -> None:
    bench = running(
        plain(is_rerunnable=False),
        plain(is_rerunnable=False),
        cores={1: 2},
        min_cores=1,
        max_cores=2,
    )

    bench.preempt({1: 1}, immediate=True, text=FOR)
    bench.stop(2)

    assert bench.state(2) is S.FAILED
    assert bench.note(2) == (codes.TASKS_PREEMPTED, FOR)
    assert codes.TASKS_PREEMPTED == -2147218976
    assert bench.get("request", 2) == CancelRequest.PREEMPTION
    assert bench.get("origin", 2) == CancelOrigin.PREEMPTION


def test_a_task_that_never_started_is_queued_whatever_it_says_of_reruns() -> None:
    bench = Bench(plain(is_rerunnable=False), plain(is_rerunnable=False), min_cores=1)
    bench.submit().grant({1: 2})

    bench.preempt({1: 1}, immediate=True)
    bench.stop(2)

    assert bench.state(2) is S.QUEUED


def test_a_job_keeps_its_minimum_or_nothing_is_done() -> None:
    bench = running(sweep(8), min_cores=3, max_cores=8)
    revision = bench.job.revision

    bench.preempt({1: 2}, immediate=True)

    assert bench.job.revision == revision


@pytest.mark.parametrize("immediate", [False, True])
def test_the_whole_job_goes_back_to_its_place_in_the_queue(immediate: bool) -> None:
    bench = running()
    order = bench.job.order

    bench.preempt(whole=True, immediate=immediate, text=FOR)
    if immediate:
        assert bench.job.state is J.CANCELING
        assert bench.states(1)[:4] == ["Canceling"] * 4
        for instance in (1, 2, 3, 4):
            bench.stop(1, instance)
        assert bench.job.error_message == FOR
    else:
        assert bench.states(1)[:4] == ["Running"] * 4
        for instance in (1, 2, 3, 4):
            assert bench.job.state is J.RUNNING
            bench.end(1, instance)

    assert bench.path[-2:] == ["Canceling", "Queued"]
    assert bench.job.order == order
    assert bench.job.start_time is None
    assert bench.job.auto_requeue_count == 0
    assert bench.job.error_code == codes.JOB_PREEMPTED == -2147218978
    assert [e.name for e, _ in bench.last.turn.events][-1] == "JobPreempted"  # type: ignore[union-attr]
    bench.grant({2: 4})
    assert bench.job.state is J.RUNNING
    assert not bench.job.error_message


def test_a_job_that_is_to_go_gives_each_core_up_as_it_falls_idle() -> None:
    bench = running()
    bench.preempt(whole=True)

    bench.end(1, 1)

    assert held(bench) == {1: 3}
    bench.grant({1: 4})
    assert held(bench) == {1: 3}, "it takes nothing more"


def test_a_job_below_its_minimum_cannot_be_told_to_stay() -> None:
    bench = running(sweep(8), min_cores=4, max_cores=4)
    bench.preempt(whole=True)
    bench.end(1, 1)

    bench.preempt({})

    assert bench.job.yields_all
    for instance in (2, 3, 4):
        bench.end(1, instance)
    assert bench.job.state is J.QUEUED
    assert bench.job.auto_requeue_count == 0


def test_a_job_that_still_has_its_minimum_may_stay() -> None:
    bench = running()
    bench.preempt(whole=True)

    bench.preempt({})
    bench.end(1, 1)

    assert bench.job.state is J.RUNNING
    assert bench.state(1, 5) is S.DISPATCHING


def test_its_last_tasks_may_end_the_job_before_it_is_queued_again() -> None:
    bench = running(plain(), plain(), cores={1: 2})
    bench.preempt(whole=True)

    bench.end_all()

    assert bench.job.state is J.FINISHED


def test_the_node_release_runs_gracefully_but_not_at_once() -> None:
    for immediate in (False, True):
        bench = Bench(sweep(8), prep(), release(), min_cores=1, max_cores=8)
        bench.submit().grant({1: 2, 2: 2})
        for node in (1, 2):
            bench.run(2, node).end(2, node)
        bench.run_all()

        bench.preempt({2: 2}, immediate=immediate)
        for instance in (3, 4):
            (bench.stop if immediate else bench.end)(1, instance)

        released = [n for n, order in bench.told(StartTasks) if order.task_id == 3]
        assert released == ([] if immediate else [2])
        if not immediate:
            assert bench.job.uses[2].phase is UsePhase.RELEASING
            bench.run(3, 1).end(3, 1)
        assert held(bench) == {1: 2}


def test_the_node_release_does_not_run_for_a_job_preempted_at_once() -> None:
    bench = running(sweep(2), release(), cores={1: 2})

    bench.preempt(whole=True, immediate=True)
    for instance in (1, 2):
        bench.stop(1, instance)

    assert bench.job.state is J.QUEUED
    assert [o.task_id for _, o in bench.told(StartTasks)] == [1]


def test_a_preparation_is_stopped_on_a_node_that_is_given_up_at_once() -> None:
    bench = Bench(sweep(8), prep(), min_cores=1, max_cores=8)
    bench.submit().grant({1: 2, 2: 2})
    bench.run(2, 1).end(2, 1)
    bench.run(2, 2)

    bench.preempt({2: 2}, immediate=True)
    bench.stop(2, 2)

    assert held(bench) == {1: 2}
    assert not bench.job.excluded, "the node is not to blame"


def test_cancel_replaces_a_preemption_and_releases_the_nodes() -> None:
    bench = running(sweep(8), release())
    bench.preempt(whole=True, immediate=True)

    bench.cancel("enough")
    for instance in (1, 2, 3, 4):
        bench.stop(1, instance)
    bench.run(2, 1).end(2, 1)

    assert bench.job.state is J.CANCELED
    assert bench.job.error_message == "enough"
    assert bench.states(1) == ["Failed"] * 4 + ["Canceled"] * 4


def test_a_forced_task_cancel_replaces_its_preemption() -> None:
    bench = running()
    bench.preempt({1: 1}, immediate=True)

    bench.cancel_tasks((1, 4), force=True)
    bench.stop(1, 4)

    assert bench.state(1, 4) is S.FAILED


def test_a_node_lost_meanwhile_ends_the_preemption_there() -> None:
    bench = running(cores={1: 2, 2: 2}, min_cores=1, max_cores=8)
    bench.preempt({1: 1, 2: 2}, immediate=True)

    bench.lose(2)

    assert bench.job.owing == {1: 1}
    assert bench.states(1)[2:4] == ["Queued", "Queued"]
    assert bench.get("auto", 1, 4) == 0


def test_a_critical_task_that_is_preempted_and_cannot_run_again_fails_the_job() -> None:
    bench = running(plain(is_rerunnable=False), sweep(3), fail_on_task_failure=True)
    assert not bench.job.counts[S.QUEUED]

    bench.preempt(whole=True, immediate=True)
    for record, instance in list(bench.active()):
        bench.stop(record.task_id, instance)

    assert bench.job.state is J.FAILED


@pytest.mark.parametrize("state", [J.QUEUED, J.CANCELED])
def test_a_job_that_does_not_run_is_not_preempted(state: JobState) -> None:
    bench = Bench(sweep(4)).submit()
    if state is J.CANCELED:
        bench.cancel()
    revision = bench.job.revision

    bench.preempt(whole=True, immediate=True)

    assert bench.job.revision == revision


def test_a_job_that_ran_ahead_of_another_is_told_when_nobody_waits_before_it() -> None:
    bench = Bench(sweep(4)).submit()
    bench.do(c.GrantCores(cores={1: (0,)}, backfill=True))
    assert bench.job.is_backfill

    bench.do(c.EndBackfill())

    assert not bench.job.is_backfill
    revision = bench.job.revision
    bench.do(c.EndBackfill())
    assert bench.job.revision == revision


def test_a_backfilled_job_that_has_ended_runs_ahead_of_nobody() -> None:
    bench = Bench(plain()).submit()
    bench.do(c.GrantCores(cores={1: (0,)}, backfill=True))

    bench.end_all()

    assert not bench.job.is_backfill


def test_tasks_of_several_cores_go_together_where_nobody_knows_their_cores() -> None:
    bench = running(
        *(plain(min_cores=2) for _ in range(3)),
        plain(depends_on=("b",), name="c"),
        plain(name="b"),
        cores={1: 6, 2: 2},
        min_cores=2,
        max_cores=8,
    )
    assert {bench.get("node", task) for task in (1, 2, 3)} == {1}

    bench.preempt({1: 2}, immediate=True)

    stopped = [bench.state(task) for task in (1, 2, 3)]
    assert stopped == [S.CANCELING] * 3, "only their node knows which cores they have"
    for task in (1, 2, 3):
        bench.stop(task)
    assert held(bench)[1] == 4


def test_a_node_that_owes_cores_takes_nothing_before_it_is_known_which_are_idle() -> (
    None
):
    tasks = [plain(min_cores=2) for _ in range(6)]
    bench = running(*tasks, cores={1: 6}, min_cores=2, max_cores=6)

    bench.preempt({1: 2})
    bench.end(1)
    bench.end(2)

    assert bench.state(4) is S.QUEUED
    bench.end(3)
    assert held(bench) == {1: 4}
    assert [bench.state(task) for task in (4, 5)] == [S.DISPATCHING] * 2
