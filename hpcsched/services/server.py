"""Two gRPC servers in one process: one for clients, one for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hpcsched.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from hpcsched.api.v1 import (
    accounting_service_pb2,
    accounting_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    node_service_pb2,
    node_service_pb2_grpc,
    pool_service_pb2,
    pool_service_pb2_grpc,
    template_service_pb2,
    template_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
)
from hpcsched.common.limits import CallLimits
from hpcsched.rpc.addresses import Address
from hpcsched.rpc.credentials import require_loopback, server_credentials
from hpcsched.rpc.options import agent_server_options, client_server_options
from hpcsched.services.accounting import AccountingService
from hpcsched.services.agents import AgentService
from hpcsched.services.cluster import ClusterService
from hpcsched.services.gate import Gate
from hpcsched.services.health import Health
from hpcsched.services.jobs import JobService
from hpcsched.services.nodes import NodeService
from hpcsched.services.pools import PoolService
from hpcsched.services.templates import TemplateService
from hpcsched.services.watch import WatchService

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.rpc.credentials import TlsFiles

CLIENT_SERVICES: Final = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (job_service_pb2, "JobService"),
        (watch_service_pb2, "WatchService"),
        (node_service_pb2, "NodeService"),
        (cluster_service_pb2, "ClusterService"),
        (accounting_service_pb2, "AccountingService"),
        (pool_service_pb2, "PoolService"),
        (template_service_pb2, "TemplateService"),
    )
)
AGENT_SERVICES: Final = (
    agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].full_name,
)


class PortTakenError(Exception):
    """Another process listens there."""


class _ByService:
    """Takes the handlers of services for a server, and registers no method by itself.

    For each registered method gRPC's server keeps a call waiting, and looks at all of
    them whenever one comes in: every call would cost more with every method there is.
    """

    def __init__(self, server: aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Leave them to their service's handler, which knows them as well."""


class Servers:
    """Both servers, their health, and the addresses that they are bound to."""

    def __init__(
        self, front: Any, clock: Clock, ids: Ids, limits: CallLimits | None = None
    ) -> None:
        limits = limits or CallLimits()
        self.gate = Gate(front, clock, ids, lambda: bool(front.serving), limits)
        most = limits.connections
        self._clients = aio.server(
            interceptors=[self.gate], options=client_server_options(most)
        )
        self._agents = aio.server(
            interceptors=[self.gate], options=agent_server_options(most)
        )
        clients: Any = _ByService(self._clients)
        agents: Any = _ByService(self._agents)
        self._health = Health(("", *CLIENT_SERVICES, *AGENT_SERVICES))
        job_service_pb2_grpc.add_JobServiceServicer_to_server(
            JobService(front, clock), clients
        )
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(
            WatchService(front), clients
        )
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(
            NodeService(front), clients
        )
        cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server(
            ClusterService(front), clients
        )
        accounting_service_pb2_grpc.add_AccountingServiceServicer_to_server(
            AccountingService(front, clock), clients
        )
        pool_service_pb2_grpc.add_PoolServiceServicer_to_server(
            PoolService(front), clients
        )
        template_service_pb2_grpc.add_TemplateServiceServicer_to_server(
            TemplateService(front), clients
        )
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(
            AgentService(front, clock), agents
        )
        for server, names in (
            (clients, CLIENT_SERVICES),
            (agents, AGENT_SERVICES),
        ):
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            known = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(known, server)

    def bind(
        self, clients: Address, agents: Address, tls: TlsFiles | None
    ) -> tuple[Address, Address]:
        """Bind both ports and return the addresses with the ports that were got.

        Raises:
            CredentialsError: plain text beyond loopback, or TLS files that do not work.
            PortTakenError: a port is not free.
        """
        return (_bind(self._clients, clients, tls), _bind(self._agents, agents, tls))

    async def start(self) -> None:
        """Serve; NOT_SERVING until ``serving``."""
        await self._clients.start()
        await self._agents.start()

    def serving(self) -> None:
        """Recovery is over."""
        self._health.set_all(health_pb2.HealthCheckResponse.SERVING)

    def not_serving(self) -> None:
        """No new work is admitted."""
        self._health.set_all(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """End all calls within the grace."""
        await self._clients.stop(grace_s)
        await self._agents.stop(grace_s)


def _bind(server: aio.Server, address: Address, tls: TlsFiles | None) -> Address:
    if tls is None:
        require_loopback(address)
    try:
        if tls is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), server_credentials(tls))
    except RuntimeError as error:
        raise PortTakenError(f"{address} cannot be listened on: {error}") from error
    if not port or (address.port and port != address.port):
        raise PortTakenError(f"{address} is taken by another process")
    return Address(address.host, port)
