"""A job and its tasks changed in one turn, as a file has them (RestoreFromXml)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.modifying import check_edit
from hpcsched.core.job.states import JobState
from hpcsched.core.job.turn import Turn
from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.inventory import Nodes
from tests.support.job_bench import ANN, BOB, Bench, plain, prep, sweep


def node(number: int) -> NodeFree:
    return NodeFree(number, f"n{number}", cores=4)


def edit(task_id: int = 0, name: str = "", **changes: Any) -> c.TaskEdit:
    """Return the edit of a task; one that is added would run ``true``."""
    if name:
        changes["name"] = name
    spec = TaskSpec(**{"arguments": ("/bin/true",), **changes})
    return c.TaskEdit(task_id=task_id, changes=changes, spec=spec)


def restore(*tasks: c.TaskEdit, caller: Any = ANN, **changes: Any) -> c.ModifyJob:
    return c.ModifyJob(caller=caller, changes=changes, tasks=tasks)


def named(*names: str) -> Bench:
    return Bench(*(plain(name) for name in names))


#: Tasks of the job, then number and name of each task of the file, then whose they are.
WHOSE = [
    ("by its number", ["a", "b"], [(2, "a")], [2]),
    ("by its name", ["a", "b"], [(0, "b")], [2]),
    ("its number goes before its name", ["a", "b"], [(2, "a"), (0, "a")], [2, 1]),
    ("a number that there is not: by its name", ["a", "b"], [(9, "b")], [2]),
    ("neither: it is added", ["a"], [(9, "b"), (0, "c")], [2, 3]),
    (
        "several of a name, in their order",
        ["x", "y", "x"],
        [(0, "x"), (0, "x")],
        [1, 3],
    ),
    ("more of a name than there are", ["x"], [(0, "x"), (0, "x")], [1, 2]),
    ("without a name, in their order", ["", "a", ""], [(0, ""), (0, "")], [1, 3]),
    ("a number that there is not, and no name", ["", ""], [(3, "")], [3]),
    ("numbers take theirs first", ["x", "x"], [(0, "x"), (1, "x")], [2, 1]),
]


@pytest.mark.parametrize(
    ("before", "file", "whose"),
    [row[1:] for row in WHOSE],
    ids=[row[0] for row in WHOSE],
)
def test_a_task_of_the_file_is_the_one_of_its_number_else_of_its_name(
    before: list[str], file: list[tuple[int, str]], whose: list[int]
) -> None:
    bench = named(*before)

    edits = [_marked(number, name, place) for place, (number, name) in enumerate(file)]
    decision = bench.do(restore(*edits))

    assert decision.answer == whose
    marks = {t.task_id: t.spec.custom_properties.get("place") for t in bench.job.tasks}
    assert {task_id: marks[task_id] for task_id in whose} == {
        task_id: str(place) for place, task_id in enumerate(whose)
    }


def _marked(number: int, name: str, place: int) -> c.TaskEdit:
    return edit(number, name, custom_properties={"place": str(place)})


def test_job_changed_and_added_tasks_are_one_event() -> None:
    bench = Bench(plain("a"), sweep(4, "s"), plain("b"))
    revision = bench.job.revision

    decision = bench.do(
        restore(
            edit(1, type=TaskType.PARAMETRIC_SWEEP, end=3),
            edit(0, "s", end=6),
            edit(0, "new"),
            edit(3, min_cores=2),
            edit(0, "more", type=TaskType.PARAMETRIC_SWEEP, end=5),
            name="restored",
        )
    )

    assert decision.answer == [1, 2, 4, 3, 5]
    assert bench.job.revision == revision + 1
    assert bench.job.spec.name == "restored"
    assert [task.count for task in bench.job.tasks] == [3, 6, 1, 1, 5]
    assert bench.job.tasks[2].spec.min_cores == 2
    bench.start({1: 40})
    assert bench.job.counts[TaskState.RUNNING] == 16


def test_a_sweep_that_becomes_a_plain_task_has_no_range() -> None:
    bench = Bench(sweep(4, "s"), plain("a"))

    bench.do(restore(edit(0, "s", type=TaskType.BASIC), edit(0, "z")))

    assert bench.job.tasks[0].spec == plain("s")
    bench.start({1: 9})
    assert bench.job.counts[TaskState.RUNNING] == 3


def test_what_the_file_does_not_set_stays() -> None:
    task = plain("a", runtime=9.0, environment={"A": "1"})
    bench = Bench(task, project="p", runtime=50.0)

    bench.do(restore(edit(0, "a", min_cores=3), runtime=60.0))

    assert bench.job.spec.project == "p"
    assert bench.job.tasks[0].spec == plain(
        "a", runtime=9.0, environment={"A": "1"}, min_cores=3
    )


#: What is wrong with the second of three edits, and the field of the refusal.
WRONG = [
    ({"runtime": 99.0}, "TASK_RUNTIME_TOO_LONG", "tasks[1].spec.runtime"),
    ({"name": "a,b"}, "TASK_NAME_INVALID", "tasks[1].spec.name"),
    ({"arguments": ()}, "MISSING_COMMAND", "tasks[1].spec.arguments"),
    ({"end": 4}, "PROPERTY_NOT_FOR_TYPE", "tasks[1].spec.end_value"),
    ({"type": TaskType.SERVICE}, "SERVICE_NOT_ALONE", "spec.tasks"),
    ({"required_nodes": ("x",)}, "UNKNOWN_NODE", "tasks[1].spec.required_nodes"),
]


@pytest.mark.parametrize("number", [2, 0])
@pytest.mark.parametrize(("changes", "reason", "field"), WRONG)
def test_nothing_is_changed_where_one_task_is_wrong(
    number: int, changes: dict[str, Any], reason: str, field: str
) -> None:
    bench = Bench(plain("a"), plain("b"), runtime=10.0, inventory=Nodes(node(1)))
    wrong = edit(number, **changes) if number else edit(0, **{"name": "new", **changes})

    refusal = bench.refused(restore(edit(0, "a", min_cores=2), wrong, edit(0, "z")))

    assert (refusal.reason, refusal.facts["field"]) == (reason, field)


def test_two_tasks_of_a_file_cannot_be_the_same_one() -> None:
    refusal = named("a", "b").refused(restore(edit(2, "b"), edit(2, "c")))

    assert refusal.reason == "INVALID_FIELD"
    assert refusal.facts["field"] == "tasks[1].task_id"


def test_a_task_within_the_new_limit_of_its_job_is_refused_as_any_other() -> None:
    bench = Bench(plain("a", runtime=20.0), runtime=30.0)

    refusal = bench.refused(restore(edit(0, "z"), runtime=10.0))
    bench.do(restore(edit(0, "a", runtime=5.0), runtime=10.0))

    assert refusal.facts["field"] == "spec.tasks[0].runtime"
    assert bench.job.tasks[0].spec.runtime == 5.0


def queued() -> Bench:
    return named("a").submit()


def running() -> Bench:
    return named("a").start()


def failed() -> Bench:
    bench = running()
    bench.end_all(1)
    return bench


def finished() -> Bench:
    bench = running()
    bench.end_all(0)
    return bench


@pytest.mark.parametrize("make", [queued, running, failed, finished])
def test_tasks_are_changed_and_added_only_while_the_job_is_configuring(
    make: Any,
) -> None:
    bench = make()

    changed = bench.refused(restore(edit(0, "a", min_cores=2)))
    added = bench.refused(restore(edit(0, "b")))

    assert (changed.reason, changed.hresult) == ("TASK_NOT_MODIFIABLE", -2147220921)
    assert (added.reason, added.hresult) == ("INVALID_OPERATION", -2147220977)
    assert changed.facts["field"] == added.facts["field"] == "tasks[0]"


@pytest.mark.parametrize("make", [queued, running, failed, finished])
def test_a_file_that_says_what_is_so_changes_nothing_in_any_state(make: Any) -> None:
    bench = make()
    spec, state, revision = bench.job.spec, bench.job.state, bench.job.revision

    decision = bench.do(
        restore(
            edit(1, "a", arguments=("/bin/true",)),
            name=spec.name,
            priority=spec.priority,
            requested_nodes=(),
        )
    )

    assert (bench.job.state, bench.job.revision) == (state, revision)
    assert decision.answer == [1]


def test_a_failed_job_takes_the_files_job_and_is_configuring_then() -> None:
    bench = failed()

    bench.do(restore(edit(1, "a"), name="again", priority=2000))

    assert bench.job.state is JobState.CONFIGURING
    assert bench.job.spec.name == "again"


#: The file's properties, what it says is meant, and what counts as given then.
EXPLICIT = [
    ({"name": "x", "priority": 2000}, (), ("project",)),
    ({"name": "x", "priority": 2000}, ("priority",), ("priority", "project")),
    ({"name": "x", "project": ""}, ("project", "priority"), ("project",)),
    ({"name": "x", "project": ""}, (), ()),
]


@pytest.mark.parametrize(("changes", "meant", "explicit"), EXPLICIT)
def test_a_file_names_what_counts_as_given_though_it_is_built_in(
    changes: dict[str, Any], meant: tuple[str, ...], explicit: tuple[str, ...]
) -> None:
    bench = Bench(plain("a"), explicit=("project",))

    bench.do(restore(**changes, explicit=meant))

    assert bench.job.spec.explicit == explicit


def test_a_stranger_restores_nothing() -> None:
    bench = named("a")

    assert (
        bench.refused(restore(edit(0, "z"), caller=BOB)).reason == "PERMISSION_DENIED"
    )


def test_a_check_alone_refuses_the_same_and_changes_nothing() -> None:
    bench = Bench(plain("a"), prep(), runtime=10.0)
    turn = Turn(bench.job, bench.now, "ann", bench.settings)
    revision = bench.job.revision

    check_edit(turn, restore(edit(0, "a", min_cores=2), edit(0, "b"), name="x"))
    with pytest.raises(Exception, match="longer than the job's"):
        check_edit(turn, restore(edit(0, "b", runtime=99.0)))

    assert not turn.events
    assert bench.job.revision == revision
    assert [task.spec.name for task in bench.job.tasks] == ["a", ""]


def test_a_check_of_a_queued_job_tells_its_verdict() -> None:
    bench = Bench(plain("a"), inventory=Nodes(node(1), node(2))).submit()
    bench.inventory = Nodes(node(1))
    bench.job.spec = bench.watcher.shadow.spec = type(bench.job.spec)(
        requested_nodes=("n2",)
    )
    turn = Turn(bench.job, bench.now, "ann", bench.settings, bench.inventory)

    with pytest.raises(Exception, match="n2 is not in this cluster"):
        check_edit(turn, restore(custom_properties={"k": "v"}))
    assert not turn.events
