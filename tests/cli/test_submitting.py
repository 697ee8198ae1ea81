"""new, add, submit, run: what is sent, what is printed, with which status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_submit_prints_the_id_and_nothing_else(hpc: CommandLine) -> None:
    result = hpc("submit", "--", "true")

    assert (result.out, result.err) == ("1\n", "")


def test_new_add_submit_build_one_job(hpc: CommandLine, api: FakeApi) -> None:
    assert hpc("job", "new", "--name", "sim", "--runtime", "2h").out == "1\n"
    api.tasks[1] = []

    assert hpc("job", "add", "1", "--name", "one", "--", "a", "b").out == "1.1\n"
    assert hpc("job", "add", "last", "--depends", "one", "--", "c").out == "1.2\n"
    assert hpc("job", "submit", "1").out == "1\n"
    assert api.specs[0].runtime.seconds == 7200
    add = api.asked("AddTasks")[0]
    assert (add.tasks[0].name, list(add.tasks[0].arguments)) == ("one", ["a", "b"])
    assert add.submit, "a task that is added to a job that runs must run, too"


def test_what_jobs_and_tasks_have_in_common_is_the_jobs_with_submit(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc(
        *("submit", "--name", "n", "--env", "A=1", "--env", "B=x,y=z"),
        *("--label", "k=v", "--valid-exit", "0,3..5", "--priority", "AboveNormal"),
        *("--retries", 2, "--nodelist", "n[01-02]", "--exclude", "n3,n4", "--"),
        *("cmd", "--name", "theirs"),
    )

    (spec,) = api.specs
    assert (spec.name, spec.priority) == ("n", 3000)
    assert dict(spec.environment) == {"A": "1", "B": "x,y=z"}
    assert dict(spec.custom_properties) == {"k": "v"}
    assert spec.valid_exit_codes == "0,3..5"
    assert spec.task_execution_failure_retry_limit == 2
    assert list(spec.requested_nodes) == ["n01", "n02"]
    assert list(spec.excluded_nodes) == ["n3", "n4"]
    (task,) = spec.tasks
    assert list(task.arguments) == ["cmd", "--name", "theirs"]
    assert (task.name, dict(task.environment)) == ("", {})


@pytest.mark.parametrize(
    ("options", "job", "task"),
    [
        (("--cores", "4"), (4, None), (4, 0)),
        (("--cores", "2-8"), (2, 8), (2, 8)),
        (("--cores", "4", "--array", "1-100"), (4, None), (4, 0)),
        (("--cores", "1-8", "--array", "1-100"), (1, 8), (1, 0)),
        ((), (None, None), (0, 0)),
    ],
)
def test_cores_with_submit_size_the_job_and_its_task(
    hpc: CommandLine,
    api: FakeApi,
    options: tuple[str, ...],
    job: tuple[int | None, int | None],
    task: tuple[int, int],
) -> None:
    hpc("submit", *options, "--", "cmd")

    (spec,) = api.specs
    found = [
        getattr(spec, name) if spec.HasField(name) else None
        for name in ("min_cores", "max_cores")
    ]
    assert tuple(found) == job
    assert (spec.tasks[0].min_cores, spec.tasks[0].max_cores) == task


def test_task_options_reach_the_task(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    hpc(
        *("submit", "--array", "2-10:4%3", "--no-rerunnable", "--grace", "90s"),
        *("--workdir", "sub", "--stdin", "in", "--stdout", "o-*", "--stderr", "e"),
        *("--critical=5", "--shell", "echo *"),
    )

    task = api.specs[0].tasks[0]
    assert (task.start_value, task.end_value, task.increment_value) == (2, 10, 4)
    assert task.max_concurrent == 3
    assert task.is_rerunnable is False
    assert task.HasField("is_rerunnable")
    assert task.grace_period.seconds == 90
    assert task.work_directory == str(alone / "sub")
    assert (task.stdin_path, task.stdout_path, task.stderr_path) == ("in", "o-*", "e")
    assert (task.fail_job_on_failure, task.fail_job_on_failure_count) == (True, 5)
    assert (task.command_line, list(task.arguments)) == ("echo *", [])


def test_critical_without_a_count_takes_no_word_of_its_own(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job("CONFIGURING")

    hpc("job", "add", "--critical", "1", "--", "x")

    task = api.asked("AddTasks")[0].tasks[0]
    assert (task.fail_job_on_failure, task.fail_job_on_failure_count) == (True, 0)


def test_the_command_is_task_1_beside_preparation_and_release(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc("submit", "--prep", "mkdir x", "--release", "rm -r x", "--", "work")

    kinds = [(task.type, task.command_line) for task in api.specs[0].tasks]
    assert kinds == [
        (task_pb2.TASK_TYPE_UNSPECIFIED, ""),
        (task_pb2.TASK_TYPE_NODE_PREP, "mkdir x"),
        (task_pb2.TASK_TYPE_NODE_RELEASE, "rm -r x"),
    ]


def test_each_line_makes_an_element_of_every_line_that_is_not_blank(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "lines").write_text("a b\n\n  \n c\r\nlast")

    hpc("submit", "--each-line", alone / "lines", "--", "cmd", "*")

    assert list(api.specs[0].tasks[0].lines) == ["a b", " c", "last"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit",),
        ("submit", "--"),
        ("submit", "echo", "hi"),
        ("submit", "--runtime", "90", "--", "x"),
        ("submit", "--array", "0-9", "--", "x"),
        ("submit", "--array", "1-9:0", "--", "x"),
        ("submit", "--array", "1-3", "--each-line", "/dev/null", "--", "x"),
        ("submit", "--type", "sweep", "--", "x"),
        ("submit", "--type", "servant", "--", "x"),
        ("submit", "--cores", "two", "--", "x"),
        ("submit", "--env", "A", "--", "x"),
        ("submit", "--priority", "urgent", "--", "x"),
        ("submit", "--shell", "a", "--", "b"),
        ("submit", "--critical=0", "--", "x"),
        ("submit", "--request-id", "seven", "--", "x"),
        ("submit", "--file", "missing.json"),
        ("submit", "--name", "x", "--file", "missing.json"),
        ("submit", "5", "--name", "x"),
        ("submit", "5", "--", "x"),
        ("job", "new", "--array", "1-3"),
        ("job", "add", "--", "x"),
        ("job", "add", "1", "--prep", "x", "--", "y"),
        ("job", "add", "1", "--cores", "0", "--", "y"),
        *(
            ("submit", *option, "--", "x")
            for option in (
                ("--gpus", "1"),
                ("--resource", "a=1"),
                ("--hold-until", "2030"),
            )
        ),
    ],
)
def test_a_malformed_submission_is_a_usage_error_and_sends_nothing(
    hpc: CommandLine, api: FakeApi, arguments: tuple[str, ...]
) -> None:
    result = hpc(*arguments, status=2)

    assert result.err.startswith("hpc: USAGE: ")
    assert result.out == ""
    assert api.requests == []


def test_rules_and_limits_are_the_heads_to_refuse(
    hpc: CommandLine, api: FakeApi
) -> None:
    limit = HpcError("PRIORITY_OUT_OF_RANGE", field="spec.priority", value=5000)
    api.faults["SubmitJobs"].append(limit)

    result = hpc("submit", "--priority", "5000", "--", "x", status=1)

    assert result.err == (
        "hpc: PRIORITY_OUT_OF_RANGE: spec.priority is 5000; it must be 0 to 4000.\n"
    )


def test_a_retry_sends_the_same_request_id(hpc: CommandLine, api: FakeApi) -> None:
    api.faults["SubmitJobs"].append(grpc.StatusCode.UNAVAILABLE)

    hpc("submit", "--", "x")

    first, second = api.asked("SubmitJobs")
    assert first.request_id
    assert first == second


def test_dry_run_stores_nothing(hpc: CommandLine, api: FakeApi) -> None:
    result = hpc("submit", "--dry-run", "--", "x")

    assert result.out == ""
    assert api.asked("SubmitJobs")[0].validate_only
    assert api.jobs == {}


def test_json_prints_one_job(hpc: CommandLine) -> None:
    found = hpc("submit", "--json", "--name", "n", "--", "x").json

    assert (found["id"], found["name"], found["state"]) == (1, "n", "STATE_QUEUED")


@pytest.mark.parametrize("kind", ["json", "toml"])
def test_a_job_file_is_the_specification_with_its_tasks(
    hpc: CommandLine, api: FakeApi, alone: Path, kind: str
) -> None:
    path = alone / f"job.{kind}"
    if kind == "json":
        tasks = [{"name": "a", "arguments": ["x"], "runtime": "90s"}]
        path.write_text(json.dumps({"name": "f", "runtime": "3600s", "tasks": tasks}))
    else:
        path.write_text(
            'name = "f"\nruntime = "1h"\n'
            '[[tasks]]\nname = "a"\narguments = ["x"]\nruntime = "1m30s"\n'
        )

    assert hpc("submit", "--file", path).out == "1\n"

    (spec,) = api.specs
    assert (spec.name, spec.runtime.seconds) == ("f", 3600)
    assert (spec.tasks[0].name, spec.tasks[0].runtime.seconds) == ("a", 90)
    assert spec.tasks[0].work_directory == str(alone)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", '{"nonsense": 1}'),
        ("a.json", '{"runtime": 90}'),
        ("a.json", "[]"),
        ("a.toml", "x ="),
        ("a.xml", "<Job/>"),
    ],
)
def test_a_malformed_job_file_is_a_usage_error(
    hpc: CommandLine, alone: Path, name: str, text: str
) -> None:
    (alone / name).write_text(text)

    assert name.removesuffix(".xml") in hpc("submit", "--file", name, status=2).err or (
        name == "a.xml"
    )


def test_a_batch_is_one_call_and_prints_every_id(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    lines = [
        json.dumps({"name": f"j{n}", "tasks": [{"command_line": "x"}]}) for n in "ab"
    ]
    (alone / "b.jsonl").write_text("\n\n".join(lines))

    assert hpc("submit", "--batch", "b.jsonl").out == "1\n2\n"

    assert len(api.asked("SubmitJobs")) == 1


def test_a_line_of_a_batch_that_is_malformed_is_named(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "b.jsonl").write_text('{"name": "ok"}\n{"nonsense": 1}\n')

    assert "line 2" in hpc("submit", "--batch", "b.jsonl", status=2).err
    assert api.requests == []


@pytest.mark.parametrize(
    ("state", "status"), [("FINISHED", 0), ("FAILED", 10), ("CANCELED", 11)]
)
def test_submit_wait_ends_with_the_jobs_status(
    hpc: CommandLine, api: FakeApi, state: str, status: int
) -> None:
    api.add_job("CONFIGURING")
    api.on_submit = lambda job_id: api.end_job(job_id, state)

    result = hpc("job", "submit", "1", "--wait", status=status)

    assert result.out == "1\n"


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        ("EXITED", 7, 7),
        ("SIGNALED", 137, 137),
        ("START_FAILED", None, 10),
        ("NODE_LOST", None, 10),
        ("EXITED", 0, 10),
    ],
)
def test_run_of_one_task_ends_with_the_tasks_own_status(
    hpc: CommandLine, api: FakeApi, reason: str, code: int | None, status: int
) -> None:
    def end(job_id: int) -> None:
        (task,) = api.tasks[job_id]
        task.state = task_pb2.Task.STATE_FAILED
        task.attempt = 1
        task.end_reason = task_pb2.EndReason.Value(f"END_REASON_{reason}")
        if code is not None:
            task.exit_code = code
        api.outputs[job_id, 1, 0, 1] = b"out put\n"
        api.outputs[job_id, 1, 0, 2] = b"err or\n"
        api.add_event(job_id, (1, "", task_pb2.Task.STATE_RUNNING, 4))
        api.end_job(job_id, "FAILED")

    api.on_submit = end

    result = hpc("run", "--", "x", status=status)

    assert result.out == "out put\n", "stdout is the task's own"
    assert result.err.startswith("1\n"), "the id goes to stderr"
    assert "err or\n" in result.err


def test_run_shows_the_output_of_every_element(hpc: CommandLine, api: FakeApi) -> None:
    def end(job_id: int) -> None:
        for element in range(1, 41):
            api.add_task(job_id, "FINISHED", task_id=1, instance_id=element, attempt=1)
            api.outputs[job_id, 1, element, 1] = f"element {element}\n".encode()
        api.add_event(job_id, (1, "1-40", task_pb2.Task.STATE_RUNNING, 4))
        api.end_job(job_id)

    api.on_submit = end

    result = hpc("run", "--array", "1-40", "--", "x")

    wanted = {f"element {element}" for element in range(1, 41)}
    assert set(result.out.splitlines()) == wanted


@pytest.mark.parametrize(
    ("unit", "number"),
    [("sockets", job_pb2.UNIT_TYPE_SOCKET), ("nodes", job_pb2.UNIT_TYPE_NODE)],
)
def test_a_size_in_another_unit_is_the_jobs_and_its_tasks(
    hpc: CommandLine, api: FakeApi, unit: str, number: int
) -> None:
    hpc("submit", f"--{unit}", "2-4", "--", "mpirun", "./sim")

    (spec,) = api.specs
    assert spec.unit_type == number
    for sized in (spec, spec.tasks[0]):
        assert getattr(sized, f"min_{unit}") == 2
        assert getattr(sized, f"max_{unit}") == 4
    assert not spec.HasField("min_cores")


def test_what_is_the_jobs_elsewhere_is_the_tasks_with_add(
    hpc: CommandLine, api: FakeApi
) -> None:
    job_id = api.add_job("CONFIGURING")
    asked = ("--nodelist", "n[1-2]", "--group", "gpu", "--exclusive", "--nodes", "2")
    hpc("job", "add", job_id, *asked, "--", "x")

    task = api.asked("AddTasks")[-1].tasks[0]
    assert list(task.required_nodes) == ["n1", "n2"]
    assert task.requested_node_group == "gpu"
    assert task.is_exclusive
    assert task.min_nodes == 2


def test_a_size_in_two_units_is_a_usage_error(hpc: CommandLine) -> None:
    refused = hpc("submit", "--cores", "2", "--nodes", "1", "--", "x", status=2)

    assert "give one of --cores, --sockets and --nodes" in refused.err
