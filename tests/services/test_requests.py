"""What services ask of requests, and how they refuse the rest."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from hpcsched.api.v1 import cluster_service_pb2, job_pb2, node_service_pb2, task_pb2
from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.rpc.metadata import call_metadata
from hpcsched.rpc.options import MAX_MESSAGE_BYTES
from hpcsched.services.limits import (
    MAX_REQUEST_ID,
    MAX_SPEC_BYTES,
    MAX_TARGETS,
    MAX_WAIT_S,
)
from tests.support.fake_front import USER, FakeFront
from tests.support.served import refusal, rpc_error
from tests.support.views import job_view

TASK = pb.TaskRef(task_id=1)
NEGATIVE = pb.TaskRef(task_id=1, instance_id=-1)
JOB = job_pb2.JobSpec(tasks=[task_pb2.TaskSpec(command_line="true")])
UUID = "0198c5a2-7e3b-7c11-9c55-6f3f0c1d2e3f"

REFUSED: list[tuple[str, Any, tuple[str, str]]] = [
    ("GetJob", pb.GetJobRequest(), ("REQUIRED_FIELD", "job_id")),
    ("GetJob", pb.GetJobRequest(job_id=-1), ("OUT_OF_RANGE", "job_id")),
    ("SubmitJobs", pb.SubmitJobsRequest(), ("REQUIRED_FIELD", "specs")),
    ("SubmitJob", pb.SubmitJobRequest(), ("REQUIRED_FIELD", "job_id")),
    ("AddTasks", pb.AddTasksRequest(), ("REQUIRED_FIELD", "job_id")),
    ("AddTasks", pb.AddTasksRequest(job_id=1), ("REQUIRED_FIELD", "tasks")),
    ("SubmitTasks", pb.SubmitTasksRequest(job_id=1), ("REQUIRED_FIELD", "task_ids")),
    (
        "SubmitTasks",
        pb.SubmitTasksRequest(job_id=1, task_ids=[1, 0]),
        ("REQUIRED_FIELD", "task_ids[1]"),
    ),
    ("WaitJob", pb.WaitJobRequest(), ("REQUIRED_FIELD", "job_id")),
    ("CancelJobs", pb.CancelJobsRequest(), ("REQUIRED_FIELD", "job_ids")),
    (
        "CancelJobs",
        pb.CancelJobsRequest(job_ids=[3, -4]),
        ("OUT_OF_RANGE", "job_ids[1]"),
    ),
    (
        "CancelJobs",
        pb.CancelJobsRequest(job_ids=range(1, MAX_TARGETS + 2)),
        ("OUT_OF_RANGE", "job_ids"),
    ),
    ("FinishJobs", pb.FinishJobsRequest(), ("REQUIRED_FIELD", "job_ids")),
    ("RequeueJobs", pb.RequeueJobsRequest(), ("REQUIRED_FIELD", "job_ids")),
    ("ConfigureJobs", pb.ConfigureJobsRequest(), ("REQUIRED_FIELD", "job_ids")),
    ("CloneJob", pb.CloneJobRequest(), ("REQUIRED_FIELD", "job_id")),
    ("AddExcludedNodes", pb.AddExcludedNodesRequest(), ("REQUIRED_FIELD", "nodes")),
    (
        "AddExcludedNodes",
        pb.AddExcludedNodesRequest(nodes=["n1"]),
        ("REQUIRED_FIELD", "job_id"),
    ),
    (
        "RemoveExcludedNodes",
        pb.RemoveExcludedNodesRequest(job_id=1, nodes=["n1", ""]),
        ("REQUIRED_FIELD", "nodes[1]"),
    ),
    (
        "ClearExcludedNodes",
        pb.ClearExcludedNodesRequest(),
        ("REQUIRED_FIELD", "job_id"),
    ),
    ("ForgetJobs", pb.ForgetJobsRequest(), ("REQUIRED_FIELD", "job_ids")),
    ("ExplainJob", pb.ExplainJobRequest(), ("REQUIRED_FIELD", "job_id")),
    (
        "ExplainJob",
        pb.ExplainJobRequest(job_id=1, task=NEGATIVE),
        ("OUT_OF_RANGE", "task.instance_id"),
    ),
    ("GetTask", pb.GetTaskRequest(job_id=1), ("REQUIRED_FIELD", "task.task_id")),
    ("ListTasks", pb.ListTasksRequest(), ("REQUIRED_FIELD", "job_id")),
    (
        "ListTasks",
        pb.ListTasksRequest(job_id=1, task_id=-1),
        ("OUT_OF_RANGE", "task_id"),
    ),
    (
        "ListTasks",
        pb.ListTasksRequest(job_id=1, page_size=10_001),
        ("OUT_OF_RANGE", "page_size"),
    ),
    ("CancelTasks", pb.CancelTasksRequest(job_id=1), ("REQUIRED_FIELD", "tasks")),
    (
        "CancelTasks",
        pb.CancelTasksRequest(job_id=1, tasks=[TASK, NEGATIVE]),
        ("OUT_OF_RANGE", "tasks[1].instance_id"),
    ),
    ("RequeueTasks", pb.RequeueTasksRequest(job_id=1), ("REQUIRED_FIELD", "tasks")),
    ("FinishTasks", pb.FinishTasksRequest(job_id=1), ("REQUIRED_FIELD", "tasks")),
    (
        "ConcludeService",
        pb.ConcludeServiceRequest(job_id=1),
        ("REQUIRED_FIELD", "task_id"),
    ),
    ("ConcludeService", pb.ConcludeServiceRequest(), ("REQUIRED_FIELD", "job_id")),
    ("CreateCommand", pb.CreateCommandRequest(), ("REQUIRED_FIELD", "nodes")),
    (
        "CreateCommand",
        pb.CreateCommandRequest(nodes=["n1", ""]),
        ("REQUIRED_FIELD", "nodes[1]"),
    ),
    ("ListJobs", pb.ListJobsRequest(page_size=-1), ("OUT_OF_RANGE", "page_size")),
    ("ListJobs", pb.ListJobsRequest(page_size=1001), ("OUT_OF_RANGE", "page_size")),
    ("ListJobs", pb.ListJobsRequest(min_id=-1), ("OUT_OF_RANGE", "min_id")),
    ("ListJobs", pb.ListJobsRequest(max_id=-1), ("OUT_OF_RANGE", "max_id")),
]

# Numbers that no enum of ours has.
UNKNOWN: Any = 99
NONE: Any = 0
QUEUED: Any = 5
NEITHER: list[tuple[str, Any, str]] = [
    ("GetJob", pb.GetJobRequest(job_id=1, view=UNKNOWN), "view"),
    ("GetTask", pb.GetTaskRequest(job_id=1, task=TASK, view=UNKNOWN), "view"),
    ("ListTasks", pb.ListTasksRequest(job_id=1, view=UNKNOWN), "view"),
    ("ListJobs", pb.ListJobsRequest(states=[QUEUED, UNKNOWN]), "states[1]"),
    ("ListJobs", pb.ListJobsRequest(states=[NONE]), "states[0]"),
    ("ListTasks", pb.ListTasksRequest(job_id=1, states=[UNKNOWN]), "states[0]"),
    (
        "CreateJob",
        pb.CreateJobRequest(spec=job_pb2.JobSpec(node_loss=UNKNOWN)),
        "spec.node_loss",
    ),
    (
        "SubmitJobs",
        pb.SubmitJobsRequest(
            specs=[JOB, job_pb2.JobSpec(tasks=[task_pb2.TaskSpec(type=UNKNOWN)])]
        ),
        "specs[1].tasks[0].type",
    ),
]


@pytest.mark.parametrize(
    ("method", "request_", "wanted"), REFUSED, ids=map(str, range(len(REFUSED)))
)
async def test_a_request_that_lacks_or_exceeds_something_is_refused_by_field(
    method: str, request_: Any, wanted: tuple[str, str], jobs: Any, front: FakeFront
) -> None:
    error = await refusal(getattr(jobs, method)(request_))

    assert (error.reason, error.facts["field"]) == wanted
    assert not front.calls


@pytest.mark.parametrize(
    ("method", "request_", "field"), NEITHER, ids=map(str, range(len(NEITHER)))
)
async def test_a_number_that_its_enum_does_not_have_is_refused_by_field(
    method: str, request_: Any, field: str, jobs: Any, front: FakeFront
) -> None:
    error = await refusal(getattr(jobs, method)(request_))

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", field)
    assert not front.calls


async def test_an_unknown_stream_of_output_is_refused(jobs: Any) -> None:
    stream = jobs.ReadOutput(pb.ReadOutputRequest(job_id=1, task=TASK, stream=UNKNOWN))

    error = await refusal(anext(aiter(stream)))

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "stream")


async def test_an_unknown_role_is_refused(cluster: Any, front: FakeFront) -> None:
    request = cluster_service_pb2.CreateTokenRequest(user="bob", role=UNKNOWN)

    error = await refusal(cluster.CreateToken(request))

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "role")
    assert not front.calls


async def test_calls_about_nodes_and_tokens_need_their_names(
    nodes: Any, cluster: Any, front: FakeFront
) -> None:
    for call, field in (
        (nodes.GetNode(node_service_pb2.GetNodeRequest()), "name"),
        (nodes.OnlineNodes(node_service_pb2.OnlineNodesRequest()), "names"),
        (
            nodes.OfflineNodes(node_service_pb2.OfflineNodesRequest(names=["a", ""])),
            "names[1]",
        ),
        (cluster.RevokeTokens(cluster_service_pb2.RevokeTokensRequest()), "ids"),
    ):
        error = await refusal(call)

        assert (error.reason, error.facts["field"]) == ("REQUIRED_FIELD", field)
    assert not front.calls


@pytest.mark.parametrize(("length", "fits"), [(36, True), (37, False), (9_000, False)])
async def test_a_request_id_has_at_most_36_characters(
    length: int, fits: bool, jobs: Any, front: FakeFront
) -> None:
    front.answers["clone_job"] = job_view()
    call = jobs.CloneJob(pb.CloneJobRequest(job_id=1, request_id="x" * length))

    if fits:
        await call
        assert front.last["request"].request_id == "x" * length
    else:
        error = await refusal(call)
        assert (error.reason, error.facts["field"]) == (
            ("REQUEST_ID_INVALID", "request_id")
        )
        assert error.facts["limit"] == str(MAX_REQUEST_ID)


async def test_the_digest_of_a_request_tells_its_method_and_body_but_not_its_id(
    jobs: Any, front: FakeFront
) -> None:
    front.answers = {"cancel_jobs": [], "finish_jobs": []}
    digests = []
    for method, request in (
        ("CancelJobs", pb.CancelJobsRequest(job_ids=[1], request_id=UUID)),
        ("CancelJobs", pb.CancelJobsRequest(job_ids=[1], request_id="other")),
        ("CancelJobs", pb.CancelJobsRequest(job_ids=[2], request_id=UUID)),
        ("FinishJobs", pb.FinishJobsRequest(job_ids=[1], request_id=UUID)),
    ):
        await getattr(jobs, method)(request)
        digests.append(front.last["request"].digest)

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


async def test_a_specification_above_4_mib_is_refused_by_field_and_limit(
    jobs: Any, front: FakeFront
) -> None:
    task = task_pb2.TaskSpec(command_line="x" * MAX_SPEC_BYTES)
    large = job_pb2.JobSpec(tasks=[task])
    for method, request, field in (
        ("CreateJob", pb.CreateJobRequest(spec=large), "spec"),
        ("SubmitJobs", pb.SubmitJobsRequest(specs=[large]), "spec"),
        ("SubmitJobs", pb.SubmitJobsRequest(specs=[JOB, large]), "specs[1]"),
        ("AddTasks", pb.AddTasksRequest(job_id=1, tasks=[task]), "tasks"),
    ):
        error = await refusal(getattr(jobs, method)(request))

        assert (error.reason, error.facts["field"]) == ("SPEC_TOO_LARGE", field)
        assert error.facts["limit"] == str(MAX_SPEC_BYTES)
    assert not front.calls


async def test_a_batch_of_jobs_may_be_larger_than_one_job(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["submit_jobs"] = [1, 2, 3]
    task = task_pb2.TaskSpec(command_line="x" * (MAX_SPEC_BYTES - 1000))

    specs = [job_pb2.JobSpec(tasks=[task])] * 3
    answer = await jobs.SubmitJobs(pb.SubmitJobsRequest(specs=specs))

    assert list(answer.job_ids) == [1, 2, 3]


async def test_a_message_above_the_limit_of_the_wire_is_refused(
    served: Any, front: FakeFront
) -> None:
    path = "/hpcsched.api.v1.JobService/CreateJob"
    unlimited = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(
        str(served.clients), options=unlimited
    ) as channel:
        call: Any = channel.unary_unary(path)

        error = await rpc_error(
            call(bytes(MAX_MESSAGE_BYTES + 1), metadata=call_metadata(token=USER))
        )

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not front.calls


@pytest.mark.parametrize(
    ("asked", "given"), [(None, MAX_WAIT_S), (0.25, 0.25), (55, 55), (3600, MAX_WAIT_S)]
)
async def test_one_call_waits_for_a_job_at_most_55_seconds(
    asked: float | None, given: float, jobs: Any, front: FakeFront
) -> None:
    front.answers["wait_job"] = job_view()
    request = pb.WaitJobRequest(job_id=1)
    if asked is not None:
        request.timeout.FromMilliseconds(int(asked * 1000))

    await jobs.WaitJob(request)

    assert front.last["timeout_s"] == given


async def test_a_negative_timeout_is_refused(jobs: Any) -> None:
    request = pb.WaitJobRequest(job_id=1)
    request.timeout.seconds = -1

    error = await refusal(jobs.WaitJob(request))

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "timeout")
