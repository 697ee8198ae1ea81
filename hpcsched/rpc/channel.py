"""Opening a channel to a head, as a client or as an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from hpcsched.rpc.credentials import channel_credentials, require_loopback
from hpcsched.rpc.options import agent_options, client_options

if TYPE_CHECKING:
    from hpcsched.rpc.addresses import Address
    from hpcsched.rpc.credentials import TlsFiles
    from hpcsched.rpc.options import Options


def client_channel(
    address: Address, tls: TlsFiles | None, *, authority: str = ""
) -> grpc.aio.Channel:
    """Return a client's channel; the connection is made by the first call.

    Args:
        address: Of the head.
        tls: None for plain text, which is for loopback addresses only.
        authority: Name in the head's certificate, where it is not the host.

    Raises:
        CredentialsError: the files cannot be used, or plain text beyond loopback.
    """
    return _open(address, tls, client_options(authority=authority))


def blocking_channel(address: Address, tls: TlsFiles | None) -> grpc.Channel:
    """Return a client's channel whose calls block the thread that makes them.

    Args:
        address: Of the head.
        tls: None for plain text, which is for loopback addresses only.

    Raises:
        CredentialsError: the files cannot be used, or plain text beyond loopback.
    """
    if tls is None:
        require_loopback(address)
        return grpc.insecure_channel(str(address), options=client_options())
    credentials = channel_credentials(tls)
    return grpc.secure_channel(str(address), credentials, options=client_options())


def agent_channel(
    address: Address, tls: TlsFiles | None, *, authority: str = ""
) -> grpc.aio.Channel:
    """Return an agent's channel: a connection that it shares with nothing else.

    Args:
        address: Of the head's port for agents.
        tls: None for plain text, which is for loopback addresses only.
        authority: Name in the head's certificate, where it is not the host.

    Raises:
        CredentialsError: the files cannot be used, or plain text beyond loopback.
    """
    return _open(address, tls, agent_options(authority=authority))


def _open(address: Address, tls: TlsFiles | None, options: Options) -> grpc.aio.Channel:
    if tls is None:
        require_loopback(address)
        return grpc.aio.insecure_channel(str(address), options=options)
    return grpc.aio.secure_channel(
        str(address), channel_credentials(tls), options=options
    )
