"""Node preparation and release: lifecycle.md 5.3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.environment import definition_of
from hpcsched.core.job.show import waiting_for
from hpcsched.core.job.states import CancelRequest, JobState
from hpcsched.core.orders import DefineTask, EndJob, Role, StartTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, release, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

S = TaskState


def started(bench: Bench, task: int) -> list[int]:
    """Return the nodes on which a task was started, in order."""
    return [node for node, order in bench.told(StartTasks) if order.task_id == task]


def test_preparation_runs_on_each_node_before_any_other_task() -> None:
    bench = Bench(sweep(4), prep()).submit().grant({1: 1, 2: 1})

    assert started(bench, 2) == [1, 2]
    assert started(bench, 1) == []
    bench.run(2, 1).end(2, 1)
    assert started(bench, 1) == [1]
    bench.run(2, 2).end(2, 2)
    assert started(bench, 1) == [1, 2]
    bench.end_all()
    assert bench.stands(JobState.FINISHED)
    assert bench.state(2) is S.FINISHED


def test_a_node_that_is_added_later_is_prepared_first() -> None:
    bench = Bench(sweep(4), prep()).submit().grant({1: 1})
    bench.run(2, 1).end(2, 1)

    bench.grant({2: 1})

    assert started(bench, 2) == [1, 2]
    assert started(bench, 1) == [1]


def test_it_takes_no_core_and_substitutes_its_own_number() -> None:
    bench = Bench(plain(), prep()).submit().grant()

    start = bench.told(StartTasks)[0][1]
    definition = bench.told(DefineTask)[0][1]
    assert (start.cores, list(start.values)) == (0, [1])
    assert (definition.role, definition.substitute) == (Role.PREP, True)


def test_where_it_fails_the_node_is_excluded_and_the_job_goes_on() -> None:
    bench = Bench(sweep(3), prep(), release()).submit().grant({1: 1, 2: 1})
    bench.run(2, 1).fail(2, 1)

    assert bench.job.excluded == ("n1",)
    assert set(bench.job.uses) == {2}
    assert [node for node, _ in bench.told(EndJob)] == [1]
    assert started(bench, 3) == []  # no release where the preparation failed
    bench.end_all()
    assert bench.stands(JobState.FINISHED)


def test_without_enough_nodes_left_the_job_is_queued_again_as_a_system_error() -> None:
    bench = Bench(plain(), prep()).submit().grant({1: 1})

    bench.run(2, 1).fail(2, 1)

    assert bench.stands(JobState.QUEUED)
    assert bench.job.error_code == -2147218968
    assert "n1" in bench.job.error_message
    assert bench.job.auto_requeue_count == 1
    bench.grant({2: 1})
    assert (bench.job.error_code, bench.job.error_message) == (0, "")


def test_a_preparation_that_its_node_refuses_excludes_the_node_too() -> None:
    bench = Bench(sweep(3), prep()).submit().grant({1: 1, 2: 1})

    bench.refuse(2, 1)

    assert bench.job.excluded == ("n1",)


def test_a_lost_node_is_not_excluded() -> None:
    bench = Bench(sweep(3), prep()).submit().grant({1: 1, 2: 1})

    bench.lose(1)

    assert bench.job.excluded == ()
    assert bench.state(2, 1) is S.FAILED
    assert set(bench.job.uses) == {2}


def test_a_preparation_that_the_node_forgot_gives_the_node_back() -> None:
    bench = Bench(sweep(3), prep()).submit().grant({1: 1, 2: 1}).run_all()

    bench.sync(1, [])

    assert set(bench.job.uses) == {2}
    assert bench.job.excluded == ()


def test_a_node_taken_away_while_it_is_prepared_is_not_excluded() -> None:
    bench = Bench(sweep(3), prep(), release()).submit().grant({1: 1, 2: 1}).run_all()

    bench.evict(1)
    bench.stop(2, 1)

    assert set(bench.job.uses) == {1, 2}
    assert bench.job.excluded == ()
    assert started(bench, 3) == [1]


def test_a_node_that_is_prepared_while_it_is_drained_takes_no_task() -> None:
    bench = Bench(sweep(3), prep(), release()).submit().grant({1: 1, 2: 1}).run_all()

    bench.evict(1, drain=True)
    bench.end(2, 1)

    assert started(bench, 1) == []
    assert started(bench, 3) == [1]


def test_release_runs_when_a_node_is_given_back_before_the_job_ends() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1, 2: 1})

    bench.end(1)

    assert started(bench, 3) == [1]
    assert not bench.told(EndJob)
    bench.run(3, 1).end(3, 1)
    assert [node for node, _ in bench.told(EndJob)] == [1]
    assert bench.state(2) is S.RUNNING


@pytest.mark.parametrize("code", [0, 1])
def test_it_also_runs_where_tasks_failed_and_its_own_failure_changes_nothing(
    code: int,
) -> None:
    bench = Bench(plain(), release()).start()
    bench.fail(1)

    assert started(bench, 2) == [1]
    bench.run(2, 1).end(2, 1, code=code)

    assert bench.stands(JobState.FAILED)
    assert bench.job.error_message == "1 task failed"


def test_its_run_time_is_limited_and_the_limit_is_not_extended_by_grace() -> None:
    for own, limit in ((0.0, 15000), (4.0, 4000)):
        bench = Bench(plain(), release(runtime=own), prep(runtime=60.0))
        records = bench.job.tasks
        settings, scene = bench.settings, bench.scene
        mine = definition_of(bench.job, records[1], settings, scene)
        assert (mine.runtime_ms, mine.grace_ms, mine.role) == (limit, 0, Role.RELEASE)
        other = definition_of(bench.job, records[2], settings, scene)
        assert (other.runtime_ms, other.grace_ms) == (60000, 15000)


def test_a_release_that_the_node_forgot_does_not_keep_the_job() -> None:
    bench = Bench(plain(), release()).start()
    bench.end(1).run_all()

    bench.sync(1, [])

    assert bench.stands(JobState.FINISHED)


def test_a_release_of_a_node_given_back_that_is_lost_gives_back_the_node() -> None:
    bench = Bench(plain(), plain(), release()).start({1: 1, 2: 1})
    bench.end(1).run(3, 1)

    bench.sync(1, [])

    assert set(bench.job.uses) == {2}


def test_disabled_release_tasks_do_not_run() -> None:
    bench = Bench(plain(), release()).start()
    bench.settings = Settings(release_s=0)

    bench.end(1)

    assert started(bench, 2) == []
    assert bench.stands(JobState.FINISHED)


def test_a_preparation_canceled_before_it_ran_does_not_run() -> None:
    bench = Bench(plain(), prep()).submit()
    bench.cancel_tasks((2, 0))
    assert bench.state(2) is S.CANCELED

    bench.grant()

    assert started(bench, 2) == []
    assert started(bench, 1) == [1]


def test_a_preparation_canceled_by_name_while_it_runs_excludes_its_node() -> None:
    bench = Bench(sweep(2), prep()).submit().grant({1: 1, 2: 1}).run_all()

    bench.cancel_tasks((2, 1))
    bench.stop(2, 1)

    assert bench.job.excluded == ("n1",)


def test_the_tasks_of_a_job_that_closes_early_do_not_wait_for_preparations() -> None:
    bench = Bench(plain(), prep(), release()).submit().grant().run_all()

    bench.cancel_tasks((1, 0))

    assert bench.stands(JobState.FINISHING)
    bench.end(2, 1, reason=EndReason.CANCELED, code=143)
    assert started(bench, 3) == [1]
    bench.end_all()
    assert bench.stands(JobState.CANCELED)


@pytest.mark.parametrize("prepared", [True, False], ids=["one prepared", "none"])
@pytest.mark.parametrize("ran", [True, False], ids=["ran", "sent"])
@pytest.mark.parametrize(
    "stop",
    [
        lambda b: b.cancel("enough"),
        lambda b: b.finish_job(),
        lambda b: b.requeue(),
        lambda b: b.tick(100),
    ],
    ids=["cancel", "finish", "requeue", "limit"],
)
def test_release_runs_on_all_nodes_allocated_one_being_prepared_too(
    stop: Callable[[Bench], object], *, prepared: bool, ran: bool
) -> None:
    bench = Bench(sweep(4), prep(), release(), runtime=100.0, min_cores=1, max_cores=2)
    bench.submit().grant({1: 1, 2: 1})
    if ran:
        bench.run_all()
    if prepared:
        bench.end(2, 1)
        bench.run_all()

    stop(bench)

    assert started(bench, 3) == []
    for record, instance in list(bench.active()):
        bench.stop(record.task_id, instance)
    assert sorted(started(bench, 3)) == [1, 2]
    bench.end_all()
    assert not bench.job.uses
    assert bench.job.excluded == ()


def test_no_release_where_the_preparation_failed_while_the_job_was_stopped() -> None:
    bench = Bench(sweep(2), prep(), release()).submit().grant({1: 1, 2: 1}).run_all()
    bench.end(2, 1)

    bench.cancel("soon", graceful=True)
    bench.fail(2, 2)
    bench.end_all()

    assert started(bench, 3) == [1]
    assert bench.stands(JobState.CANCELED)


@pytest.mark.parametrize("force", [True, False], ids=["by force", "preempted"])
def test_no_release_where_a_preparation_is_stopped_at_once(*, force: bool) -> None:
    bench = Bench(sweep(2), prep(), release(), can_preempt=True)
    bench.submit().grant({1: 1, 2: 1}).run_all()

    if force:
        bench.cancel(force=True)
    else:
        bench.preempt({1: 1}, immediate=True)
    bench.stop(2, 1)
    if force:
        bench.stop(2, 2)

    assert started(bench, 3) == []
    assert 1 not in bench.job.uses


def pair(**how: Any) -> Bench:
    """Return a job of two nodes that needs both, with a task on each."""
    tasks = (plain(), plain(), release())
    return Bench(*tasks, min_cores=2, max_cores=2, **how).start({1: 1, 2: 1})


@pytest.mark.parametrize("retries", [3, 0], ids=["J24", "J25"])
def test_what_is_left_is_released_before_the_job_is_queued_again(retries: int) -> None:
    bench = pair(settings=Settings(job_retries=retries))
    bench.lose(1)

    bench.end(2)

    assert bench.stands(JobState.RUNNING)
    assert bench.job.request_cancel is CancelRequest.RESOURCE_FAILURE
    assert started(bench, 3) == [2]
    bench.grant({3: 1})
    assert set(bench.job.uses) == {2}, "it goes back, and takes nothing any more"
    bench.preempt({2: 1}, immediate=True, whole=True)
    bench.run(3, 1).end(3, 1)
    end = "Queued" if retries else "Failed"
    assert bench.path[-2:] == ["Running", end]
    assert bench.job.error_code == -2147218981
    assert bench.job.auto_requeue_count == (1 if retries else 0)
    if retries:
        assert not bench.job.request_cancel
        bench.grant({2: 1, 3: 1})
        assert bench.stands(JobState.RUNNING)
        assert bench.job.error_message == ""


def test_a_release_that_is_lost_does_not_keep_the_job_from_the_queue() -> None:
    bench = pair()
    bench.lose(1)
    bench.end(2)

    bench.lose(2)

    assert bench.stands(JobState.QUEUED)
    assert bench.job.auto_requeue_count == 1


def test_a_job_that_goes_back_can_still_be_canceled_and_keeps_that_reason() -> None:
    bench = pair()
    bench.lose(1)
    bench.end(2)

    bench.cancel("enough")
    bench.run(3, 1).end(3, 1)

    assert bench.stands(JobState.CANCELED)
    assert bench.job.error_message == "enough"
    assert started(bench, 3) == [2]


def test_a_job_of_which_nothing_is_left_to_run_does_not_go_back() -> None:
    bench = pair()
    bench.lose(1)
    bench.end(2)

    bench.cancel_tasks((1, 0))
    bench.run(3, 1).end(3, 1)

    assert bench.stands(JobState.FINISHED)
    assert bench.job.error_message == ""


def test_too_few_nodes_prepared_is_told_so_whichever_node_answered_last() -> None:
    for order in ((1, 2), (2, 1)):
        bench = Bench(sweep(3), prep(), min_cores=2, max_cores=2)
        bench.submit().grant({1: 1, 2: 1}).run_all()

        for instance in order:
            bench.end(2, instance, code=int(instance == 1))
        if order == (2, 1):
            bench.end(1, 1)  # it had begun where the node was prepared

        assert bench.stands(JobState.QUEUED)
        assert bench.job.error_code == -2147218968, order
        assert "n1" in bench.job.error_message


def test_a_task_that_waits_for_a_preparation_says_so() -> None:
    bench = Bench(sweep(3), prep(), min_cores=1, max_cores=2)
    bench.submit().grant({1: 1, 2: 1}).run_all()
    task = bench.job.tasks[0]

    assert "preparation" in waiting_for(bench.job, task)
    bench.end(2, 1)
    assert waiting_for(bench.job, task) == "waits for a core"


def test_they_can_only_be_added_while_the_job_is_configuring() -> None:
    bench = Bench(plain())
    bench.add(prep(), release())
    bench.submit()

    for late in (prep(), release()):
        command = c.AddTasks(caller=ANN, tasks=[late], submit=True)
        assert bench.refused(command).hresult == -2147220910
