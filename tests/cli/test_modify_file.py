"""``hpc job modify --file``: a job file onto a job that there is."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

FILES = {
    "job.toml": """
name = "f"
runtime = "1h"
[environment]
A = "1"
B = "2"
[[tasks]]
name = "a"
max_concurrent = 0
[[tasks]]
command_line = "x"
work_directory = "/w"
""",
    "job.json": """{"name": "f", "runtime": "3600s",
 "environment": {"A": "1", "B": "2"},
 "tasks": [{"name": "a", "maxConcurrent": 0},
           {"command_line": "x", "work_directory": "/w"}]}""",
    "job.xml": """<Job xmlns="http://schemas.microsoft.com/HPCS2008R2/scheduler/"
 xmlns:o="urn:hpcsched:job-file:1" Name="f" RuntimeSeconds="3600">
 <EnvironmentVariables>
  <Variable><Name>A</Name><Value>1</Value></Variable>
  <Variable><Name>B</Name><Value>2</Value></Variable>
 </EnvironmentVariables>
 <Tasks><Task Name="a" o:MaxConcurrent="0" />
 <Task CommandLine="x" WorkDirectory="/w" /></Tasks></Job>""",
}


@pytest.fixture
def job(api: FakeApi) -> None:
    api.add_job("CONFIGURING")


@pytest.fixture(params=[*FILES, "-"])
def file(
    request: pytest.FixtureRequest, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    name = str(request.param)
    if name == "-":
        body = FILES["job.toml"].encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    else:
        (alone / name).write_text(FILES[name])
    return name


@pytest.mark.usefixtures("job")
def test_a_file_sets_what_it_has_in_one_call(
    hpc: CommandLine, api: FakeApi, alone: Path, file: str
) -> None:
    result = hpc("job", "modify", "1", "--file", file, "--if-revision", "3")

    assert result.out == "job 1 modified\n"
    (request,) = api.asked("ModifyJob")
    assert set(request.fields) == {"name", "runtime", "environment", "explicit"}
    assert request.spec.runtime.seconds == 3600
    assert request.expected_revision == 3
    assert not request.validate_only
    first, second = request.tasks
    assert set(first.fields) == {"name", "max_concurrent"}
    assert set(second.fields) == {"command_line", "work_directory"}
    # What is added starts where the caller is, unless it says where.
    assert first.spec.work_directory == str(alone)
    assert second.spec.work_directory == "/w"


@pytest.mark.usefixtures("job")
def test_assignments_beside_a_file_win(
    hpc: CommandLine, api: FakeApi, file: str
) -> None:
    hpc(
        *("job", "modify", "1", "--file", file, "name=other", "priority=normal"),
        *("environment.A=", "environment.C=3", "excluded_nodes="),
    )

    (request,) = api.asked("ModifyJob")
    assert request.spec.name == "other"
    assert dict(request.spec.environment) == {"B": "2", "C": "3"}
    assert {"environment", "environment.A", "environment.C", "excluded_nodes"} < set(
        request.fields
    )
    assert set(request.spec.explicit) == {"name", "priority", "excluded_nodes"}


@pytest.mark.usefixtures("job")
def test_an_assignment_of_a_whole_list_or_map_takes_the_place_of_the_files(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "j.toml").write_text('requested_nodes = ["n1"]\nenvironment = {A = "1"}')

    words = ("requested_nodes=n[2-3]", "environment=Z=9")
    hpc("job", "modify", "1", "--file", "j.toml", *words)

    (request,) = api.asked("ModifyJob")
    assert list(request.spec.requested_nodes) == ["n2", "n3"]
    assert dict(request.spec.environment) == {"Z": "9"}


@pytest.mark.usefixtures("job")
def test_a_dry_run_changes_nothing(hpc: CommandLine, api: FakeApi, file: str) -> None:
    result = hpc("job", "modify", "1", "--file", file, "--dry-run")

    assert result.out == ""
    assert "accepted, nothing was changed" in result.err
    (request,) = api.asked("ModifyJob")
    assert request.validate_only


#: Command line, and what is said of it.
MALFORMED = [
    ([], "KEY=VALUE…, or --file FILE"),
    (["--file", "none.toml"], "none.toml"),
    (["--file", "empty.toml"], "empty.toml is empty"),
    (["--file", "nothing.toml"], "nothing.toml says nothing of a job"),
    (["--file", "broken.xml"], "broken.xml: line 3: Task: RuntimeSeconds"),
    (["--file", "broken.json"], "broken.json: tasks[1].runtime"),
    (["--file", "good.toml", "name"], "'name' is not KEY=VALUE"),
    (["--file", "good.toml", "excluded_nodes+=n1"], "stands alone"),
    (["--dry-run", "excluded_nodes+=n1"], "--dry-run goes with other"),
]


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(("words", "said"), MALFORMED)
def test_what_is_malformed_is_told_with_its_place(
    hpc: CommandLine, api: FakeApi, alone: Path, words: list[str], said: str
) -> None:
    (alone / "good.toml").write_text('name = "x"')
    (alone / "empty.toml").write_text("\n")
    (alone / "nothing.toml").write_text("# nothing\n")
    tasks = '{"tasks": [{}, {"runtime": "soon"}]}'
    (alone / "broken.json").write_text(tasks)
    line = '<Job xmlns="http://schemas.microsoft.com/HPCS2008R2/scheduler/">\n<Tasks>\n'
    broken = f'{line}<Task RuntimeSeconds="soon" /></Tasks></Job>'
    (alone / "broken.xml").write_text(broken)

    refused = hpc("job", "modify", "1", *words, status=2)

    assert said in refused.err
    assert not api.asked("ModifyJob")


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    "said",
    [
        ("job.xml", "tasks[1].spec.runtime", "(job.xml, task 2 in line 8)"),
        ("job.toml", "tasks[1].spec.runtime", "(job.toml, task 2)"),
        ("job.toml", "spec.name", "(job.toml)"),
    ],
)
def test_what_the_head_refuses_is_told_with_its_place(
    hpc: CommandLine, api: FakeApi, alone: Path, said: tuple[str, str, str]
) -> None:
    file, field, where = said
    (alone / file).write_text(FILES[file])
    refusal = HpcError("TASK_RUNTIME_TOO_LONG", field=field, value="9 s", limit="5 s")
    api.faults["ModifyJob"] = [refusal]

    refused = hpc("--json", "job", "modify", "1", "--file", file, status=1)

    error = refused.error
    assert error["message"] == f"{refusal} {where}"
    assert error["metadata"]["file"] == file
    assert error["metadata"]["field"] == field
    assert error["metadata"].get("line") == ("8" if "line" in where else None)


@pytest.mark.usefixtures("job")
def test_a_file_of_tasks_alone_is_a_change(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "t.toml").write_text('[[tasks]]\ncommand_line = "x"\n')

    hpc("job", "modify", "1", "--file", "t.toml")

    (request,) = api.asked("ModifyJob")
    assert request.spec == job_pb2.JobSpec()
    assert list(request.fields) == ["explicit"]
