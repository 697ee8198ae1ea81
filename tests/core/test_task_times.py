"""What tasks and masters show of when things happened (properties.md 4.2)."""

from __future__ import annotations

from hpcsched.core.job import codec
from hpcsched.core.job.model import Job
from hpcsched.core.job.show import job_view, master_view, required_nodes, task_view
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.task.states import TaskState, TaskType
from hpcsched.core.views import TaskView
from tests.support.job_bench import Bench, plain, sweep

S = TaskState


def master(bench: Bench, task: int = 1) -> TaskView:
    return master_view(bench.job, bench.job.tasks[task - 1], str, full=True)


def shown(bench: Bench, task: int) -> TaskView:
    return task_view(bench.job, bench.job.tasks[task - 1], 0, str)


def reloaded(job: Job) -> Job:
    specs = {0: codec.encode_spec(job.spec)}
    specs |= {t.task_id: codec.encode_spec(t.spec) for t in job.tasks}
    chunks = {}
    for number, table in job.tables.items():
        for chunk in range(-(-table.size // 256)):
            chunks[number, chunk] = table.encode(chunk)
    notes = {n: codec.pack(note) for n, note in enumerate(job.notes) if n}
    blob = codec.encode_job(job)
    return codec.decode_job(job.job_id, job.owner, blob, specs, chunks, notes)


def test_a_master_starts_with_its_first_element_and_ends_with_its_last() -> None:
    bench = Bench(sweep(3)).submit()
    assert master(bench).start_time is None
    bench.grant({1: 3})
    for instance in (2, 1, 3):
        bench.now += 10
        bench.run(1, instance)
    first = bench.get("start", 1, 2)
    assert master(bench).start_time == first
    assert master(bench).end_time is None

    for instance in (3, 2, 1):
        bench.now += 10
        bench.end(1, instance)

    last = bench.get("end", 1, 1)
    assert (master(bench).start_time, master(bench).end_time) == (first, last)
    again = reloaded(bench.job)
    view = master_view(again, again.tasks[0], str)
    assert (view.start_time, view.end_time) == (first, last)


def test_a_master_that_is_queued_again_has_neither_started_nor_ended() -> None:
    bench = Bench(sweep(2)).start({1: 2})
    bench.fail(1, 1)
    bench.end(1, 2)
    assert master(bench).end_time is not None

    bench.requeue()

    assert (master(bench).start_time, master(bench).end_time) == (None, None)


def test_a_master_shows_the_error_of_its_first_element_that_failed() -> None:
    bench = Bench(sweep(3)).start({1: 3})
    bench.fail(1, 2)

    view = master(bench)

    assert (view.error_code, view.error_message) == bench.note(1, 2)
    assert view.error_code


def test_a_master_has_used_what_its_elements_have_used() -> None:
    bench = Bench(sweep(3)).start({1: 3}).end_all()

    used = [bench.get("user_ms", 1, instance) for instance in (1, 2, 3)]

    assert master(bench).user_ms == sum(used)


def test_tasks_are_as_old_as_their_job_unless_they_were_added_later() -> None:
    bench = Bench(plain(), sweep(2)).submit()
    born = bench.job.create_time
    bench.now += 100
    later = bench.now

    bench.add(plain(), sweep(2))

    def ages(job: Job) -> list[float]:
        return [
            master_view(job, one, str).create_time
            if one.has_elements
            else task_view(job, one, 0, str).create_time
            for one in job.tasks
        ]

    assert ages(bench.job) == [born, born, later, later]
    assert ages(reloaded(bench.job)) == [born, born, later, later]


def test_a_task_keeps_its_age_when_it_is_queued_again_or_becomes_a_sweep() -> None:
    bench = Bench(plain(), run_until_canceled=True, min_cores=1, max_cores=1)
    bench.now += 100
    later = bench.now
    bench.add(plain(), submit=False)

    bench.modify_task(2, type=TaskType.PARAMETRIC_SWEEP, end=3)

    assert master(bench, 2).create_time == later
    bench.modify_task(2, type=TaskType.BASIC, end=0)
    assert shown(bench, 2).create_time == later
    bench.start({1: 1})
    bench.fail(1)
    assert shown(bench, 1).create_time == bench.job.create_time


def test_a_job_shows_the_nodes_that_its_tasks_require_in_memory_and_stored() -> None:
    one = plain(required_nodes=("n2", "n1"))
    two = plain(required_nodes=("n1", "n3"))
    bench = Bench(one, two, plain(), min_cores=1, max_cores=8)

    assert required_nodes(bench.job) == ("n2", "n1", "n3")
    view = job_view(bench.job, str)
    assert view.required_nodes == ("n2", "n1", "n3")
    assert codec.unpack(codec.encode_job(bench.job))["nodes"][1] == ("n2", "n1", "n3")


def test_the_spec_alone_requires_no_nodes() -> None:
    assert required_nodes(Job(1, "ann", JobSpec(), 0.0)) == ()
