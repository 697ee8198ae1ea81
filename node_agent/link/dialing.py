"""Opening a stream to a head: where the agent meets the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from hpcsched.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from hpcsched.rpc.channel import agent_channel
from hpcsched.rpc.credentials import CredentialsError, TlsFiles
from hpcsched.rpc.metadata import call_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcsched.rpc.addresses import Address

    Call = grpc.aio.StreamStreamCall[
        agent_service_pb2.ConnectRequest, agent_service_pb2.ConnectResponse
    ]


class DialError(Exception):
    """No stream could even be tried; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """Where heads are, and how they are spoken to.

    Attributes:
        heads: In the order in which they are tried.
        token_file: The node's token; read again for each attempt.
        tls: None: plain text, on loopback only.
        authority: Name in the heads' certificates, where it is not the host.
        client: Name and version of this program.
    """

    heads: Sequence[Address]
    token_file: Path
    tls: TlsFiles | None
    authority: str
    client: str


class Line(Protocol):
    """A call of Connect, and what it goes over."""

    @property
    def call(self) -> Call:
        """The stream."""

    async def close(self) -> None:
        """Give back what carried it."""


class Dialer(Protocol):
    """The transport seam of the agent."""

    def dial(self, head: Address, term: int) -> Line:
        """Begin a call; what becomes of it, the call itself tells.

        Args:
            head: Whom to call.
            term: The highest term of a head so far.

        Raises:
            DialError: there is nothing to call with.
        """


@dataclass(frozen=True, slots=True)
class GrpcLine:
    """A call over a channel of its own."""

    call: Call
    channel: Any

    async def close(self) -> None:
        await self.channel.close()


class GrpcDialer:
    """Calls heads over gRPC."""

    def __init__(self, config: HeadsConfig) -> None:
        self._config = config

    def dial(self, head: Address, term: int) -> GrpcLine:
        config = self._config
        try:
            token = config.token_file.read_text(encoding="utf-8")
            channel = agent_channel(head, config.tls, authority=config.authority)
        except (OSError, UnicodeDecodeError, CredentialsError) as error:
            raise DialError(str(error)) from error
        metadata = call_metadata(token=token, client=config.client, term=term)
        call = agent_service_pb2_grpc.AgentServiceStub(channel).Connect(
            metadata=metadata
        )
        return GrpcLine(call, channel)
