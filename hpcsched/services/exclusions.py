"""JobService: nodes that a job may not use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.runtime.front import Exclusion
from hpcsched.services.convert_job import job_message
from hpcsched.services.gate import caller
from hpcsched.services.requests import number, request_of, texts

if TYPE_CHECKING:
    from hpcsched.runtime.front import JobFront


class ExclusionCalls:
    """The calls of JobService that are about excluded nodes."""

    _front: JobFront

    async def AddExcludedNodes(
        self, request: pb.AddExcludedNodesRequest, context: Any
    ) -> pb.AddExcludedNodesResponse:
        change = Exclusion(add=texts(request.nodes, "nodes"))
        view = await self._front.exclude_nodes(
            caller(), number(request.job_id, "job_id"), change, request_of(request)
        )
        return pb.AddExcludedNodesResponse(job=job_message(view))

    async def RemoveExcludedNodes(
        self, request: pb.RemoveExcludedNodesRequest, context: Any
    ) -> pb.RemoveExcludedNodesResponse:
        change = Exclusion(remove=texts(request.nodes, "nodes"))
        view = await self._front.exclude_nodes(
            caller(), number(request.job_id, "job_id"), change, request_of(request)
        )
        return pb.RemoveExcludedNodesResponse(job=job_message(view))

    async def ClearExcludedNodes(
        self, request: pb.ClearExcludedNodesRequest, context: Any
    ) -> pb.ClearExcludedNodesResponse:
        view = await self._front.exclude_nodes(
            caller(),
            number(request.job_id, "job_id"),
            Exclusion(clear=True),
            request_of(request),
        )
        return pb.ClearExcludedNodesResponse(job=job_message(view))
