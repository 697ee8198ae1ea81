"""JobService: tasks and their output."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.listing.properties import TASK_PROPERTIES
from hpcsched.runtime.front import Stop, TaskPage
from hpcsched.services.convert_job import is_full, task_states
from hpcsched.services.convert_listing import conditions, projection, sort_keys
from hpcsched.services.convert_task import task_message
from hpcsched.services.cursors import Pages
from hpcsched.services.fitting import fitting
from hpcsched.services.gate import caller
from hpcsched.services.limits import MAX_OUTPUT_BYTES
from hpcsched.services.requests import (
    in_slices,
    not_negative,
    number,
    page_size,
    request_of,
    task_key,
    task_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hpcsched.common.clock import Clock
    from hpcsched.runtime.front import JobFront

PAGE = 100
LARGEST_PAGE = 10_000


class TaskCalls:
    """The calls of JobService that are about tasks."""

    _front: JobFront
    _clock: Clock

    async def GetTask(
        self, request: pb.GetTaskRequest, context: Any
    ) -> pb.GetTaskResponse:
        job_id = number(request.job_id, "job_id")
        key = task_key(request.task, "task")
        view = await self._front.get_task(
            caller(), job_id, key, full=is_full(request.view)
        )
        return pb.GetTaskResponse(task=task_message(view))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Any
    ) -> pb.ListTasksResponse:
        job_id = number(request.job_id, "job_id")
        pages = Pages(request)
        page = TaskPage(
            states=task_states(request.states, "states"),
            elements=request.elements,
            task_id=not_negative(request.task_id, "task_id"),
            limit=page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE),
            token=pages.decode(request.page_token),
            full=is_full(request.view),
            conditions=conditions(request, TASK_PROPERTIES),
            sort=sort_keys(request, TASK_PROPERTIES),
        )
        project = projection(request.read_mask, task_pb2.Task.DESCRIPTOR)
        while True:
            views, token = await self._front.list_tasks(caller(), job_id, page)
            tasks = await in_slices(
                views, lambda _, view: project(task_message(view)), self._clock
            )
            if (count := fitting(tasks)) == len(tasks):
                break
            page = replace(page, limit=count)  # only the front door makes its tokens
        return pb.ListTasksResponse(tasks=tasks, next_page_token=pages.encode(token))

    async def CancelTasks(
        self, request: pb.CancelTasksRequest, context: Any
    ) -> pb.CancelTasksResponse:
        job_id = number(request.job_id, "job_id")
        keys = task_keys(request.tasks, "tasks")
        stop = Stop(message=request.message, force=request.force)
        views = await self._front.cancel_tasks(
            caller(), job_id, keys, stop, request_of(request)
        )
        return pb.CancelTasksResponse(tasks=map(task_message, views))

    async def RequeueTasks(
        self, request: pb.RequeueTasksRequest, context: Any
    ) -> pb.RequeueTasksResponse:
        job_id = number(request.job_id, "job_id")
        keys = task_keys(request.tasks, "tasks")
        views = await self._front.requeue_tasks(
            caller(), job_id, keys, request_of(request)
        )
        return pb.RequeueTasksResponse(tasks=map(task_message, views))

    async def FinishTasks(
        self, request: pb.FinishTasksRequest, context: Any
    ) -> pb.FinishTasksResponse:
        job_id = number(request.job_id, "job_id")
        keys = task_keys(request.tasks, "tasks")
        stop = Stop(message=request.message)
        views = await self._front.finish_tasks(
            caller(), job_id, keys, stop, request_of(request)
        )
        return pb.FinishTasksResponse(tasks=map(task_message, views))

    async def ConcludeService(
        self, request: pb.ConcludeServiceRequest, context: Any
    ) -> pb.ConcludeServiceResponse:
        job_id = number(request.job_id, "job_id")
        view = await self._front.conclude_service(
            caller(),
            job_id,
            number(request.task_id, "task_id"),
            request_of(request),
            cancel_sub_tasks=request.cancel_sub_tasks,
        )
        return pb.ConcludeServiceResponse(task=task_message(view))

    async def ReadOutput(
        self, request: pb.ReadOutputRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutputResponse]:
        job_id = number(request.job_id, "job_id")
        key = task_key(request.task, "task")
        if request.stream not in pb.OutputStream.values():
            problem = f"{request.stream} is no stream"
            raise HpcError("INVALID_FIELD", field="stream", problem=problem)
        pieces = self._front.read_output(
            caller(),
            job_id,
            key,
            stderr=request.stream == pb.OUTPUT_STREAM_STDERR,
            offset=request.offset,
            follow=request.follow,
            attempt=not_negative(request.attempt, "attempt"),
        )
        async with contextlib.aclosing(pieces) as all_pieces:  # type: ignore[type-var]
            async for piece in all_pieces:
                starts = range(0, max(1, len(piece.data)), MAX_OUTPUT_BYTES)
                for start in starts:
                    data = piece.data[start : start + MAX_OUTPUT_BYTES]
                    last = start == starts[-1]
                    yield pb.ReadOutputResponse(
                        offset=piece.offset + start, data=data, eof=piece.eof and last
                    )
