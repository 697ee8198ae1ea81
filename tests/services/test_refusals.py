"""What a caller sees when a call is refused, or when the head has a fault."""

from __future__ import annotations

import asyncio
import logging
import string
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.common.errors import REASONS, HpcError
from hpcsched.rpc.errors import from_rpc_error
from hpcsched.rpc.metadata import STATUS_DETAILS, call_metadata
from tests.support.fake_front import USER, FakeFront
from tests.support.polling import PATIENCE_S, wait_for_async
from tests.support.served import drain, refusal, rpc_error


def with_all_facts(reason: str) -> HpcError:
    texts = REASONS[reason].text + REASONS[reason].hint
    names = [name for _, name, _, _ in string.Formatter().parse(texts)]
    return HpcError(reason, **{name: f"<{name}>" for name in names if name})


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    found = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(found[STATUS_DETAILS])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    kinds: tuple[Any, ...] = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
    )
    details: dict[str, Any] = {}
    for packed in status.details:
        for kind in kinds:
            if packed.Is(kind.DESCRIPTOR):
                assert kind.__name__ not in details, "each kind of detail comes once"
                details[kind.__name__] = message = kind()
                packed.Unpack(message)
    assert len(details) == len(status.details)
    return details


@pytest.mark.parametrize("reason", REASONS)
async def test_a_refusal_arrives_with_its_reason_its_facts_and_its_status(
    reason: str, jobs: Any, front: FakeFront
) -> None:
    sent = with_all_facts(reason)
    front.answers["get_job"] = sent

    error = await rpc_error(jobs.GetJob(pb.GetJobRequest(job_id=1)))

    assert error.code() is grpc.StatusCode[REASONS[reason].status]
    details = details_of(error)
    info = details["ErrorInfo"]
    assert (info.reason, info.domain) == (reason, "hpcsched")
    assert dict(info.metadata) == sent.metadata
    assert ("hresult" in info.metadata) == bool(REASONS[reason].hresult)
    assert ("hint" in info.metadata) == bool(REASONS[reason].hint)
    assert "{" not in info.metadata.get("hint", "")
    assert ("BadRequest" in details) == ("field" in sent.facts)
    if "BadRequest" in details:
        (violation,) = details["BadRequest"].field_violations
        assert violation.field == sent.facts["field"]
    passes = REASONS[reason].status == "RESOURCE_EXHAUSTED"
    assert ("RetryInfo" in details) == (passes and reason != "TOO_MANY_POOLS")
    read = from_rpc_error(error, address="")
    assert (read.reason, str(read), read.facts) == (reason, str(sent), sent.facts)


async def test_a_stream_is_refused_in_the_same_way(jobs: Any, front: FakeFront) -> None:
    front.answers["read_output"] = [HpcError("OUTPUT_NOT_YET", task="1.2")]
    request = pb.ReadOutputRequest(job_id=1, task=pb.TaskRef(task_id=2))

    error = await refusal(drain(jobs.ReadOutput(request)))

    assert error.reason == "OUTPUT_NOT_YET"
    assert error.facts == {"task": "1.2"}


async def test_a_fault_tells_the_caller_an_incident_and_nothing_else(
    jobs: Any, front: FakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    front.answers["get_job"] = KeyError("the-secret-of-the-head")

    with caplog.at_level(logging.ERROR):
        error = await rpc_error(
            jobs.GetJob(
                pb.GetJobRequest(job_id=1),
                metadata=call_metadata(token=USER, request_id="call-7"),
            )
        )

    assert error.code() is grpc.StatusCode.INTERNAL
    assert "the-secret-of-the-head" not in str(error.trailing_metadata())
    assert "the-secret-of-the-head" not in str(error.details())
    incident = details_of(error)["ErrorInfo"].metadata["incident"]
    (record,) = [r for r in caplog.records if incident in r.getMessage()]
    assert record.exc_info is not None
    assert vars(record)["call"] == "call-7"


async def test_a_fault_in_a_stream_tells_an_incident_too(
    jobs: Any, front: FakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    front.answers["read_output"] = [ZeroDivisionError("inner")]
    request = pb.ReadOutputRequest(job_id=1, task=pb.TaskRef(task_id=2))

    error = await refusal(drain(jobs.ReadOutput(request)))

    assert error.reason == "INTERNAL"
    assert error.facts["incident"] in caplog.text


async def test_a_refusal_of_enormous_facts_still_fits_into_headers(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["get_job"] = HpcError(
        "INVALID_FIELD",
        field="f" * 9_000,
        problem="ü" * 90_000,
        **{f"fact{n}": "x" * 400 for n in range(40)},
    )

    error = await refusal(jobs.GetJob(pb.GetJobRequest(job_id=1)))

    assert error.reason == "INVALID_FIELD"
    assert error.facts["field"].startswith("fff")


@pytest.mark.parametrize("name", ["call-1", "a" * 64])
async def test_the_name_of_a_call_is_echoed(
    name: str, jobs: Any, front: FakeFront
) -> None:
    front.answers["get_job"] = HpcError("JOB_NOT_FOUND", job_id=1)

    error = await rpc_error(
        jobs.GetJob(
            pb.GetJobRequest(job_id=1),
            metadata=call_metadata(token=USER, request_id=name),
        )
    )

    assert dict(error.trailing_metadata() or ())["x-request-id"] == name


async def test_a_request_that_is_no_message_of_its_kind_is_refused(served: Any) -> None:
    call = served.channel.unary_unary("/hpcsched.api.v1.JobService/GetJob")

    error = await refusal(
        call(b"\xff\xff\xff", metadata=call_metadata(token=USER), timeout=PATIENCE_S)
    )

    assert error.reason == "MALFORMED_REQUEST"
    assert "GetJobRequest" in error.facts["problem"]


async def test_who_may_not_call_is_told_so_before_anything_is_read(served: Any) -> None:
    call = served.channel.unary_unary("/hpcsched.api.v1.JobService/GetJob")

    error = await refusal(call(b"\xff\xff\xff", timeout=PATIENCE_S))

    assert error.reason == "UNAUTHENTICATED"


async def given_up(**_: object) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def test_a_call_whose_work_is_given_up_is_answered_at_once(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["get_job"] = given_up

    error = await refusal(jobs.GetJob(pb.GetJobRequest(job_id=1)))

    assert error.reason == "OUTCOME_UNKNOWN"


async def test_a_stream_whose_work_is_given_up_is_ended_at_once(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["read_output"] = [asyncio.CancelledError()]
    request = pb.ReadOutputRequest(job_id=1, task=pb.TaskRef(task_id=2))

    error = await refusal(drain(jobs.ReadOutput(request)))

    assert error.reason == "OUTCOME_UNKNOWN"
    assert front.ended == ["read_output"]


async def test_a_caller_that_goes_away_ends_the_work_for_it(
    jobs: Any, front: FakeFront
) -> None:
    ended = asyncio.Event()

    async def work(**_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    front.answers["get_job"] = work
    call = jobs.GetJob(pb.GetJobRequest(job_id=1))
    await wait_for_async(lambda: front.calls, what="the call")

    call.cancel()

    await asyncio.wait_for(ended.wait(), 60)
