"""Job files in and out: XML, JSON, TOML."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.jobfile.reading import read_xml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

XML = """<Job xmlns="http://schemas.microsoft.com/HPCS2008R2/scheduler/" Version="3.000"
 Name="f" Colour="red"><Tasks><Task Name="a" CommandLine="x y" /></Tasks></Job>"""


@pytest.mark.parametrize("name", ["job.xml", "job.of.ours", "-"])
def test_a_job_file_in_xml_is_submitted_and_what_was_left_out_is_told(
    hpc: CommandLine,
    api: FakeApi,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    if name == "-":
        stdin = io.TextIOWrapper(io.BytesIO(XML.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
    else:
        (alone / name).write_text(XML)

    result = hpc("submit", "--file", name)

    assert result.out == "1\n"
    assert "Job: Colour is not known here and was left out" in result.err
    (spec,) = api.specs
    assert (spec.name, spec.tasks[0].command_line) == ("f", "x y")
    assert spec.tasks[0].work_directory == str(alone)


@pytest.mark.parametrize("text", ["", " \n", "{}", "# nothing\n"])
def test_a_file_without_a_job_is_no_job(
    hpc: CommandLine, api: FakeApi, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "none.txt"
    file.write_text(text)

    refused = hpc("submit", "--file", str(file), status=2)

    assert "none.txt" in refused.err
    assert not api.asked("SubmitJob")


def test_new_takes_a_job_file_too_and_no_options_beside_it(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "job.xml").write_text(XML)

    assert hpc("job", "new", "--file", "job.xml").out == "1\n"
    refused = hpc("job", "new", "--file", "job.xml", "--name", "g", status=2)

    assert api.asked("CreateJob")[0].spec.tasks[0].name == "a"
    assert "--name does not go with --file" in refused.err


def test_a_limit_of_the_reference_is_a_refusal_that_names_it(
    hpc: CommandLine, alone: Path
) -> None:
    (alone / "job.xml").write_text(XML.replace("x y", "x" * 481))

    result = hpc("submit", "--file", "job.xml", status=1)

    assert "TEXT_TOO_LONG" in result.err
    assert "481 characters; the limit is 480" in result.err


@pytest.mark.parametrize("form", ["xml", "json", "toml"])
def test_an_exported_job_can_be_submitted_again(
    hpc: CommandLine, api: FakeApi, alone: Path, form: str
) -> None:
    job_id = api.add_job("RUNNING", name="n", spec=job_pb2.JobSpec(name="n"))
    api.tasks[job_id][0].spec.CopyFrom(
        task_pb2.TaskSpec(
            name="t",
            type=task_pb2.TASK_TYPE_BASIC,
            arguments=["a"],
            work_directory="/w",
        )
    )

    text = hpc("job", "export", job_id, "--format", form).out
    hpc("job", "export", job_id, "--format", form, "--output", f"j.{form}")

    assert (alone / f"j.{form}").read_text() == text
    assert hpc("job", "submit", "--file", f"j.{form}").out == "2\n"
    (spec,) = api.specs
    assert spec.name == "n"
    assert list(spec.tasks) == [api.tasks[job_id][0].spec]


def test_show_has_a_job_in_xml_with_its_state(hpc: CommandLine, api: FakeApi) -> None:
    job_id = api.add_job("RUNNING", spec=job_pb2.JobSpec(name="n"))

    text = hpc("job", "show", job_id, "--xml").out

    assert 'State="Running"' in text
    assert read_xml(text.encode()).spec.name == "n"


def test_a_malformed_duration_in_json_is_a_usage_error(
    hpc: CommandLine, alone: Path
) -> None:
    (alone / "bad.json").write_text(json.dumps({"runtime": "soon"}))

    assert "soon" in hpc("submit", "--file", "bad.json", status=2).err
