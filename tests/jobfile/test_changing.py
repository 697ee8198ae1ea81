"""A job file as a change: what it sets of a job that there is, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.core.template.properties import KINDS, shown
from hpcsched.jobfile import names
from hpcsched.jobfile.changing import FileChange, change_in, change_in_xml
from hpcsched.jobfile.plain import parse_json, parse_of_toml, write_json, write_toml
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.writing import write_xml
from tests.support.job_specs import specs

if TYPE_CHECKING:
    from google.protobuf.message import Message

XML = """<Job xmlns="http://schemas.microsoft.com/HPCS2008R2/scheduler/" {job}>
 <EnvironmentVariables />
 <Tasks>
  <Task {first} />
  <Task Name="b" />
 </Tasks></Job>"""


def xml(job: str = "", first: str = "") -> FileChange:
    return change_in_xml(XML.format(job=job, first=first).encode())


def set_in(message: Message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def test_xml_names_what_it_sets_be_it_the_default() -> None:
    change = xml(
        'IsExclusive="false" Priority="Normal" MinNodes="3" State="Running"',
        'NiceId="4" CommandLine="x" IsRerunnable="true" RuntimeSeconds="0"',
    )

    assert set(change.fields) == {"is_exclusive", "priority", "environment", "explicit"}
    assert list(change.spec.explicit) == ["priority", "is_exclusive"]
    first, second = change.tasks
    assert (first.task_id, second.task_id) == (4, 0)
    assert set(first.fields) == {"command_line", "is_rerunnable", "runtime"}
    assert list(second.fields) == ["name"]
    assert change.lines == (4, 5)


def test_xml_of_ours_names_what_only_it_has() -> None:
    spec = job_pb2.JobSpec(
        node_loss=job_pb2.NODE_LOSS_HOLD, tasks=[task_pb2.TaskSpec(arguments=["a", ""])]
    )

    change = change_in_xml(write_xml(spec))

    assert set(change.fields) == {"node_loss", "explicit"}
    (task,) = change.tasks
    assert task.task_id == 1
    assert {"arguments", "command_line"} < set(task.fields)
    assert not task.spec.command_line


@pytest.mark.parametrize(
    "found",
    [
        {"name": "", "isExclusive": False, "tasks": [{"maxConcurrent": 0}, {}]},
        {"name": None, "is_exclusive": False, "tasks": [{"max_concurrent": 0}, {}]},
    ],
)
def test_json_names_what_it_sets_be_it_the_default(found: Any) -> None:
    change = change_in(found)

    assert set(change.fields) == {"name", "is_exclusive", "explicit"}
    assert [list(task.fields) for task in change.tasks] == [["max_concurrent"], []]
    assert not change.lines


@pytest.mark.parametrize("found", [[], "x", 1, {"colour": 1}, {"tasks": [1]}])
def test_what_is_no_job_is_refused(found: Any) -> None:
    with pytest.raises(JobFileError):
        change_in(found)


@given(specs())
@settings(max_examples=60, deadline=None)
def test_everything_that_a_file_of_ours_says_is_named(spec: job_pb2.JobSpec) -> None:
    for change in (
        change_in_xml(write_xml(spec)),
        change_in(parse_json(write_json(spec))),
        change_in(parse_of_toml(write_toml(spec))),
    ):
        assert set_in(spec) - {"tasks"} <= set(change.fields)
        assert [task.spec for task in change.tasks] == list(spec.tasks)
        for task in change.tasks:
            assert set_in(task.spec) <= set(task.fields)
        bare = job_pb2.JobSpec()
        bare.CopyFrom(spec)
        del bare.tasks[:]
        assert change.spec == bare


def test_templates_speak_of_every_property_but_those_that_are_named_here() -> None:
    fields = set(job_pb2.JobSpec.DESCRIPTOR.fields_by_name) - {"tasks", "explicit"}

    assert fields - set(map(shown, KINDS)) == names.NOT_OF_TEMPLATES
