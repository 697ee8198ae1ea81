"""What is written to a job file comes back, whatever properties there are."""

from __future__ import annotations

from hypothesis import given, settings

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.jobfile import names
from hpcsched.jobfile.plain import read_json, read_toml, write_json, write_toml
from hpcsched.jobfile.reading import read_xml
from hpcsched.jobfile.writing import write_xml
from tests.support.job_specs import specs

OURS_JOB = {
    "progress": "the reference's is what its scheduler has computed",
    "progress_message": "the same",
    "explicit": "a file gives a property by having it",
    "node_loss": "the reference knows one way to lose a node",
}
"""Fields of JobSpec that the reference has no name for."""
OURS_TASK = {
    "group_id": "GroupId numbers the groups of Dependencies, which we have by name",
    "lines": "sweeps of the reference are ranges of numbers",
    "max_concurrent": "the reference has no limit on elements at once",
    "grace_period": "the reference has one for the cluster only",
    "user_blob": "the reference's job files have no UserBlob",
}
"""Fields of TaskSpec that the reference has no name for."""


@given(specs())
@settings(max_examples=200, deadline=None)
def test_xml_brings_back_every_property(spec: job_pb2.JobSpec) -> None:
    file = read_xml(write_xml(spec))

    assert file.spec == spec
    assert not file.warnings


@given(specs())
@settings(max_examples=100, deadline=None)
def test_json_brings_back_every_property(spec: job_pb2.JobSpec) -> None:
    assert read_json(write_json(spec)) == spec


@given(specs())
@settings(max_examples=100, deadline=None)
def test_toml_brings_back_every_property(spec: job_pb2.JobSpec) -> None:
    assert read_toml(write_toml(spec)) == spec


def test_every_property_of_a_job_has_the_references_name_or_a_reason_why_not() -> None:
    named = {*names.JOB.values(), *names.JOB_ELSEWHERE}
    fields = set(job_pb2.JobSpec.DESCRIPTOR.fields_by_name)

    assert not fields - (named | OURS_JOB.keys())
    assert not named & OURS_JOB.keys()


def test_every_property_of_a_task_has_the_references_name_or_a_reason_why_not() -> None:
    named = {*names.TASK.values(), *names.TASK_ELSEWHERE}

    fields = set(task_pb2.TaskSpec.DESCRIPTOR.fields_by_name)

    assert not fields - (named | OURS_TASK.keys())
    assert not named & OURS_TASK.keys()


def test_no_attribute_is_both_applied_and_passed_over() -> None:
    assert not {name.lower() for name in names.JOB} & names.JOB_READ_ONLY
    assert not {name.lower() for name in names.TASK} & names.TASK_READ_ONLY
