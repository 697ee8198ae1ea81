"""Refusals as gRPC statuses, and back.

A refusal travels as a ``google.rpc.Status`` in the trailing metadata, with ErrorInfo
(domain ``hpcsched``, the stable reason, every fact as metadata), BadRequest where a
field is to blame, and RetryInfo where trying again later helps. What comes back without
one of these is the weather between the two ends, or a server that is not ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from hpcsched.common.errors import REASONS, HpcError, Reason
from hpcsched.rpc.metadata import STATUS_DETAILS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

DOMAIN: Final = "hpcsched"

#: What a caller should wait before it tries a refused call again, seconds.
RETRY_AFTER_S: Final = 1

#: Status and message travel as headers, of which other clients take 8 KiB: a status is
#: cut to half of that, first its facts one by one, then all of them.
LONGEST_TEXT: Final = 512
LARGEST_STATUS_BYTES: Final = 4096

#: INTERNAL is said by gRPC itself, of a connection that breaks in certain moments
#: ("Internal error from Core"); the head's own faults come with details.
_NO_ANSWER: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
    }
)
#: Limits that nobody's waiting changes.
_FOR_GOOD: Final = frozenset({"TOO_MANY_POOLS"})
_EXTRA_FACTS: Final = frozenset({"hresult", "hint"})


class RemoteError(HpcError):
    """A refusal or fault whose reason this program's catalogue does not know.

    A newer head may have new reasons, a proxy has none. The status still says what
    kind of error it is.
    """

    def __init__(
        self, reason: str, message: str, status: str, facts: Mapping[str, str]
    ) -> None:
        super().__init__("INTERNAL")
        self.reason = reason
        self.facts = {k: v for k, v in facts.items() if k not in _EXTRA_FACTS}
        self.args = (message,)
        self._entry = Reason(
            status, _number(facts.get("hresult", "")), message, facts.get("hint", "")
        )

    @property
    def entry(self) -> Reason:
        """What the catalogue would say, from what came over the wire."""
        return self._entry

    @property
    def hint(self) -> str:
        """What to do about it, as the head has said it."""
        return self._entry.hint


def status_name(error: HpcError) -> str:
    """Return the name of the gRPC status of a refusal, such as ``NOT_FOUND``."""
    return error.entry.status


def status_code(error: HpcError) -> grpc.StatusCode:
    """Return the gRPC status of a refusal."""
    return grpc.StatusCode[error.entry.status]


def to_status(error: HpcError) -> status_pb2.Status:
    """Return a refusal as it travels, small enough for every client's headers."""
    facts = {name: _cut(value) for name, value in error.metadata.items()}
    status = _status(error, facts)
    if status.ByteSize() > LARGEST_STATUS_BYTES:
        kept = {k: v for k, v in facts.items() if k in _EXTRA_FACTS | {"field"}}
        status = _status(error, kept)
    return status


def from_status(status: status_pb2.Status) -> HpcError | None:
    """Return the refusal in a status; None where it holds none of ours."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        try:
            if not detail.Unpack(info):
                continue
        except DecodeError:
            continue
        if info.domain == DOMAIN and info.reason:
            refusal = _from_info(info, status)
            refusal.retry_after_s = _retry_after(status)
            return refusal
    return None


def _retry_after(status: status_pb2.Status) -> float | None:
    """Return how long the other end asks its callers to wait, if it does, seconds."""
    for detail in status.details:
        hint = error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(hint):
                delay = hint.retry_delay
                return max(0.0, delay.seconds + delay.nanos / 1e9)
        except DecodeError:
            continue
    return None


def from_rpc_error(error: grpc.aio.AioRpcError, *, address: str) -> HpcError:
    """Return the refusal in an error of a call.

    Without details of ours, UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, INTERNAL and a
    broken stream mean that the head did not answer (HEAD_UNREACHABLE): whether it did
    what was asked is unknown. Other statuses become a ``RemoteError`` named after the
    status.

    Args:
        error: What the call raised.
        address: Of the head, for the message.
    """
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            refusal = _from_bytes(value)
            if refusal is not None:
                return refusal
    return _without_details(error.code(), error.details() or "", address)


def _without_details(code: grpc.StatusCode, details: str, address: str) -> HpcError:
    broken = code is grpc.StatusCode.UNKNOWN and (
        "RST_STREAM" in details or "Stream removed" in details
    )
    if broken or code in _NO_ANSWER:
        problem = details or code.name.lower().replace("_", " ")
        return HpcError("HEAD_UNREACHABLE", address=address, problem=problem)
    if code.name in REASONS:
        return HpcError.from_wire(code.name, details, {"problem": details})
    return RemoteError(code.name, details or code.name, code.name, {})


def _from_bytes(value: bytes) -> HpcError | None:
    try:
        return from_status(status_pb2.Status.FromString(value))
    except DecodeError:
        return None


def _from_info(
    info: error_details_pb2.ErrorInfo, status: status_pb2.Status
) -> HpcError:
    facts = dict(info.metadata)
    if info.reason in REASONS:
        known = {k: v for k, v in facts.items() if k not in _EXTRA_FACTS}
        return HpcError.from_wire(info.reason, status.message, known)
    return RemoteError(info.reason, status.message, _code_name(status.code), facts)


def _code_name(number: int) -> str:
    for code in grpc.StatusCode:
        if code.value[0] == number:
            return str(code.name)
    return grpc.StatusCode.UNKNOWN.name


def _status(error: HpcError, facts: Mapping[str, str]) -> status_pb2.Status:
    message = _cut(str(error))
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)
    ]
    if field := facts.get("field"):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=field, description=message, reason=error.reason
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    code = status_code(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason not in _FOR_GOOD:
        delay = duration_pb2.Duration(seconds=RETRY_AFTER_S)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
