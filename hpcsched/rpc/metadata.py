"""Metadata of a call: who calls, with what program, and the call's name in logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: ``Bearer SECRET``; the only source of the caller's identity.
AUTHORIZATION: Final = "authorization"
#: Names the call in the logs of both ends; echoed in the trailing metadata.
REQUEST_ID: Final = "x-request-id"
#: ``name/version`` of the calling program; informative.
CLIENT: Final = "x-hpcsched-client"
#: Highest term of a head that the caller has seen; informative.
TERM: Final = "x-hpcsched-term"
#: google.rpc.Status of a refusal, serialized.
STATUS_DETAILS: Final = "grpc-status-details-bin"

_SCHEME: Final = "bearer"
_LONGEST_REQUEST_ID: Final = 64

Metadata: TypeAlias = tuple[tuple[str, str], ...]


def call_metadata(
    *, token: str = "", client: str = "", request_id: str = "", term: int = 0
) -> Metadata:
    """Return the metadata of a call; what is empty or 0 is left out.

    Args:
        token: The secret, without a scheme; white space around it is dropped.
        client: Name and version of the program, such as ``hpc/1.2``.
        request_id: Name of the call for logs; it is not the request's idempotency key.
        term: Highest term of a head seen so far.

    Raises:
        HpcError: UNAUTHENTICATED, the token has a character that no token has; gRPC
            itself would fail with an error of its inner parts.
    """
    secret = token.strip()
    if not (secret.isascii() and secret.isprintable()):
        problem = "the token is not one line of printable ASCII"
        raise HpcError("UNAUTHENTICATED", problem=problem)
    pairs = [
        (AUTHORIZATION, f"Bearer {secret}" if secret else ""),
        (CLIENT, client),
        (REQUEST_ID, request_id),
        (TERM, str(term) if term else ""),
    ]
    return tuple((key, value) for key, value in pairs if value)


def metadata_value(metadata: Iterable[tuple[str, str | bytes]], key: str) -> str:
    """Return the first value of a key; empty where there is none or it is binary."""
    for name, value in metadata:
        if name == key and isinstance(value, str):
            return value
    return ""


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the secret of ``authorization: Bearer SECRET``; empty without one."""
    scheme, _, secret = metadata_value(metadata, AUTHORIZATION).partition(" ")
    return secret.strip() if scheme.lower() == _SCHEME else ""


def call_name(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the caller's ``x-request-id`` if it is fit for a log, else nothing."""
    name = metadata_value(metadata, REQUEST_ID)
    if len(name) <= _LONGEST_REQUEST_ID and name.isascii() and name.isprintable():
        return name
    return ""
