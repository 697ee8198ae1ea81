"""ModifyTask: only while task and job are Configuring (properties.md 2, 4.1)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import DefineTask, StartTasks
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.job_bench import ANN, BOB, Bench, counts, plain, prep, sweep

S = TaskState
SWEEP = TaskType.PARAMETRIC_SWEEP


def modify(task: int, **changes: Any) -> c.ModifyTask:
    return c.ModifyTask(caller=ANN, task_id=task, changes=changes)


def failed_sweep() -> Bench:
    """A configured job whose sweep has one element that Finished, and two that ran."""
    bench = Bench(sweep(3)).start({1: 3})
    bench.end(1, 1).fail(1, 2).fail(1, 3)
    bench.configure()
    assert bench.states(1) == ["Finished", "Configuring", "Configuring"]
    return bench


def test_a_task_is_what_it_was_changed_to_when_it_runs() -> None:
    bench = Bench(plain("a"), plain("b"))

    bench.modify_task(1, arguments=("/bin/false",), runtime=5.0, min_cores=2)

    bench.submit().grant({1: 3})
    defined = {o.task_id: o for _, o in bench.told(DefineTask)}
    assert defined[1].arguments == ("/bin/false",)
    assert defined[1].runtime_ms == 5000
    assert [o.cores for _, o in bench.told(StartTasks) if o.task_id == 1] == [2]


def test_what_ran_before_is_defined_anew() -> None:
    bench = Bench(plain()).start()
    bench.fail(1)
    bench.configure()

    bench.modify_task(1, arguments=("/bin/other",))
    bench.submit().grant()

    assert [o.arguments for _, o in bench.told(DefineTask)][-1] == ("/bin/other",)


@pytest.mark.parametrize("state", ["queued", "running", "failed", "added later"])
def test_a_task_that_was_submitted_is_not_to_be_changed(state: str) -> None:
    bench = Bench(plain(), plain()).submit()
    task = 1
    if state == "running":
        bench.grant().run_all()
    if state == "failed":
        bench.grant().run_all().fail(1).fail(2)
    if state == "added later":
        (task,) = bench.add(plain(), submit=False)

    assert bench.refused(modify(task, name="x")).hresult == -2147220921


def test_a_task_that_is_kept_is_not_to_be_changed() -> None:
    bench = Bench(plain(), plain()).start()
    bench.end(1).fail(2)
    bench.configure()

    assert bench.refused(modify(1, name="x")).hresult == -2147220921
    bench.modify_task(2, name="x")


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"name": "a,b"}, -2147220565),
        ({"arguments": ()}, -2147219952),
        ({"command_line": "x", "arguments": ("y",)}, -2147220987),
        ({"type": SWEEP}, -2147219898),
        ({"critical_count": 2}, -2147220908),
        ({"valid_exit_codes": "x"}, -2147220568),
        ({"runtime": 61.0}, -2147219941),
        ({"group_id": -1}, -2147219978),
    ],
)
def test_a_change_is_checked_like_a_new_task(
    changes: dict[str, Any], number: int
) -> None:
    bench = Bench(plain("a"), plain("b"), runtime=60.0)

    refusal = bench.refused(modify(2, **changes))

    assert refusal.hresult == number
    assert refusal.facts.get("field", "spec.tasks[1]").startswith("spec.tasks[1]")


def test_dependencies_are_checked_again_when_the_job_is_submitted() -> None:
    bench = Bench(plain("a"), plain("b", depends_on=("a",)))
    bench.modify_task(1, depends_on=("b",))

    refusal = bench.do(c.SubmitJob(caller=ANN, submit_order=1)).refusal

    assert refusal is not None
    assert refusal.hresult == -2147219931


def test_a_second_preparation_is_refused() -> None:
    bench = Bench(prep(), plain())

    refusal = bench.refused(modify(2, type=TaskType.NODE_PREP))

    assert refusal.hresult == -2147219897


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"end": 7}, 7),
        ({"end": 2}, 2),
        ({"start": 2}, 2),
        ({"step": 2}, 2),
        ({"lines": ("a", "b", "c", "d"), "end": 0}, 4),
    ],
)
def test_another_range_rewrites_the_elements(
    changes: dict[str, Any], size: int
) -> None:
    bench = Bench(plain(), sweep(3), plain())

    bench.modify_task(2, **changes)

    assert bench.states(2) == ["Configuring"] * size
    assert counts(bench.job) == {"Configuring": size + 2}
    bench.start({1: 20})
    assert bench.states(2) == ["Running"] * size
    bench.end_all()
    assert bench.stands(JobState.FINISHED)


def test_a_shell_line_takes_the_place_of_arguments_and_the_reverse() -> None:
    bench = Bench(plain())

    bench.modify_task(1, command_line="echo")
    assert bench.job.tasks[0].spec.arguments == ()
    bench.modify_task(1, arguments=("/bin/true",))

    assert bench.job.tasks[0].spec.command_line == ""


@pytest.mark.parametrize("task", [1, 2, 3])
def test_a_plain_task_becomes_a_sweep_and_plain_again(task: int) -> None:
    bench = Bench(plain("a"), plain("b"), plain("c"))

    bench.modify_task(task, type=SWEEP, end=4)
    assert bench.states(task) == ["Configuring"] * 4
    bench.modify_task(task, type=TaskType.BASIC, end=0)
    assert counts(bench.job) == {"Configuring": 3}
    bench.modify_task(task, type=SWEEP, end=2)

    bench.start({1: 20})
    assert counts(bench.job) == {"Running": 4}
    bench.end_all()
    assert bench.stands(JobState.FINISHED)


def test_elements_that_have_finished_are_kept_when_the_range_grows() -> None:
    bench = failed_sweep()

    bench.modify_task(1, end=5)

    assert bench.states(1) == ["Finished", *["Configuring"] * 4]
    bench.start({1: 9}).end_all()
    assert bench.stands(JobState.FINISHED)


@pytest.mark.parametrize(
    "changes", [{"start": 2}, {"step": 2}, {"type": TaskType.BASIC, "end": 0}]
)
def test_elements_that_have_ended_keep_their_values(changes: dict[str, Any]) -> None:
    bench = failed_sweep()

    refusal = bench.refused(modify(1, **changes))

    assert refusal.reason == "ELEMENTS_HAVE_ENDED"
    assert refusal.hresult == -2147220921


def test_elements_that_have_ended_are_not_cut_off() -> None:
    bench = Bench(sweep(3)).start({1: 3})
    bench.fail(1, 1).fail(1, 2).end(1, 3)
    bench.configure()

    assert bench.refused(modify(1, end=2)).reason == "ELEMENTS_HAVE_ENDED"
    bench.modify_task(1, end=4)


def test_an_element_of_the_same_number_never_has_an_attempt_that_nodes_have_seen() -> (
    None
):
    bench = Bench(sweep(3)).start({1: 3})
    for instance in (1, 2, 3):
        bench.fail(1, instance)
    bench.configure()

    bench.modify_task(1, end=1)
    bench.modify_task(1, end=3)
    bench.modify_task(1, type=TaskType.BASIC, end=0)
    bench.modify_task(1, type=SWEEP, end=3)

    assert [bench.get("attempt", 1, i) for i in (1, 2, 3)] == [2, 2, 2]


def test_a_change_of_a_task_is_its_owners() -> None:
    bench = Bench(plain())

    command = c.ModifyTask(caller=BOB, task_id=1, changes={"name": "x"})

    assert bench.refused(command).reason == "PERMISSION_DENIED"


def test_a_task_that_is_not_there() -> None:
    assert Bench(plain()).refused(modify(2, name="x")).hresult == -2147220985


def test_p4_a_task_may_become_rerunnable_before_the_job_is_submitted_again() -> None:
    bench = Bench(plain(is_rerunnable=False)).start()
    bench.fail(1)
    bench.configure()
    bench.modify_task(1, is_rerunnable=True)

    assert bench.do(c.SubmitJob(caller=ANN, submit_order=2)).refusal is None
    assert bench.stands(JobState.QUEUED)


def test_p4_a_task_that_started_before_and_may_not_run_again_fails_the_job() -> None:
    bench = Bench(plain()).start()
    bench.fail(1)
    bench.configure()
    bench.modify_task(1, is_rerunnable=False)

    refusal = bench.do(c.SubmitJob(caller=ANN, submit_order=2)).refusal

    assert refusal is not None
    assert refusal.hresult == -2147219950
    assert bench.stands(JobState.FAILED)


def test_a_sweep_that_keeps_only_ended_elements_has_ended_itself() -> None:
    bench = Bench(sweep(3), plain()).submit()
    bench.cancel_tasks((1, 1))
    bench.configure()
    assert bench.state(1) is S.CONFIGURING

    bench.modify_task(1, end=1)

    assert bench.states(1) == ["Canceled"]
    assert bench.state(1) is S.CANCELED


@pytest.mark.parametrize("kind", [TaskType.NODE_PREP, TaskType.SERVICE])
def test_what_replaces_a_sweep_that_ran_never_repeats_its_attempts(
    kind: TaskType,
) -> None:
    others = [] if kind is TaskType.SERVICE else [plain()]
    bench = Bench(sweep(2), *others).start({1: 3})
    bench.end_all(code=1)
    bench.configure()
    assert bench.get("attempt", 1, 1) == 2

    bench.modify_task(1, type=kind, end=0)
    bench.submit().grant({1: 3})

    assert bench.get("attempt", 1, 1) == 2
    (start,) = [o for _, o in bench.told(StartTasks) if o.task_id == 1][-1:]
    assert set(start.attempts) == {2}
