"""The services of a head, as methods that are made when they are called first."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from grpc import aio

    from hpcsched.api.v1 import (
        accounting_service_pb2_grpc,
        cluster_service_pb2_grpc,
        job_service_pb2_grpc,
        node_service_pb2_grpc,
        pool_service_pb2_grpc,
        template_service_pb2_grpc,
        watch_service_pb2_grpc,
    )


class Stubs:
    """The services of one head; each is imported when it is called first.

    A cold command calls one or two methods. The module that is generated for a service,
    and its stub, which makes all methods, take longer than such a call: here methods
    are made from the descriptors, one by one, as the stub would make them.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel

    def _service(self, module: str, name: str) -> Any:
        file = import_module(f"hpcsched.api.v1.{module}").DESCRIPTOR
        return _Service(self._channel, file.services_by_name[name])

    @cached_property
    def jobs(self) -> job_service_pb2_grpc.JobServiceStub:
        """JobService."""
        service = self._service("job_service_pb2", "JobService")
        return cast("job_service_pb2_grpc.JobServiceStub", service)

    @cached_property
    def nodes(self) -> node_service_pb2_grpc.NodeServiceStub:
        """NodeService."""
        service = self._service("node_service_pb2", "NodeService")
        return cast("node_service_pb2_grpc.NodeServiceStub", service)

    @cached_property
    def cluster(self) -> cluster_service_pb2_grpc.ClusterServiceStub:
        """ClusterService."""
        service = self._service("cluster_service_pb2", "ClusterService")
        return cast("cluster_service_pb2_grpc.ClusterServiceStub", service)

    @cached_property
    def accounting(self) -> accounting_service_pb2_grpc.AccountingServiceStub:
        """AccountingService."""
        service = self._service("accounting_service_pb2", "AccountingService")
        return cast("accounting_service_pb2_grpc.AccountingServiceStub", service)

    @cached_property
    def pools(self) -> pool_service_pb2_grpc.PoolServiceStub:
        """PoolService."""
        service = self._service("pool_service_pb2", "PoolService")
        return cast("pool_service_pb2_grpc.PoolServiceStub", service)

    @cached_property
    def templates(self) -> template_service_pb2_grpc.TemplateServiceStub:
        """TemplateService."""
        service = self._service("template_service_pb2", "TemplateService")
        return cast("template_service_pb2_grpc.TemplateServiceStub", service)

    @cached_property
    def watch(self) -> watch_service_pb2_grpc.WatchServiceStub:
        """WatchService."""
        service = self._service("watch_service_pb2", "WatchService")
        return cast("watch_service_pb2_grpc.WatchServiceStub", service)


class _Service:
    """One service; what is called of it is made, and kept."""

    def __init__(self, channel: aio.Channel, descriptor: ServiceDescriptor) -> None:
        self._channel = channel
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        service = self._descriptor
        method = service.methods_by_name.get(name)
        if method is None or method.client_streaming:
            raise AttributeError(name)
        streams = method.server_streaming
        make: Any = self._channel.unary_stream if streams else self._channel.unary_unary
        call = make(
            f"/{service.full_name}/{name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
            _registered_method=True,
        )
        setattr(self, name, call)
        return call
