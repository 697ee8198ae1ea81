"""What stands in a file that we write, for programs made for the reference's."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.jobfile.plain import read_json, read_toml
from hpcsched.jobfile.reading import read_xml
from hpcsched.jobfile.writing import write_xml

V2 = "{http://schemas.microsoft.com/HPCS2008R2/scheduler/}"


def root_of(text: bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  our own text


def test_a_live_job_is_written_with_all_that_the_scheduler_knows_of_it() -> None:
    spec = job_pb2.JobSpec(name="j", min_cores=2)
    spec.tasks.add(name="t", arguments=["echo", "a b"])
    spec.tasks.add(command_line="x *", type=2, end_value=3)
    job = job_pb2.Job(
        id=42,
        owner="ann",
        state=job_pb2.Job.STATE_FAILED,
        previous_state=job_pb2.Job.STATE_FINISHING,
        error_code=-2147218980,
        error_message="a <b>",
        error_params={"total": "4", "failed": "1"},
        min_max_update_time=Timestamp(seconds=1_800_000_000),
        node_prep_task_id=1,
        start_time=Timestamp(seconds=1_800_000_000),
        min_cores=2,
        max_cores=4,
        task_count=2,
        task_counts=task_pb2.TaskCounts(total=4, failed=1, finished=3),
        allocated_nodes=["n1", "n2"],
    )
    live = task_pb2.Task(
        job_id=42, task_id=1, state=task_pb2.Task.STATE_FAILED, exit_code=0
    )
    sweep = task_pb2.Task(
        job_id=42,
        task_id=2,
        state=task_pb2.Task.STATE_FINISHED,
        element_counts=task_pb2.TaskCounts(total=3, finished=3),
    )

    text = write_xml(spec, job=job, tasks=[live, sweep])

    root = root_of(text)
    assert root.attrib["Id"] == "42"
    assert (root.attrib["State"], root.attrib["PreviousState"]) == (
        "Failed",
        "Finishing",
    )
    assert root.attrib["ErrorMessage"] == "a <b>"
    assert root.attrib["ErrorParams"] == "failed=1;total=4"
    assert root.attrib["MinMaxUpdateTime"] == "2027-01-15T08:00:00Z"
    assert root.attrib["NodePrepareTask"] == "1"
    assert root.attrib["StartTime"] == "2027-01-15T08:00:00Z"
    assert root.attrib["FailedTaskCount"] == "1"
    assert root.attrib["AllocatedNodes"] == "n1;n2"
    assert root.attrib["NextTaskNiceID"] == "3"
    assert "EndTime" not in root.attrib
    one, two = root.findall(f"{V2}Tasks/{V2}Task")
    assert (one.attrib["NiceId"], one.attrib["ExitCode"]) == ("1", "0")
    assert one.attrib["CommandLine"] == "echo 'a b'"
    assert one.attrib["ParentJobState"] == "Failed"
    assert (two.attrib["TotalSubTaskNumber"], two.attrib["IsParametric"]) == (
        "3",
        "true",
    )
    file = read_xml(text)
    spec.tasks[0].type = task_pb2.TASK_TYPE_BASIC
    assert file.spec == spec
    assert not file.warnings


def test_dependencies_stand_there_twice_as_the_reference_has_them() -> None:
    spec = job_pb2.JobSpec()
    spec.tasks.add(name="a", command_line="x")
    spec.tasks.add(name="a", command_line="x")
    spec.tasks.add(name="b", command_line="x", depends_on=["a"])
    spec.tasks.add(name="c", command_line="x", depends_on=["a", "b"])

    root = root_of(write_xml(spec))

    groups = [t.attrib["GroupId"] for t in root.findall(f"{V2}Tasks/{V2}Task")]
    assert groups == ["1", "1", "3", "4"]
    pairs = [
        (parent.attrib["GroupId"], child.attrib["GroupId"])
        for parent in root.findall(f"{V2}Dependencies/{V2}Parent")
        for child in parent
    ]
    assert pairs == [("1", "3"), ("1", "4"), ("3", "4")]


def test_an_edited_command_line_wins_over_the_vector_that_it_was_made_of() -> None:
    spec = job_pb2.JobSpec()
    spec.tasks.add(arguments=["sim", "-n", "4"])

    edited = write_xml(spec).replace(b'"sim -n 4"', b'"sim -n 8"')

    (task,) = read_xml(edited).spec.tasks
    assert (task.command_line, list(task.arguments)) == ("sim -n 8", [])


def test_an_edited_attribute_wins_over_what_says_it_more_exactly() -> None:
    spec = job_pb2.JobSpec(name="a\x01")
    spec.runtime.nanos = 500_000_000

    text = write_xml(spec)
    edited = text.replace(b'RuntimeSeconds="1"', b'RuntimeSeconds="60"')

    assert read_xml(text).spec == spec
    assert read_xml(edited).spec.runtime.seconds == 60


def test_what_is_longer_than_the_reference_allows_survives_in_our_own_files() -> None:
    spec = job_pb2.JobSpec(environment={"A": "x" * 5000})
    spec.tasks.add(command_line="y" * 1000, type=1)

    assert read_xml(write_xml(spec)).spec == spec


def test_durations_may_be_written_as_people_write_them() -> None:
    spec = read_json(
        json.dumps({"runtime": "1h30m", "tasks": [{"gracePeriod": "90s"}]})
    )

    assert spec.runtime.seconds == 5400
    assert spec.tasks[0].grace_period.seconds == 90


def test_a_variable_may_be_called_like_a_duration() -> None:
    spec = read_toml('[environment]\nruntime = "soon"')

    assert dict(spec.environment) == {"runtime": "soon"}
