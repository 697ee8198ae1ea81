"""Commands: jobs outside the queue, one task per node, for administrators (D20)."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.orders import DefineTask, EndJob, Role, StartTasks
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import ANN, ROOT, Bench, plain

S = TaskState


def command_on(*nodes: int | None) -> Bench:
    """Return a started command; None stands for a node that is not reachable."""
    tasks = [plain(node=f"n{node}", is_rerunnable=False) for node in nodes]
    bench = Bench(*tasks, job_type=JobType.ADMIN)
    where = dict(enumerate(nodes, start=1))
    bench.do(c.StartCommand(caller=ROOT, nodes=where))
    return bench


def test_a_command_runs_at_once_on_each_node_and_takes_no_cores() -> None:
    bench = command_on(4, 5)

    assert bench.path == ["Submitted", "Validating", "Queued", "Running"]
    starts = [(n, o.task_id, o.cores) for n, o in bench.told(StartTasks)]
    assert starts == [(4, 1, 0), (5, 2, 0)]
    assert {o.role for _, o in bench.told(DefineTask)} == {Role.COMMAND}
    assert [use.cores for use in bench.job.uses.values()] == [(), ()]
    bench.run_all().end_all()
    assert bench.stands(JobState.FINISHED)
    assert sorted(node for node, _ in bench.told(EndJob)) == [4, 5]


def test_on_a_node_that_is_not_reachable_its_task_fails_and_the_others_run() -> None:
    bench = command_on(4, None)

    assert (bench.state(1), bench.state(2)) == (S.DISPATCHING, S.FAILED)
    assert bench.note(2)[0] == -2147218984
    bench.run_all().end(1)
    assert bench.stands(JobState.FAILED)


def test_where_no_node_is_reachable_it_fails_at_once() -> None:
    assert command_on(None).job.state is JobState.FAILED


@pytest.mark.parametrize("how", ["lost", "refused"])
def test_its_tasks_are_never_run_again(how: str) -> None:
    bench = command_on(4, 5)

    if how == "lost":
        bench.lose(4)
    else:
        bench.end(1, reason=EndReason.NOT_STARTED, code=-1, ran=False)

    assert bench.state(1) is S.FAILED
    assert bench.stands(JobState.RUNNING)
    assert bench.get("attempt", 1) == 1


def test_on_a_node_that_is_taken_away_its_task_is_stopped_before_the_node_goes() -> (
    None
):
    bench = command_on(4, 5)
    bench.run_all()

    bench.evict(4)

    assert bench.state(1) is S.CANCELING
    assert not bench.told(EndJob)
    bench.stop(1)
    assert bench.state(1) is S.FAILED
    assert [node for node, _ in bench.told(EndJob)] == [4]


def test_only_administrators_may_start_it() -> None:
    bench = Bench(plain(node="n1"), job_type=JobType.ADMIN)

    refusal = bench.refused(c.StartCommand(caller=ANN, nodes={1: 1}))

    assert refusal.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "command",
    [
        c.CancelJob(caller=ANN),
        c.CancelTasks(caller=ANN, tasks=[(1, 0)]),
        c.FinishJob(caller=ANN),
        c.FinishTasks(caller=ANN, tasks=[(1, 0)]),
    ],
    ids=lambda command: type(command).__name__,
)
def test_only_administrators_may_stop_it_even_if_it_is_their_own(
    command: c.Command,
) -> None:
    bench = command_on(4)
    bench.run_all()

    assert bench.refused(command).reason == "PERMISSION_DENIED"


def test_it_cannot_be_queued_again_configured_or_added_to() -> None:
    bench = command_on(4)
    bench.refused(c.AddTasks(caller=ANN, tasks=[plain(node="n1")]))
    bench.run_all().fail(1)
    assert bench.stands(JobState.FAILED)

    for command in (
        c.RequeueJob(caller=ANN, submit_order=1),
        c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=1),
        c.ConfigureJob(caller=ANN),
    ):
        refusal = bench.refused(command)
        assert (refusal.reason, refusal.hresult) == (
            "COMMAND_NOT_RERUNNABLE",
            -2147220977,
        )


def test_it_is_not_submitted_like_a_job_and_a_job_is_not_started_like_it() -> None:
    bench = Bench(plain(node="n1"), job_type=JobType.ADMIN)
    assert bench.refused(c.SubmitJob(caller=ANN, submit_order=1)).hresult == -2147220977

    other = Bench(plain())
    refusal = other.refused(c.StartCommand(caller=ROOT, nodes={1: 1}))
    assert refusal.reason == "INVALID_OPERATION"
