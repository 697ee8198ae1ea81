"""Edits and holds on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.task.spec import TaskSpec
from hpcsched.runtime.edit_front import Edited
from hpcsched.runtime.front import Edit
from hpcsched.services.convert_edit import job_edit, task_edit
from tests.support.fake_front import FakeFront
from tests.support.served import refusal
from tests.support.views import job_view


def job(spec: job_pb2.JobSpec, *fields: str) -> Edit:
    return job_edit(pb.ModifyJobRequest(job_id=1, spec=spec, fields=fields))


def task(spec: task_pb2.TaskSpec, *fields: str) -> Edit:
    return task_edit(
        pb.ModifyTaskRequest(job_id=1, task_id=1, spec=spec, fields=fields)
    )


def test_what_is_named_and_given_is_changed() -> None:
    spec = job_pb2.JobSpec(
        name="n", priority=7, runtime=Duration(seconds=5), requested_nodes=["a"]
    )

    edit = job(spec, "priority", "runtime", "requested_nodes")

    assert edit.changes == {"priority": 7, "runtime": 5.0, "requested_nodes": ("a",)}


def test_what_is_named_and_not_given_gets_its_default() -> None:
    edit = job(job_pb2.JobSpec(), "priority", "min_cores", "hold_until", "progress")

    default = JobSpec()
    assert edit.changes == {
        "priority": default.priority,
        "min_cores": None,
        "hold_until": None,
        "progress": None,
    }


def test_without_names_everything_that_is_given_is_changed() -> None:
    spec = job_pb2.JobSpec(name="n", progress=0, environment={"A": "b"})

    edit = job(spec)

    assert edit.changes == {"name": "n", "progress": 0, "environment": {"A": "b"}}


def test_one_entry_of_a_map_is_set_or_deleted() -> None:
    spec = job_pb2.JobSpec(environment={"A": "1", "B": ""})

    edit = job(spec, "environment.A", "environment.B", "environment.C.d")

    assert edit.changes == {}
    assert edit.entries == {"environment": {"A": "1", "B": "", "C.d": None}}


def test_names_of_the_wire_become_those_of_the_core() -> None:
    spec = task_pb2.TaskSpec(
        start_value=2,
        end_value=9,
        increment_value=3,
        fail_job_on_failure=True,
        fail_job_on_failure_count=2,
        grace_period=Duration(seconds=4),
    )

    edit = task(spec)

    known = set(TaskSpec.__slots__)
    assert edit.changes == {
        "start": 2,
        "end": 9,
        "step": 3,
        "critical": True,
        "critical_count": 2,
        "grace": 4.0,
    }
    assert set(edit.changes) <= known


def test_every_property_of_the_wire_is_one_of_the_core() -> None:
    not_here = {"tasks", "explicit"}
    jobs = sorted(set(job_pb2.JobSpec.DESCRIPTOR.fields_by_name) - not_here)
    edit = job(job_pb2.JobSpec(), *jobs)
    assert set(edit.changes) <= set(JobSpec.__slots__)

    tasks = list(task_pb2.TaskSpec.DESCRIPTOR.fields_by_name)
    edit = task(task_pb2.TaskSpec(), *tasks)
    assert set(edit.changes) <= set(TaskSpec.__slots__)


@pytest.mark.parametrize(
    "name", ["tasks", "state", "Name", "name.x", "environment.", "requested_nodes.0"]
)
def test_what_is_no_property_is_refused(name: str) -> None:
    with pytest.raises(Exception, match=r"fields\[0\]") as refused:
        job(job_pb2.JobSpec(), name)

    assert getattr(refused.value, "reason", "") == "INVALID_FIELD"


async def test_edits_and_holds_reach_the_front_door(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["modify_job"] = Edited(job=job_view(), task_ids=(2, 7))
    front.answers["hold_jobs"] = front.answers["release_jobs"] = [job_view()]
    spec = job_pb2.JobSpec(name="n")
    until = Timestamp(seconds=50)

    request = pb.ModifyJobRequest(job_id=3, spec=spec, expected_revision=9)
    answer = await jobs.ModifyJob(request)
    assert list(answer.task_ids) == [2, 7]
    await jobs.HoldJobs(pb.HoldJobsRequest(job_ids=[1, 2], until=until))
    await jobs.HoldJobs(pb.HoldJobsRequest(job_ids=[1]))
    await jobs.ReleaseJobs(pb.ReleaseJobsRequest(job_ids=[4]))

    modify, hold, endless, release = [call for _, call in front.calls]
    assert modify["job_id"] == 3
    assert modify["edit"] == Edit(changes={"name": "n"}, expected_revision=9)
    assert (hold["job_ids"], hold["until"]) == ((1, 2), 50.0)
    assert (endless["job_ids"], endless["until"]) == ((1,), None)
    assert release["job_ids"] == (4,)


async def test_an_edit_names_its_job_and_its_task(jobs: Any, front: FakeFront) -> None:
    error = await refusal(jobs.ModifyTask(pb.ModifyTaskRequest(job_id=1)))

    assert (error.reason, error.facts["field"]) == ("REQUIRED_FIELD", "task_id")
    assert not front.calls
