"""JobService: edits and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.services.convert_edit import job_edit, task_edit
from hpcsched.services.convert_job import job_message
from hpcsched.services.convert_task import task_message
from hpcsched.services.convert_time import seconds_since_epoch
from hpcsched.services.gate import caller
from hpcsched.services.limits import MAX_BATCH
from hpcsched.services.requests import number, numbers, request_of

if TYPE_CHECKING:
    from hpcsched.runtime.front import JobFront


class EditCalls:
    """The calls of JobService that change properties, or hold jobs back."""

    _front: JobFront

    async def ModifyJob(
        self, request: pb.ModifyJobRequest, context: Any
    ) -> pb.ModifyJobResponse:
        job_id = number(request.job_id, "job_id")
        edited = await self._front.modify_job(
            caller(),
            job_id,
            job_edit(request),
            request_of(request),
            validate_only=request.validate_only,
        )
        return pb.ModifyJobResponse(
            job=job_message(edited.job), task_ids=edited.task_ids
        )

    async def ModifyTask(
        self, request: pb.ModifyTaskRequest, context: Any
    ) -> pb.ModifyTaskResponse:
        job_id = number(request.job_id, "job_id")
        task_id = number(request.task_id, "task_id")
        view = await self._front.modify_task(
            caller(), job_id, task_id, task_edit(request), request_of(request)
        )
        return pb.ModifyTaskResponse(task=task_message(view))

    async def HoldJobs(
        self, request: pb.HoldJobsRequest, context: Any
    ) -> pb.HoldJobsResponse:
        ids = numbers(request.job_ids, "job_ids", MAX_BATCH)
        until = None
        if request.HasField("until"):
            until = seconds_since_epoch(request.until, "until")
        views = await self._front.hold_jobs(caller(), ids, until, request_of(request))
        return pb.HoldJobsResponse(jobs=map(job_message, views))

    async def ReleaseJobs(
        self, request: pb.ReleaseJobsRequest, context: Any
    ) -> pb.ReleaseJobsResponse:
        ids = numbers(request.job_ids, "job_ids", MAX_BATCH)
        views = await self._front.release_jobs(caller(), ids, request_of(request))
        return pb.ReleaseJobsResponse(jobs=map(job_message, views))
