"""What a client makes of errors that are not the head's refusals."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from hpcsched.common.errors import HpcError
from hpcsched.rpc.errors import DOMAIN, from_rpc_error, from_status, status_name
from hpcsched.rpc.metadata import STATUS_DETAILS

Code = grpc.StatusCode


def rpc_error(code: Code, details: str = "", packed: bytes = b"") -> AioRpcError:
    trailing = Metadata((STATUS_DETAILS, packed)) if packed else Metadata()
    return AioRpcError(code, Metadata(), trailing, details=details)


def status(reason: str, domain: str = DOMAIN, **facts: str) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts)
    packed = any_pb2.Any()
    packed.Pack(info)
    return status_pb2.Status(
        code=Code.FAILED_PRECONDITION.value[0], message="no", details=[packed]
    )


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.UNAVAILABLE, "failed to connect to all addresses"),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (Code.CANCELLED, "CANCELLED"),
        (Code.INTERNAL, "Received RST_STREAM with error code 2"),
        (Code.INTERNAL, "Internal error from Core"),
        (Code.UNKNOWN, "Stream removed"),
    ],
)
def test_a_head_that_does_not_answer_is_unreachable(code: Code, details: str) -> None:
    error = from_rpc_error(rpc_error(code, details), address="head:7470")

    assert error.reason == "HEAD_UNREACHABLE"
    assert error.facts == {"address": "head:7470", "problem": details}
    assert status_name(error) == "UNAVAILABLE"


@pytest.mark.parametrize(
    "code", [Code.UNIMPLEMENTED, Code.RESOURCE_EXHAUSTED, Code.DATA_LOSS, Code.UNKNOWN]
)
def test_a_status_without_our_details_keeps_its_name_and_words(code: Code) -> None:
    error = from_rpc_error(rpc_error(code, "in its words"), address="head:7470")

    assert (error.reason, status_name(error)) == (code.name, code.name)
    assert str(error) == "in its words"


@pytest.mark.parametrize(
    "packed",
    [
        b"\xff\xff",
        status("JOB_NOT_FOUND", domain="example.org").SerializeToString(),
        status_pb2.Status(code=14, message="bare").SerializeToString(),
        status_pb2.Status(
            details=[
                any_pb2.Any(
                    type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff"
                )
            ]
        ).SerializeToString(),
    ],
)
def test_details_of_others_and_broken_ones_are_no_refusal_of_ours(
    packed: bytes,
) -> None:
    error = from_rpc_error(
        rpc_error(Code.UNAVAILABLE, "gone", packed), address="head:1"
    )

    assert error.reason == "HEAD_UNREACHABLE"


def test_a_reason_of_a_newer_head_stays_readable() -> None:
    hint = "wait for a {new} one {"
    sent = status("MOON_PHASE", phase="full", hresult="-7", hint=hint)

    error = from_status(sent)

    assert error is not None
    assert error.reason == "MOON_PHASE"
    assert str(error) == "no"
    assert error.facts == {"phase": "full"}
    assert error.hresult == -7
    assert error.hint == hint, "it is no form to be filled in"
    assert status_name(error) == "FAILED_PRECONDITION"


def test_a_hint_has_the_facts_as_the_sentence_has() -> None:
    known = HpcError("INVALID_FILTER_PROPERTY", field="filters", name="x", known="a, b")

    error = from_status(status(known.reason, **known.facts))

    assert known.metadata["hint"] == "these can: a, b"
    assert error is not None
    assert error.hint == "these can: a, b"


def test_number_and_hint_of_a_known_reason_are_those_of_this_catalogue() -> None:
    error = from_status(status("JOB_NOT_FOUND", job_id="7", hresult="1", hint="other"))

    assert error is not None
    assert error.facts == {"job_id": "7"}
    assert error.hresult == -2147220986
    assert error.metadata == {"job_id": "7", "hresult": "-2147220986"}
