"""The environment of tasks (properties.md 7): whose word counts, what is provided."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job.environment import Scene, environment_of
from tests.support.job_bench import Bench, plain

SCENE = Scene(
    cluster="c1",
    head="h1:7470",
    node_names={},
    variables={"A": "cluster", "B": "cluster", "C": "cluster", "D": "cluster"},
)


def variables(task: dict[str, Any] | None = None, **spec: Any) -> dict[str, str]:
    bench = Bench(plain("t", **(task or {})), **spec)
    return environment_of(bench.job, bench.job.tasks[0], SCENE)


def test_the_tasks_word_counts_before_the_jobs_and_that_before_the_clusters() -> None:
    found = variables(
        {"environment": {"C": "task", "E": "task"}},
        environment={"B": "job", "C": "job", "F": "job"},
    )

    mine = {name: found[name] for name in "ABCDEF"}
    assert mine == {
        "A": "cluster",
        "B": "job",
        "C": "task",
        "D": "cluster",
        "E": "task",
        "F": "job",
    }


def test_an_empty_value_of_the_job_unsets_and_one_of_the_task_is_empty() -> None:
    found = variables({"environment": {"B": ""}}, environment={"A": "", "B": ""})

    assert "A" not in found
    assert found["B"] == ""
    assert "A" not in found["CCP_ENVLIST"].split(",")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CCP_CLUSTER_NAME", "c1"),
        ("CCP_SCHEDULER", "h1:7470"),
        ("CCP_CONNECTIONSTRING", "h1:7470"),
        ("CCP_JOBID", "7"),
        ("CCP_JOBNAME", "sim"),
        ("CCP_JOBTYPE", "Batch"),
        ("CCP_JOBTEMPLATE", "Default"),
        ("CCP_TASKID", "1"),
        ("CCP_TASKINSTANCEID", "0"),
        ("CCP_TASKSYSTEMID", "7.1"),
        ("CCP_TASKCONTEXT", "7.1"),
        ("CCP_RETRY_COUNT", "0"),
        ("CCP_PREVIOUS_JOB_ID", "0"),
        ("CCP_RERUNNABLE", "False"),
        ("CCP_EXCLUSIVE", "True"),
        ("CCP_RUNTIME", "91"),
        ("CCP_WORKDIR", "/w"),
        ("CCP_STDIN", "in"),
        ("CCP_STDOUT", "out"),
        ("CCP_STDERR", "err"),
        ("CCP_OWNER_SID", "ann"),
        ("CCP_ENVLIST", "A,B,C,D,X"),
    ],
)
def test_what_the_scheduler_provides_nobody_replaces(name: str, value: str) -> None:
    task = {
        "is_rerunnable": False,
        "runtime": 90.5,
        "work_directory": "/w",
        "stdin_path": "in",
        "stdout_path": "out",
        "stderr_path": "err",
        "environment": {"X": "1", name: "mine"},
    }

    found = variables(task, name="sim", is_exclusive=True, environment={name: "mine"})

    assert found[name] == value


@pytest.mark.parametrize(
    ("limit", "shown"), [(0.0, "2147483647"), (0.2, "1"), (1.0, "1"), (60.0, "60")]
)
def test_a_limit_below_a_second_is_not_no_limit(limit: float, shown: str) -> None:
    assert variables({"runtime": limit})["CCP_RUNTIME"] == shown
