"""JobService: jobs. Converts, calls the front door, converts back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_pb2, job_service_pb2_grpc
from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.core.listing.conditions import Comparison, Condition
from hpcsched.core.listing.ordering import decode_position, encode_position
from hpcsched.core.listing.properties import JOB_PROPERTIES
from hpcsched.runtime.front import NewJob, Stop
from hpcsched.services.commands import CommandCalls
from hpcsched.services.convert_job import (
    is_full,
    job_message,
    job_messages,
    job_states,
)
from hpcsched.services.convert_job_spec import new_job, task_spec
from hpcsched.services.convert_listing import conditions, projection, sort_keys
from hpcsched.services.convert_time import seconds_of, seconds_since_epoch
from hpcsched.services.cursors import Pages
from hpcsched.services.edits import EditCalls
from hpcsched.services.exclusions import ExclusionCalls
from hpcsched.services.fitting import fitting
from hpcsched.services.gate import caller
from hpcsched.services.known_specs import KnownSpecs
from hpcsched.services.limits import (
    MAX_BATCH,
    MAX_DRAFTS,
    MAX_SPEC_BYTES,
    MAX_WAIT_S,
)
from hpcsched.services.requests import (
    in_slices,
    not_negative,
    number,
    numbers,
    page_size,
    request_of,
    some,
    task_key,
)
from hpcsched.services.tasks import TaskCalls
from hpcsched.store.base import JobQuery, JobSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.common.clock import Clock
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.views import JobView
    from hpcsched.runtime.front import JobFront

PAGE = 100
LARGEST_PAGE = 1000


class JobService(
    EditCalls,
    ExclusionCalls,
    TaskCalls,
    CommandCalls,
    job_service_pb2_grpc.JobServiceServicer,
):
    """See the proto."""

    def __init__(self, front: JobFront, clock: Clock) -> None:
        self._front = front
        self._clock = clock
        self._specs = KnownSpecs()

    async def CreateJob(
        self, request: pb.CreateJobRequest, context: Any
    ) -> pb.CreateJobResponse:
        new = new_job(request.spec, "spec")
        view = await self._front.create_job(
            caller(), new, request_of(request), validate_only=request.validate_only
        )
        return pb.CreateJobResponse(job=job_message(view))

    async def SubmitJobs(
        self, request: pb.SubmitJobsRequest, context: Any
    ) -> pb.SubmitJobsResponse:
        if request.job_ids:
            ids = await self._submit_drafts(request)
            return pb.SubmitJobsResponse(job_ids=ids)
        specs = some(request.specs, "specs", MAX_BATCH)
        field = "spec" if len(specs) == 1 else "specs[{}]"
        equal: dict[bytes, NewJob] = {}
        known_specs: dict[bytes, JobSpec] = {}

        def convert(at: int, spec: job_pb2.JobSpec) -> NewJob:
            """Return one value for all that ask for the same: it is kept once."""
            body = spec.SerializeToString(deterministic=True)
            known = equal.get(body)
            if known is None:
                where = field.format(at)
                if len(specs) == 1:
                    known = self._specs.value(spec, body, where)
                else:
                    known = new_job(spec, where, known_specs)
                equal[body] = known
            return known

        new = await in_slices(specs, convert, self._clock)
        ids = await self._front.submit_jobs(
            caller(), new, request_of(request), validate_only=request.validate_only
        )
        return pb.SubmitJobsResponse(job_ids=ids)

    async def _submit_drafts(self, request: pb.SubmitJobsRequest) -> Sequence[int]:
        if request.specs:
            problem = "not together with specs"
            raise HpcError("INVALID_FIELD", field="job_ids", problem=problem)
        some(request.job_ids, "job_ids", MAX_DRAFTS)
        ids = numbers(request.job_ids, "job_ids")
        if len(set(ids)) < len(ids):
            problem = "a job is named twice"
            raise HpcError("INVALID_FIELD", field="job_ids", problem=problem)
        return await self._front.submit_drafts(
            caller(), ids, request_of(request), validate_only=request.validate_only
        )

    async def SubmitJob(
        self, request: pb.SubmitJobRequest, context: Any
    ) -> pb.SubmitJobResponse:
        job_id = number(request.job_id, "job_id")
        view = await self._front.submit_job(caller(), job_id, request_of(request))
        return pb.SubmitJobResponse(job=job_message(view))

    async def AddTasks(
        self, request: pb.AddTasksRequest, context: Any
    ) -> pb.AddTasksResponse:
        job_id = number(request.job_id, "job_id")
        if request.ByteSize() > MAX_SPEC_BYTES:
            length = request.ByteSize()
            raise HpcError(
                "SPEC_TOO_LARGE", field="tasks", length=length, limit=MAX_SPEC_BYTES
            )
        tasks = await in_slices(
            some(request.tasks, "tasks", MAX_BATCH),
            lambda at, task: task_spec(task, f"tasks[{at}]"),
            self._clock,
        )
        ids = await self._front.add_tasks(
            caller(), job_id, tasks, request_of(request), submit=request.submit
        )
        return pb.AddTasksResponse(task_ids=ids)

    async def SubmitTasks(
        self, request: pb.SubmitTasksRequest, context: Any
    ) -> pb.SubmitTasksResponse:
        job_id = number(request.job_id, "job_id")
        ids = numbers(request.task_ids, "task_ids", MAX_BATCH)
        await self._front.submit_tasks(caller(), job_id, ids, request_of(request))
        return pb.SubmitTasksResponse()

    async def GetJob(
        self, request: pb.GetJobRequest, context: Any
    ) -> pb.GetJobResponse:
        job_id = number(request.job_id, "job_id")
        view = await self._front.get_job(caller(), job_id, full=is_full(request.view))
        return pb.GetJobResponse(job=job_message(view))

    async def ListJobs(
        self, request: pb.ListJobsRequest, context: Any
    ) -> pb.ListJobsResponse:
        size = page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE)
        if request.newest_only:
            size = 1
        pages = Pages(request)
        kind = job_pb2.Job.DESCRIPTOR
        project = projection(request.read_mask, kind, without=("spec",))
        listed = await self._listed(request, size + 1, pages)
        jobs = await in_slices(
            listed[:size], lambda _, one: project(job_message(one[0])), self._clock
        )
        count = fitting(jobs)
        more = len(listed) > count and not request.newest_only
        token = pages.encode(listed[count - 1][1]) if more else ""
        return pb.ListJobsResponse(jobs=jobs[:count], next_page_token=token)

    async def _listed(
        self, request: pb.ListJobsRequest, limit: int, pages: Pages
    ) -> list[tuple[JobView, str]]:
        """Return jobs, each with its position in the list as text."""
        since = None
        if request.HasField("since"):
            since = seconds_since_epoch(request.since, "since")
        query = JobQuery(
            states=job_states(request.states, "states"),
            owner=_owner(request),
            since=since,
            labels=dict(request.custom_properties),
            min_id=not_negative(request.min_id, "min_id"),
            max_id=not_negative(request.max_id, "max_id"),
            ascending=request.ascending,
            limit=limit,
        )
        chosen = conditions(request, JOB_PROPERTIES)
        if request.HasField("changed_since"):
            moment = seconds_since_epoch(request.changed_since, "changed_since")
            changed = JOB_PROPERTIES["change_time"]
            after = Condition(
                property=changed, comparison=Comparison.AT_LEAST, values=(moment,)
            )
            chosen = (*chosen, after)
        sort = sort_keys(request, JOB_PROPERTIES)
        if not chosen and not sort:
            query = replace(query, after_id=pages.decode_number(request.page_token))
            views = await self._front.list_jobs(caller(), query)
            return [(view, str(view.job_id)) for view in views]
        position = pages.decode(request.page_token)
        search = JobSearch(
            query=query,
            conditions=chosen,
            sort=sort,
            descending_ids=not request.ascending,
            after=decode_position(position, sort, 1) if position else None,
        )
        found = await self._front.search_jobs(caller(), search)
        return [(view, encode_position(place)) for view, place in found]

    async def WaitJob(
        self, request: pb.WaitJobRequest, context: Any
    ) -> pb.WaitJobResponse:
        job_id = number(request.job_id, "job_id")
        wait = MAX_WAIT_S
        if request.HasField("timeout"):
            wait = min(wait, seconds_of(request.timeout, "timeout"))
        view = await self._front.wait_job(caller(), job_id, wait)
        return pb.WaitJobResponse(job=job_message(view))

    async def CancelJobs(
        self, request: pb.CancelJobsRequest, context: Any
    ) -> pb.CancelJobsResponse:
        stop = Stop(
            message=request.message, force=request.force, graceful=request.graceful
        )
        ids = numbers(request.job_ids, "job_ids")
        views = await self._front.cancel_jobs(caller(), ids, stop, request_of(request))
        return pb.CancelJobsResponse(jobs=job_messages(views))

    async def FinishJobs(
        self, request: pb.FinishJobsRequest, context: Any
    ) -> pb.FinishJobsResponse:
        stop = Stop(
            message=request.message, force=request.force, graceful=request.graceful
        )
        ids = numbers(request.job_ids, "job_ids")
        views = await self._front.finish_jobs(caller(), ids, stop, request_of(request))
        return pb.FinishJobsResponse(jobs=map(job_message, views))

    async def RequeueJobs(
        self, request: pb.RequeueJobsRequest, context: Any
    ) -> pb.RequeueJobsResponse:
        ids = numbers(request.job_ids, "job_ids")
        views = await self._front.requeue_jobs(caller(), ids, request_of(request))
        return pb.RequeueJobsResponse(jobs=map(job_message, views))

    async def ConfigureJobs(
        self, request: pb.ConfigureJobsRequest, context: Any
    ) -> pb.ConfigureJobsResponse:
        ids = numbers(request.job_ids, "job_ids")
        views = await self._front.configure_jobs(caller(), ids, request_of(request))
        return pb.ConfigureJobsResponse(jobs=map(job_message, views))

    async def CloneJob(
        self, request: pb.CloneJobRequest, context: Any
    ) -> pb.CloneJobResponse:
        job_id = number(request.job_id, "job_id")
        view = await self._front.clone_job(caller(), job_id, request_of(request))
        return pb.CloneJobResponse(job=job_message(view))

    async def ForgetJobs(
        self, request: pb.ForgetJobsRequest, context: Any
    ) -> pb.ForgetJobsResponse:
        ids = numbers(request.job_ids, "job_ids", MAX_BATCH)
        await self._front.forget_jobs(caller(), ids, request_of(request))
        return pb.ForgetJobsResponse()

    async def ExplainJob(
        self, request: pb.ExplainJobRequest, context: Any
    ) -> pb.ExplainJobResponse:
        job_id = number(request.job_id, "job_id")
        task = task_key(request.task, "task") if request.HasField("task") else None
        reason, lines = await self._front.explain(caller(), job_id, task)
        return pb.ExplainJobResponse(pending_reason=reason, reasons=lines)


def _owner(request: pb.ListJobsRequest) -> str:
    """Return whose jobs are asked for; empty: everybody's.

    Raises:
        HpcError: INVALID_FIELD, one's own and somebody's.
    """
    if not request.mine:
        return request.owner
    if request.owner:
        problem = "not together with owner"
        raise HpcError("INVALID_FIELD", field="mine", problem=problem)
    return caller().user
