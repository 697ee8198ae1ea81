"""Bad input: a stable reason, the field, the limit, the exit status, no side effect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster


@pytest.fixture
def unchanged(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, in which no job comes into being."""
    before = [job.id for job in cluster.client.jobs(limit=1)]
    yield cluster
    assert [job.id for job in cluster.client.jobs(limit=1)] == before


@pytest.mark.parametrize(
    "verb", ["show", "wait", "watch", "output", "why", "cancel", "requeue", "finish"]
)
def test_an_unknown_job_is_not_found(unchanged: Cluster, verb: str) -> None:
    error = unchanged.refused("job", verb, 999_999)

    assert (error["code"], error["reason"]) == ("NOT_FOUND", "JOB_NOT_FOUND")
    assert error["metadata"]["job_id"] == "999999"


@pytest.mark.parametrize(
    ("arguments", "reason", "facts"),
    [
        (["--array", "1-2000000", "--", "true"], "SWEEP_TOO_LARGE",
         {"limit": "1000000", "count": "2000000"}),
        (["--array", "9-3", "--", "true"], "SWEEP_INVALID", {}),
        (["--cores", "3-2", "--", "true"], "MIN_GREATER_THAN_MAX",
         {"minimum": "3", "maximum": "2"}),
        (["--priority", "4001", "--", "true"], "PRIORITY_OUT_OF_RANGE", {}),
        (["--nodelist", "n9", "--", "true"], "UNKNOWN_NODE", {"node": "n9"}),
        (["--name", "n" * 81, "--", "true"], "TEXT_TOO_LONG", {"limit": "80"}),
        (["--valid-exit", "9..3", "--", "true"], "INVALID_EXIT_CODES", {}),
        (["--env", "A B=1", "--", "true"], "ENVIRONMENT_NAME_INVALID", {}),
        (["--retries", "-1", "--", "true"], "OUT_OF_RANGE", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_submission_that_breaks_a_rule_names_rule_field_and_limit(
    unchanged: Cluster, arguments: list[str], reason: str, facts: dict[str, str]
) -> None:
    error = unchanged.refused("submit", *arguments)

    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", reason)
    assert error["metadata"]["field"]
    assert facts.items() <= error["metadata"].items()


def test_tasks_that_depend_on_each_other_in_a_circle_are_refused(
    unchanged: Cluster,
) -> None:
    tasks = [
        {"name": "a", "depends_on": ["b"], "arguments": ["true"]},
        {"name": "b", "depends_on": ["a"], "arguments": ["true"]},
    ]

    error = unchanged.refused(
        "submit", "--file", "-", stdin=json.dumps({"tasks": tasks})
    )

    assert error["reason"] == "DEPENDENCY_CYCLE"
    assert {"a", "b"} <= set(error["metadata"]["cycle"].replace(",", " ").split())


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"name": "a", "depends_on": ["nobody"]}, "DEPENDENCY_UNKNOWN"),
        ({"depends_on": ["nobody"]}, "DEPENDANT_WITHOUT_NAME"),
        ({}, "MISSING_COMMAND"),
    ],
    ids=["unknown", "no name", "no command"],
)
def test_tasks_that_cannot_be_are_refused_with_their_place(
    unchanged: Cluster, task: dict[str, object], reason: str
) -> None:
    command = {} if reason == "MISSING_COMMAND" else {"arguments": ["true"]}
    tasks = [{"arguments": ["true"]}, {**task, **command}]

    error = unchanged.refused(
        "submit", "--file", "-", stdin=json.dumps({"tasks": tasks})
    )

    assert error["reason"] == reason
    assert "tasks[1]" in error["metadata"]["field"]


def test_a_job_that_is_too_large_is_refused_with_the_limit(unchanged: Cluster) -> None:
    line = "x" * 500_000
    tasks = [{"command_line": f"true {line}"} for _ in range(10)]

    error = unchanged.refused(
        "submit", "--file", "-", stdin=json.dumps({"tasks": tasks})
    )

    assert error["reason"] == "SPEC_TOO_LARGE"
    assert int(error["metadata"]["length"]) > int(error["metadata"]["limit"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--runtime", "90", "--", "true"],
        ["--grace", "15", "--", "true"],
        ["--array", "1-", "--", "true"],
        ["--array", "0-3", "--", "true"],
        ["--shell", ""],
        ["--no-such-option", "--", "true"],
        ["--cores", "many", "--", "true"],
        [],
        ["--"],
        ["--file", "missing.toml"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_what_the_command_line_alone_shows_to_be_malformed_is_a_usage_error(
    unchanged: Cluster, arguments: list[str]
) -> None:
    error = unchanged.refused("submit", *arguments, status=2)

    assert error["reason"] == "USAGE"
    if arguments[:1] == ["--runtime"]:
        assert "90s" in error["message"] or "unit" in error["message"]


def test_a_cursor_that_was_never_given_out_is_refused(unchanged: Cluster) -> None:
    error = unchanged.refused("events", "--after", "no-such-cursor")

    assert error["reason"] == "CURSOR_UNKNOWN"


def test_calls_in_the_wrong_state_are_refused_and_change_nothing(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--", "true")
    cluster.ended(job_id)
    for verb, reason in {
        "submit": "JOB_NOT_CONFIGURING",
        "cancel": "INVALID_CANCEL_JOB_STATE",
        "finish": "INVALID_OPERATION",
        "requeue": "INVALID_OPERATION",
        "configure": "JOB_NOT_CONFIGURABLE",
    }.items():
        error = cluster.refused("job", verb, job_id)
        assert (error["code"], error["reason"]) == ("FAILED_PRECONDITION", reason)
        assert error["metadata"]["state"] == "Finished"
    error = cluster.refused("task", "cancel", f"{job_id}.1")
    assert error["reason"] == "INVALID_CANCEL_TASK_STATE"
    assert state_of(cluster.job(job_id)) == "FINISHED"


def test_a_head_that_is_not_there_is_status_3(cluster: Cluster) -> None:
    done = cluster.hpc(
        "--json", "--rpc-timeout", "1s", "job", "list", status=3,
        HPC_ADDRESS="127.0.0.1:1",
    )  # fmt: skip

    assert done.error["reason"] == "HEAD_UNREACHABLE"
    assert "127.0.0.1:1" in done.error["message"]


def test_a_dry_run_checks_and_changes_nothing(unchanged: Cluster) -> None:
    unchanged.hpc("submit", "--dry-run", "--array", "1-9", "--", "true")
    error = unchanged.refused("submit", "--dry-run", "--cores", "3-2", "--", "true")

    assert error["reason"] == "MIN_GREATER_THAN_MAX"
