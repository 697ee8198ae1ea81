"""Who may make which call: every RPC of every service has a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hpcsched.agent.v1 import agent_service_pb2
from hpcsched.api.v1 import (
    accounting_service_pb2,
    cluster_service_pb2,
    job_service_pb2,
    node_service_pb2,
    pool_service_pb2,
    template_service_pb2,
    watch_service_pb2,
)
from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.rpc.errors import from_rpc_error
from hpcsched.rpc.metadata import call_metadata
from hpcsched.services.denials import LINES, WINDOW_S, DenialLog
from hpcsched.services.server import AGENT_SERVICES, CLIENT_SERVICES
from tests.support.fake_front import ADMINISTRATOR, NODE, USER, FakeFront
from tests.support.polling import PATIENCE_S
from tests.support.served import Served, drain, refusal, rpc_error

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from tests.support.manual_clock import ManualClock

#: May call it with which tokens. Owners and administrators are told apart behind the
#: front door, which knows whose job it is.
PEOPLE = frozenset({USER, ADMINISTRATOR})
NODES = frozenset({NODE})
ALLOWED = {
    "JobService.CreateJob": PEOPLE,
    "JobService.SubmitJobs": PEOPLE,
    "JobService.SubmitJob": PEOPLE,
    "JobService.AddTasks": PEOPLE,
    "JobService.SubmitTasks": PEOPLE,
    "JobService.GetJob": PEOPLE,
    "JobService.ListJobs": PEOPLE,
    "JobService.WaitJob": PEOPLE,
    "JobService.CancelJobs": PEOPLE,
    "JobService.FinishJobs": PEOPLE,
    "JobService.RequeueJobs": PEOPLE,
    "JobService.ConfigureJobs": PEOPLE,
    "JobService.ModifyJob": PEOPLE,
    "JobService.ModifyTask": PEOPLE,
    "JobService.HoldJobs": PEOPLE,
    "JobService.ReleaseJobs": PEOPLE,
    "JobService.AddExcludedNodes": PEOPLE,
    "JobService.RemoveExcludedNodes": PEOPLE,
    "JobService.ClearExcludedNodes": PEOPLE,
    "JobService.CloneJob": PEOPLE,
    "JobService.ForgetJobs": PEOPLE,
    "JobService.ExplainJob": PEOPLE,
    "JobService.GetTask": PEOPLE,
    "JobService.ListTasks": PEOPLE,
    "JobService.CancelTasks": PEOPLE,
    "JobService.RequeueTasks": PEOPLE,
    "JobService.FinishTasks": PEOPLE,
    "JobService.ConcludeService": PEOPLE,
    "JobService.ReadOutput": PEOPLE,
    "JobService.CreateCommand": PEOPLE,
    "JobService.FollowCommand": PEOPLE,
    "WatchService.Watch": PEOPLE,
    "WatchService.WatchJob": PEOPLE,
    "NodeService.ListNodes": PEOPLE,
    "NodeService.GetNode": PEOPLE,
    "NodeService.OnlineNodes": PEOPLE,
    "NodeService.OfflineNodes": PEOPLE,
    "NodeService.UpdateNodes": PEOPLE,
    "NodeService.ForgetNodes": PEOPLE,
    "NodeService.GetCores": PEOPLE,
    "NodeService.ListNodeGroups": PEOPLE,
    "NodeService.GetNodeGroup": PEOPLE,
    "NodeService.CreateNodeGroup": PEOPLE,
    "NodeService.UpdateNodeGroup": PEOPLE,
    "NodeService.DeleteNodeGroup": PEOPLE,
    "NodeService.AddNodesToGroup": PEOPLE,
    "NodeService.RemoveNodesFromGroup": PEOPLE,
    "ClusterService.GetClusterInfo": PEOPLE,
    "ClusterService.ListParameters": PEOPLE,
    "ClusterService.SetParameters": PEOPLE,
    "ClusterService.ListVariables": PEOPLE,
    "ClusterService.SetVariables": PEOPLE,
    "ClusterService.CreateToken": PEOPLE,
    "ClusterService.ListTokens": PEOPLE,
    "ClusterService.RevokeTokens": PEOPLE,
    "ClusterService.CreateBackup": PEOPLE,
    "ClusterService.ListBackups": PEOPLE,
    "ClusterService.ReadBackup": PEOPLE,
    "ClusterService.DeleteBackups": PEOPLE,
    "ClusterService.DiagnoseCluster": PEOPLE,
    "AccountingService.ListJobHistory": PEOPLE,
    "AccountingService.ListAllocations": PEOPLE,
    "AccountingService.ListNodeHistory": PEOPLE,
    "AccountingService.ListUsage": PEOPLE,
    "TemplateService.ListTemplates": PEOPLE,
    "TemplateService.GetTemplate": PEOPLE,
    "TemplateService.SetTemplate": PEOPLE,
    "TemplateService.DeleteTemplate": PEOPLE,
    "PoolService.ListPools": PEOPLE,
    "PoolService.GetPool": PEOPLE,
    "PoolService.CreatePool": PEOPLE,
    "PoolService.SetPool": PEOPLE,
    "PoolService.DeletePool": PEOPLE,
    "AgentService.Connect": NODES,
}
MODULES = (
    job_service_pb2,
    watch_service_pb2,
    node_service_pb2,
    pool_service_pb2,
    template_service_pb2,
    cluster_service_pb2,
    accounting_service_pb2,
    agent_service_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}.{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
TOKENS = ("", "unknown", "expired", USER, ADMINISTRATOR, NODE)
REFUSED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "HEAD_STOPPING"})


async def outcome(served: Served, name: str, secret: str) -> str:
    """Make a call with an empty request; return its reason, or the status it ends with.

    A call that has passed the gate ends in some other way: with success, with what the
    empty request lacks, or with a fault of a front door that answers None.
    """
    method = METHODS[name]
    is_agent = name.startswith("AgentService")
    address = served.agents if is_agent else served.clients
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = message_factory.GetMessageClass(method.input_type)()
    metadata = call_metadata(token=secret)
    async with grpc.aio.insecure_channel(str(address)) as channel:
        try:
            if method.client_streaming:
                both: Any = channel.stream_stream(path)
                await drain(
                    both(iter([request.SerializeToString()]), metadata=metadata)
                )
            elif method.server_streaming:
                stream: Any = channel.unary_stream(path)
                await drain(stream(request.SerializeToString(), metadata=metadata))
            else:
                call: Any = channel.unary_unary(path)
                await call(request.SerializeToString(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error, address="head").reason
        return "OK"


def test_every_call_of_every_service_has_a_row() -> None:
    assert set(ALLOWED) == set(METHODS)


def test_every_service_of_the_protos_is_served() -> None:
    served = {method.containing_service.full_name for method in METHODS.values()}

    assert served == {*CLIENT_SERVICES, *AGENT_SERVICES}


@pytest.mark.parametrize("name", METHODS)
async def test_a_call_takes_only_tokens_of_its_roles(
    name: str, served: Served, front: FakeFront
) -> None:
    for secret in TOKENS:
        reason = await outcome(served, name, secret)

        if secret in ALLOWED[name]:
            assert reason not in REFUSED
        elif secret in front.tokens:
            assert reason == "PERMISSION_DENIED"
            assert not front.calls
        else:
            assert reason == "UNAUTHENTICATED"
            assert not front.calls
        front.calls.clear()


@pytest.mark.parametrize("name", METHODS)
async def test_a_head_that_does_not_serve_says_so_to_every_call(
    name: str, served: Served, front: FakeFront
) -> None:
    front.serving = False
    (secret, *_) = ALLOWED[name]

    assert await outcome(served, name, secret) == "HEAD_STOPPING"
    assert await outcome(served, name, "") == "UNAUTHENTICATED"
    assert not front.calls


@pytest.mark.parametrize(
    "header",
    [USER, f"Basic {USER}", "Bearer", "Bearer  ", f"Bearer {USER} x"],
)
async def test_a_header_that_is_no_bearer_token_is_refused(
    header: str, jobs: Any
) -> None:
    error = await refusal(
        jobs.GetJob(pb.GetJobRequest(job_id=1), metadata=(("authorization", header),))
    )

    assert error.reason == "UNAUTHENTICATED"
    assert USER not in str(error)


async def test_the_scheme_is_read_in_any_case(jobs: Any, front: FakeFront) -> None:
    header = (("authorization", f"bEARER {USER}"),)

    await rpc_error(jobs.GetJob(pb.GetJobRequest(job_id=1), metadata=header))

    assert front.calls


@pytest.mark.parametrize(
    ("secret", "user", "administrator"),
    [(USER, "ann", False), (ADMINISTRATOR, "root", True)],
)
async def test_the_front_door_learns_who_calls(
    secret: str, user: str, administrator: bool, served: Served, front: FakeFront
) -> None:
    await outcome(served, "ClusterService.ListTokens", secret)

    caller = front.last["caller"]
    assert (caller.user, caller.administrator) == (user, administrator)


@pytest.mark.parametrize("name", sorted(METHODS))
async def test_while_users_are_not_admitted_only_administrators_and_nodes_are(
    name: str, served: Served, front: FakeFront
) -> None:
    front.admits_users = False
    for secret in ALLOWED[name]:
        reason = await outcome(served, name, secret)

        assert (reason == "PERMISSION_DENIED") == (secret == USER)


async def test_a_denial_is_logged_with_who_what_and_from_where(
    jobs: Any, front: FakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    denied = HpcError("PERMISSION_DENIED", user="ann", operation="read job 1")
    front.answers["get_job"] = denied
    await refusal(
        jobs.GetJob(pb.GetJobRequest(job_id=1), metadata=call_metadata(token=USER))
    )
    front.answers["get_job"] = HpcError("JOB_NOT_FOUND", job_id=1)
    await refusal(
        jobs.GetJob(pb.GetJobRequest(job_id=1), metadata=call_metadata(token=USER))
    )

    (line,) = [r for r in caplog.records if r.name == "hpcsched.services.denials"]
    text = line.getMessage()
    assert "ann may not read job 1" in text
    assert "JobService/GetJob" in text
    assert "127.0.0.1" in text
    assert vars(line)["user"] == "ann"


async def test_whoever_tries_secrets_fills_no_disk(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    log = DenialLog(clock)
    denied = HpcError("UNAUTHENTICATED", problem="the token is unknown")
    for _ in range(LINES + 50):
        log.note(denied, "/x", "peer", "")
    assert len(caplog.records) == LINES

    await clock.advance(WINDOW_S)
    log.note(denied, "/x", "peer", "")

    texts = [record.getMessage() for record in caplog.records[LINES:]]
    assert texts[0] == "denied: 50 more calls"
    assert len(texts) == 2


async def test_an_unknown_method_is_unimplemented_for_everybody(served: Served) -> None:
    call: Any = served.channel.unary_unary("/hpcsched.api.v1.JobService/Explode")

    error = await rpc_error(
        call(b"", metadata=call_metadata(token=USER), timeout=PATIENCE_S)
    )

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_and_reflection_need_no_token(served: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    kind: Any = reflection_pb2_grpc.ServerReflectionStub
    reflection = kind(served.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")

    told = await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    (answer,) = await drain(
        reflection.ServerReflectionInfo(iter([asked]), timeout=PATIENCE_S)
    )

    assert told.status == health_pb2.HealthCheckResponse.SERVING
    names = {one.name for one in answer.list_services_response.service}
    assert set(CLIENT_SERVICES) < names
    assert not set(AGENT_SERVICES) & names
