"""WatchService: streams of what happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.api.v1 import watch_service_pb2_grpc
from hpcsched.runtime.front import WatchQuery
from hpcsched.services.convert_event import watch_job_responses, watch_responses
from hpcsched.services.cursors import decode_cursor
from hpcsched.services.gate import caller
from hpcsched.services.requests import number, numbers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hpcsched.runtime.front import JobFront


class WatchService(watch_service_pb2_grpc.WatchServiceServicer):
    """See the proto."""

    def __init__(self, front: JobFront) -> None:
        self._front = front

    async def Watch(
        self, request: pb.WatchRequest, context: Any
    ) -> AsyncIterator[pb.WatchResponse]:
        wanted = request.filter
        query = WatchQuery(
            after=decode_cursor(request.after) if request.after else None,
            job_ids=frozenset(
                numbers(wanted.job_ids, "filter.job_ids") if wanted.job_ids else ()
            ),
            owner=wanted.owner,
            jobs_only=wanted.jobs_only,
            nodes=wanted.nodes,
            only_nodes=wanted.only_nodes,
            snapshot=request.snapshot,
            backlog_only=request.backlog_only,
        )
        items = self._front.watch(caller(), query)
        async with contextlib.aclosing(items) as all_items:  # type: ignore[type-var]
            async for item in all_items:
                for message in watch_responses(item):
                    yield message

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchJobResponse]:
        job_id = number(request.job_id, "job_id")
        after = decode_cursor(request.after) if request.after else None
        items = self._front.watch_job(
            caller(), job_id, after, jobs_only=request.jobs_only
        )
        async with contextlib.aclosing(items) as all_items:  # type: ignore[type-var]
            async for item in all_items:
                for message in watch_job_responses(item):
                    yield message
