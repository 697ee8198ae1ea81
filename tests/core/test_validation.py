"""Bad input: refused with the field and the limit, and nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import NodeLoss, UnitType
from hpcsched.core.job.validation import validate_new, validate_together
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType
from tests.support.job_bench import ANN, Bench, plain, prep, release, sweep

SETTINGS = Settings()
SWEEP = TaskType.PARAMETRIC_SWEEP


def refusal(spec: JobSpec, *tasks: TaskSpec, settings: Settings = SETTINGS) -> HpcError:
    """Return why a new job is refused when it is stored or submitted."""
    try:
        validate_new(spec, tasks, settings)
        validate_together(spec, tasks, settings)
    except HpcError as refused:
        return refused
    raise AssertionError("it was not refused")


JOBS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "é" * 81}, "TEXT_TOO_LONG", "spec.name"),
    ({"project": "p" * 81}, "TEXT_TOO_LONG", "spec.project"),
    ({"name": "a\0b"}, "INVALID_FIELD", "spec.name"),
    ({"project": "\0"}, "INVALID_FIELD", "spec.project"),
    ({"email_address": "a\0@b"}, "INVALID_FIELD", "spec.email_address"),
    ({"custom_properties": {"a": "\0"}}, "INVALID_FIELD", "spec.custom_properties"),
    ({"custom_properties": {"\0": "a"}}, "INVALID_FIELD", "spec.custom_properties"),
    ({"priority": 4001}, "PRIORITY_OUT_OF_RANGE", "spec.priority"),
    ({"priority": -1}, "PRIORITY_OUT_OF_RANGE", "spec.priority"),
    ({"min_cores": 3, "max_cores": 2}, "MIN_GREATER_THAN_MAX", "spec.min_cores"),
    ({"min_cores": 0}, "OUT_OF_RANGE", "spec.min_cores"),
    ({"min_sockets": 0, "unit_type": UnitType.SOCKET}, "OUT_OF_RANGE", "spec.min_so"),
    (
        {"min_nodes": 3, "max_nodes": 2, "unit_type": UnitType.NODE},
        "MIN_GREATER_THAN_MAX",
        "spec.min_nodes",
    ),
    ({"min_memory": 0}, "OUT_OF_RANGE", "spec.min_memory"),
    ({"min_memory": 2, "max_memory": 1}, "MIN_GREATER_THAN_MAX", "spec.min_memory"),
    ({"max_cores_per_node": -1}, "OUT_OF_RANGE", "spec.max_cores_per_node"),
    (
        {"min_cores_per_node": 9, "max_cores_per_node": 8},
        "MIN_GREATER_THAN_MAX",
        "spec.min_cores_per_node",
    ),
    ({"estimated_process_memory": -1}, "OUT_OF_RANGE", "spec.estimated_process_m"),
    ({"order_by": "Cores,Cores"}, "INVALID_FIELD", "spec.order_by"),
    ({"order_by": "Cores,Memory,-Cores"}, "INVALID_FIELD", "spec.order_by"),
    ({"order_by": "Disk"}, "INVALID_FIELD", "spec.order_by"),
    ({"node_groups": ("a", " ")}, "INVALID_FIELD", "spec.node_groups"),
    ({"node_groups": ("g" * 81,)}, "TEXT_TOO_LONG", "spec.node_groups"),
    (
        {"single_node": True, "unit_type": UnitType.NODE, "min_nodes": 2},
        "INVALID_FIELD",
        "spec.single_node",
    ),
    (
        {
            "run_until_canceled": True,
            "auto_calculate_min": True,
            "auto_calculate_max": True,
            "min_cores": 1,
            "max_cores": 1,
        },
        "RUN_UNTIL_CANCELED_AUTOMATIC",
        "spec.run_until_canceled",
    ),
    (
        {"run_until_canceled": True, "min_cores": 1},
        "RUN_UNTIL_CANCELED_WITHOUT_SIZE",
        "spec.run_until_canceled",
    ),
    (
        {
            "run_until_canceled": True,
            "min_cores": 1,
            "max_cores": 1,
            "unit_type": UnitType.NODE,
        },
        "RUN_UNTIL_CANCELED_WITHOUT_SIZE",
        "spec.run_until_canceled",
    ),
    ({"runtime": -1.0}, "OUT_OF_RANGE", "spec.runtime"),
    ({"runtime": float("nan")}, "OUT_OF_RANGE", "spec.runtime"),
    ({"runtime": float("inf")}, "OUT_OF_RANGE", "spec.runtime"),
    ({"custom_properties": {"n" * 81: "v"}}, "CUSTOM_PROPERTY_NAME_TOO_LONG", ""),
    ({"custom_properties": {"n": "v" * 1025}}, "CUSTOM_PROPERTY_VALUE_TOO_LONG", ""),
    ({"custom_properties": {"": "v"}}, "INVALID_FIELD", "spec.custom_properties"),
    ({"environment": {"A=B": "v"}}, "ENVIRONMENT_NAME_INVALID", "spec.environment"),
    ({"environment": {"1A": "v"}}, "ENVIRONMENT_NAME_INVALID", "spec.environment"),
    ({"environment": {"A": "v\0w"}}, "INVALID_FIELD", "spec.environment"),
    ({"environment": {"A": "v" * (1 << 20)}}, "SPEC_TOO_LARGE", "spec.environment"),
    ({"valid_exit_codes": "1..x"}, "INVALID_EXIT_CODES", "spec.valid_exit_codes"),
    ({"valid_exit_codes": "5..1"}, "INVALID_EXIT_CODES", "spec.valid_exit_codes"),
    (
        {"excluded_nodes": tuple(f"n{i}" for i in range(11))},
        "TOO_MANY_EXCLUDED_NODES",
        "spec.excluded_nodes",
    ),
    (
        {"run_until_canceled": True},
        "RUN_UNTIL_CANCELED_WITHOUT_SIZE",
        "spec.run_until_canceled",
    ),
    ({"node_loss": NodeLoss.FENCE}, "INVALID_FIELD", "spec.node_loss"),
]


@pytest.mark.parametrize(("fields", "reason", "field"), JOBS, ids=range(len(JOBS)))
def test_a_bad_field_of_a_job(fields: dict[str, Any], reason: str, field: str) -> None:
    found = refusal(JobSpec(**fields), plain())

    assert found.reason == reason
    assert field in str(found)
    assert found.facts["field"].startswith(field)


TASKS: list[tuple[dict[str, Any], str, str]] = [
    ({"arguments": ()}, "MISSING_COMMAND", "arguments"),
    ({"arguments": ("",)}, "MISSING_COMMAND", "arguments"),
    ({"arguments": (), "command_line": " \t"}, "MISSING_COMMAND", "arguments"),
    ({"command_line": "true"}, "TWO_COMMANDS", "arguments"),
    ({"arguments": ("a\0b",)}, "INVALID_FIELD", "arguments"),
    ({"arguments": ("x" * (1 << 20),)}, "SPEC_TOO_LARGE", "arguments"),
    ({"arguments": ("é" * (1 << 19),)}, "SPEC_TOO_LARGE", "arguments"),
    ({"name": "n" * 81}, "TEXT_TOO_LONG", "name"),
    ({"name": "n\0"}, "INVALID_FIELD", "name"),
    ({"name": "a,b"}, "TASK_NAME_INVALID", "name"),
    ({"name": "a;b"}, "TASK_NAME_INVALID", "name"),
    ({"min_cores": 3, "max_cores": 2}, "MIN_GREATER_THAN_MAX", "min_cores"),
    ({"min_cores": 0}, "OUT_OF_RANGE", "min_cores"),
    ({"runtime": -0.5}, "OUT_OF_RANGE", "runtime"),
    ({"runtime": 61.0}, "TASK_RUNTIME_TOO_LONG", "runtime"),
    ({"grace": -1.0}, "OUT_OF_RANGE", "grace_period"),
    ({"valid_exit_codes": "a"}, "INVALID_EXIT_CODES", "valid_exit_codes"),
    ({"critical_count": 1000001}, "OUT_OF_RANGE", "fail_job_on_failure_count"),
    ({"critical_count": 2}, "PROPERTY_NOT_FOR_TYPE", "fail_job_on_failure_count"),
    ({"end": 5}, "PROPERTY_NOT_FOR_TYPE", "end_value"),
    ({"lines": ("a",)}, "PROPERTY_NOT_FOR_TYPE", "lines"),
    ({"max_concurrent": -1}, "OUT_OF_RANGE", "max_concurrent"),
    ({"max_concurrent": 2}, "PROPERTY_NOT_FOR_TYPE", "max_concurrent"),
    ({"type": SWEEP, "lines": ("a",), "end": 3}, "INVALID_FIELD", "lines"),
    ({"required_nodes": ("n1",)}, "INVALID_FIELD", "required_nodes"),
    ({"node": "n1"}, "INVALID_FIELD", "node"),
    ({"type": TaskType.SERVICE, "step": 2}, "PROPERTY_NOT_FOR_TYPE", "increment_value"),
    ({"stdout_path": "a\0"}, "INVALID_FIELD", "spec.tasks[1]"),
    ({"environment": {"": "v"}}, "ENVIRONMENT_NAME_INVALID", "environment"),
    ({"custom_properties": {"n" * 81: ""}}, "CUSTOM_PROPERTY_NAME_TOO_LONG", ""),
    ({"type": SWEEP, "end": 0}, "SWEEP_INVALID", "end_value"),
    ({"type": SWEEP, "start": 5, "end": 4}, "SWEEP_INVALID", "end_value"),
    ({"type": SWEEP, "start": 0, "end": 4}, "SWEEP_INVALID", "start_value"),
    ({"type": SWEEP, "end": 4, "step": 0}, "SWEEP_INCREMENT", "increment_value"),
    ({"type": SWEEP, "end": 4, "step": -1}, "SWEEP_INCREMENT", "increment_value"),
    ({"type": SWEEP, "end": 2_000_000}, "SWEEP_TOO_LARGE", "end_value"),
    ({"type": SWEEP, "end": 1 << 40, "step": 1 << 30}, "OUT_OF_RANGE", "end_value"),
    ({"type": SWEEP, "lines": ("a\0",)}, "INVALID_FIELD", "lines"),
    ({"name": "b", "depends_on": ("c",)}, "DEPENDENCY_UNKNOWN", "depends_on"),
    ({"name": "b", "depends_on": ("b",)}, "DEPENDENCY_CYCLE", "depends_on"),
    ({"depends_on": ("a",)}, "DEPENDANT_WITHOUT_NAME", "depends_on"),
]


@pytest.mark.parametrize(("fields", "reason", "field"), TASKS, ids=range(len(TASKS)))
def test_a_bad_field_of_a_task(fields: dict[str, Any], reason: str, field: str) -> None:
    task = replace(plain(), **fields)

    found = refusal(JobSpec(runtime=60.0), plain("a"), task)

    assert found.reason == reason
    assert found.facts["field"].startswith("spec.tasks[1]")
    assert field in found.facts["field"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"depends_on": ("a",)}, "depends_on"),
        ({"min_cores": 2}, "min_cores"),
        ({"is_rerunnable": False}, "is_rerunnable"),
        ({"end": 3}, "end_value"),
        ({"critical": True}, "fail_job_on_failure"),
    ],
)
@pytest.mark.parametrize("make", [prep, release])
def test_what_per_node_tasks_have_not(
    make: Any, fields: dict[str, Any], field: str
) -> None:
    found = refusal(JobSpec(), plain("a"), make(**fields))

    assert found.hresult == -2147220908
    assert found.facts["field"] == f"spec.tasks[1].{field}"


def test_at_most_one_preparation_and_one_release() -> None:
    assert refusal(JobSpec(), plain(), prep(), prep()).hresult == -2147219897
    assert refusal(JobSpec(), plain(), release(), release()).hresult == -2147219896


def test_preparation_and_release_alone_make_no_job() -> None:
    assert refusal(JobSpec(), prep(), release()).hresult == -2147219895


def test_release_tasks_may_be_disabled_and_have_a_limit() -> None:
    off = Settings(release_s=0)
    assert refusal(JobSpec(), plain(), release(), settings=off).hresult == -2147219893
    found = refusal(JobSpec(), plain(), release(runtime=16.0))
    assert (found.hresult, found.facts["limit"]) == (-2147219892, "15 s")


@pytest.mark.parametrize(
    ("limit", "own", "fits"),
    [(15, 0, False), (16, 0, True), (5, 5, False), (6, 5, True), (0, 0, True)],
)
def test_a_limit_leaves_time_beside_what_is_kept_for_the_release(
    limit: int, own: int, *, fits: bool
) -> None:
    spec, tasks = JobSpec(runtime=limit), (plain(), release(runtime=own))

    if fits:
        validate_together(spec, tasks, SETTINGS)
    else:
        found = refusal(spec, *tasks)
        assert (found.hresult, found.facts["field"]) == (-2147219978, "spec.runtime")


def test_a_circle_is_shown() -> None:
    names = "abc"
    tasks = [
        plain(name, depends_on=(names[(n + 1) % 3],)) for n, name in enumerate(names)
    ]

    assert "a -> b -> c -> a" in str(refusal(JobSpec(), *tasks))


def test_a_long_chain_is_no_circle() -> None:
    tasks = [
        plain(f"t{n}", depends_on=(f"t{n - 1}",) if n else ()) for n in range(3000)
    ]

    validate_together(JobSpec(), tasks, SETTINGS)


def test_there_are_100_sweeps_at_most() -> None:
    validate_new(JobSpec(), [sweep(1)] * 100, SETTINGS)

    found = refusal(JobSpec(), *[sweep(1)] * 101)

    assert (found.hresult, found.facts["limit"]) == (-2147220906, "100")
    bench = Bench(*[sweep(1)] * 100)
    command = c.AddTasks(caller=ANN, tasks=[plain(), sweep(1)])
    assert bench.refused(command).reason == "TOO_MANY_SWEEPS"


def test_the_largest_sweep_has_a_million_elements_and_both_are_settings() -> None:
    validate_new(JobSpec(), [sweep(1_000_000)], SETTINGS)
    small = Settings(max_sweep=10, max_sweeps=1)

    found = refusal(JobSpec(), sweep(11), settings=small)
    assert (found.facts["count"], found.facts["limit"]) == ("11", "10")
    assert refusal(JobSpec(), sweep(1), sweep(1), settings=small).facts["limit"] == "1"


@pytest.mark.parametrize(
    ("job", "task", "field"),
    [
        ({"min_cores": 2, "max_cores": 4}, {"min_cores": 3}, "min_cores"),
        ({"min_cores": 2, "max_cores": 4}, {"max_cores": 5}, "max_cores"),
        ({"max_cores": 2}, {"min_cores": 3}, "max_cores"),
    ],
)
def test_a_task_fits_inside_its_job(
    job: dict[str, int], task: dict[str, int], field: str
) -> None:
    found = refusal(JobSpec(**job), plain(**task))  # type: ignore[arg-type]

    assert found.reason == "OUT_OF_RANGE"
    assert found.facts["field"] == f"spec.tasks[0].{field}"


def test_the_size_of_a_command_counts_the_jobs_environment_too() -> None:
    half = "x" * (1 << 19)

    found = refusal(JobSpec(environment={"A": half}), plain(environment={"B": half}))

    assert found.facts["field"] == "spec.tasks[0].arguments with environment"
    assert found.facts["limit"] == str(1 << 20)


def test_late_tasks_are_checked_before_any_is_added() -> None:
    bench = Bench(plain("a")).submit()

    for bad in (replace(plain(), arguments=()), plain("b", depends_on=("x",))):
        command = c.AddTasks(caller=ANN, tasks=[plain(), bad], submit=True)
        found = bench.refused(command)
        assert found.facts["field"].startswith("spec.tasks[2]")

    assert len(bench.job.tasks) == 1


def test_submitting_late_tasks_is_all_or_none() -> None:
    bench = Bench(plain()).submit()
    bench.add(plain(), submit=False)

    for ids, reason in (([2, 9], "TASK_NOT_FOUND"), ([2, 1], "TASK_NOT_CONFIGURING")):
        command = c.SubmitTasks(caller=ANN, task_ids=ids)
        assert bench.refused(command).reason == reason

    bench.do(c.SubmitTasks(caller=ANN, task_ids=[2, 2]))
    assert bench.job.tasks[1].submit_time == bench.now


def test_only_what_was_not_canceled_by_name_is_submitted_late() -> None:
    bench = Bench(plain()).submit()
    bench.add(sweep(3), submit=False)
    bench.cancel_tasks((2, 2))

    bench.do(c.SubmitTasks(caller=ANN, task_ids=[2]))

    assert bench.states(2) == ["Queued", "Canceled", "Queued"]


def test_a_sweep_of_a_range_and_of_lines_is_refused_by_both_names() -> None:
    found = refusal(JobSpec(), plain(type=SWEEP, lines=("a", "b"), end=9))

    assert "lines" in str(found)
    assert "end_value" in str(found)
    assert "9" in str(found)
