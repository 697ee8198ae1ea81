"""What jobs and tasks show of where they ran and of what is planned for them."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import PreemptCores
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import TaskPage
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_sweep, a_task


async def test_an_ended_job_says_how_many_cores_and_sockets_it_had(
    bench: Bench,
) -> None:
    for name in ("n1", "n2"):
        await bench.node(name, 4, sockets=2)
    job_id = await bench.submit(a_sweep(6), min_cores=6, max_cores=6)
    await bench.clock.advance(0.5)
    running = await bench.job(job_id)
    assert (running.peak_cores, running.allocated_cores) == (6, 6)
    await bench.until_state(job_id, "Finished")

    ended = await bench.job(job_id)

    assert (ended.peak_cores, ended.peak_sockets, ended.allocated_cores) == (6, 3, 0)
    assert ended.allocated_nodes == ("n1", "n2")
    await bench.crash()
    assert (await bench.job(job_id)).peak_cores == 6


async def test_a_new_run_counts_anew(bench: Bench) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda p: (1.0, 1 if p.key[3] == 1 else 0)
    job_id = await bench.submit(a_sweep(2), min_cores=1, max_cores=2, retry_limit=0)
    await bench.until_state(job_id, "Failed")
    await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")

    assert (await bench.job(job_id)).peak_cores == 2


async def test_what_is_planned_is_what_is_held_without_what_is_owed(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(4), min_cores=1, max_cores=4)
    await bench.clock.advance(1)
    assert (await bench.job(job_id)).planned_cores == 4
    (node,) = bench.world.jobs.get(job_id).job.uses
    # Asked for by hand: the scheduler takes it back at its next look.
    await bench.world.jobs.ask(job_id, PreemptCores(cores={node: 3}), None)

    assert (await bench.job(job_id)).planned_cores == 1


async def test_a_job_names_its_preparation_and_release(bench: Bench) -> None:
    job_id = await bench.submit(
        a_task(), a_task(type=TaskType.NODE_RELEASE), a_task(type=TaskType.NODE_PREP)
    )

    job = await bench.job(job_id)
    assert (job.prep_task, job.release_task) == (3, 2)


async def test_a_failed_task_says_on_which_node(bench: Bench) -> None:
    agent = await bench.node("n1", 2)
    agent.plan = lambda p: (1.0, p.key[2] - 1)
    job_id = await bench.submit(a_sweep(2))
    await bench.until_state(job_id, "Failed")

    tasks, _ = await bench.head.list_tasks(ANN, job_id, TaskPage(elements=True))
    assert [one.failed_node for one in tasks] == ["", "n1"]


async def test_a_task_says_when_it_changed_last(bench: Bench) -> None:
    job_id = await bench.submit(a_sweep(2))
    begun = bench.clock.wall()
    assert (await bench.task(job_id, 1, 1)).change_time == begun
    await bench.node(cores=1)
    await bench.clock.advance(0.5)
    running = await bench.task(job_id, 1, 1)
    assert running.change_time == running.start_time
    assert (await bench.task(job_id, 1, 2)).change_time == begun
    await bench.until_state(job_id, "Finished")

    for instance in (0, 1, 2):
        task = await bench.task(job_id, 1, instance)
        assert task.change_time == task.end_time


async def test_a_job_that_failed_its_validation_says_what_by_name(
    bench: Bench,
) -> None:
    draft = a_job(a_task(name="a", depends_on=("nobody",)))
    view = await bench.head.create_job(ANN, draft, NO_ID, validate_only=False)
    with pytest.raises(HpcError) as refusal:
        await bench.head.submit_job(ANN, view.job_id, NO_ID)

    job = await bench.job(view.job_id)
    assert job.error_params == refusal.value.facts
    assert job.error_params["name"] == "nobody"
    await bench.crash()
    assert (await bench.job(view.job_id)).error_params == job.error_params
    await bench.head.configure_jobs(ANN, [view.job_id], NO_ID)
    again = await bench.job(view.job_id)
    assert (again.error_message, again.error_params) == ("", {})


async def test_a_failed_task_is_told_once_by_why(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: (1.0, 7)
    job_id = await bench.submit(a_task(valid_exit_codes="0"))
    await bench.clock.advance(10)

    _, lines = await bench.head.explain(ANN, job_id, None)

    assert [line for line in lines if "failed" in line] == ["1 task failed"]
