"""Transport credentials: TLS from files, plain text on loopback only."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from hpcsched.rpc.addresses import Address


class CredentialsError(ValueError):
    """TLS files cannot be used, or plain text was asked for beyond loopback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the PEM files of one end of a connection are.

    Attributes:
        ca: Authorities that the other end's certificate must come from. On a client
            empty means the system's; on a server empty means that clients need no
            certificate.
        cert: Own certificate with its chain; a server needs one.
        key: Private key of ``cert``.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Return a server's credentials; with ``tls.ca`` clients must show a certificate.

    Raises:
        CredentialsError: a file is missing, is not PEM, or key and certificate do not
            belong together. gRPC itself would only refuse each client later.
    """
    if not (tls.cert and tls.key):
        raise CredentialsError("a server needs a certificate and its key")
    _check_pair(tls)
    ca = _read_ca(tls.ca)
    return grpc.ssl_server_credentials(
        [(_read(tls.key), _read(tls.cert))],
        root_certificates=ca,
        require_client_auth=ca is not None,
    )


def channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Return a client's credentials.

    Raises:
        CredentialsError: as for ``server_credentials``, or only one of certificate and
            key is given.
    """
    if bool(tls.cert) != bool(tls.key):
        raise CredentialsError("give both a certificate and its key, or neither")
    if tls.cert:
        _check_pair(tls)
    return grpc.ssl_channel_credentials(
        root_certificates=_read_ca(tls.ca),
        private_key=_read(tls.key) if tls.key else None,
        certificate_chain=_read(tls.cert) if tls.cert else None,
    )


def require_loopback(address: Address) -> None:
    """Allow plain text on this address.

    Raises:
        CredentialsError: it can be reached from other machines.
    """
    if not address.is_loopback:
        raise CredentialsError(
            f"{address} is not a loopback address: without TLS a token could be read "
            "on the way"
        )


def _check_pair(tls: TlsFiles) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key)
    except OSError as error:  # ssl.SSLError is one
        problem = error.strerror or str(error)
        raise CredentialsError(
            f"certificate {tls.cert} with key {tls.key}: {problem}"
        ) from error


def _read_ca(path: str) -> bytes | None:
    if not path:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        problem = error.strerror or str(error)
        raise CredentialsError(f"authorities {path}: {problem}") from error
    return _read(path)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from error
