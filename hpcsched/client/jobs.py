"""Calls about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf import duration_pb2, timestamp_pb2

from hpcsched.api.v1 import job_pb2, job_service_pb2
from hpcsched.client.listing import EVERYTHING, Choice
from hpcsched.client.pages import Page, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.client.api import Caller

LARGEST_PAGE: Final = 1_000

#: One WaitJob call, seconds, and what is added for its way there and back.
WAIT_S: Final = 55
WAIT_MARGIN_S: Final = 15

ENDED: Final = frozenset(
    {
        job_pb2.Job.STATE_FINISHED,
        job_pb2.Job.STATE_FAILED,
        job_pb2.Job.STATE_CANCELED,
    }
)


class Jobs:
    """Jobs of the cluster.

    Mutations take a ``request_id`` (a UUID): the same one with the same request has no
    second effect within 24 hours. Without one each call makes its own.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    def _id(self, request_id: str) -> str:
        return request_id or self._connection.ids.uuid()

    async def create(
        self,
        spec: job_pb2.JobSpec,
        *,
        request_id: str = "",
        validate_only: bool = False,
    ) -> job_pb2.Job:
        """Make a job in state Configuring and return it."""
        request = job_service_pb2.CreateJobRequest(
            spec=spec, request_id=self._id(request_id), validate_only=validate_only
        )
        answer = await self._connection.call(lambda s: s.jobs.CreateJob, request)
        return answer.job

    async def submit_all(
        self,
        specs: Iterable[job_pb2.JobSpec],
        *,
        request_id: str = "",
        validate_only: bool = False,
    ) -> Sequence[int]:
        """Make and submit jobs, all or none; return their ids in the same order."""
        request = job_service_pb2.SubmitJobsRequest(
            specs=specs, request_id=self._id(request_id), validate_only=validate_only
        )
        answer = await self._connection.call(lambda s: s.jobs.SubmitJobs, request)
        return answer.job_ids

    async def submit_drafts(
        self,
        job_ids: Iterable[int],
        *,
        request_id: str = "",
        validate_only: bool = False,
    ) -> Sequence[int]:
        """Submit jobs that are Configuring, all or none; return their ids."""
        request = job_service_pb2.SubmitJobsRequest(
            job_ids=job_ids,
            request_id=self._id(request_id),
            validate_only=validate_only,
        )
        answer = await self._connection.call(lambda s: s.jobs.SubmitJobs, request)
        return answer.job_ids

    async def submit(self, job_id: int, *, request_id: str = "") -> job_pb2.Job:
        """Submit a job that is Configuring; return it after its validation."""
        request = job_service_pb2.SubmitJobRequest(
            job_id=job_id, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.SubmitJob, request)
        return answer.job

    async def get(self, job_id: int, *, full: bool = False) -> job_pb2.Job:
        """Return a job; with ``full`` what was asked for, too."""
        view = job_service_pb2.VIEW_FULL if full else job_service_pb2.VIEW_BASIC
        request = job_service_pb2.GetJobRequest(job_id=job_id, view=view)
        answer = await self._connection.call(lambda s: s.jobs.GetJob, request)
        return answer.job

    async def list(
        self,
        *,
        states: Iterable[job_pb2.Job.State.ValueType] = (),
        owner: str = "",
        mine: bool = False,
        since: float | None = None,
        labels: Mapping[str, str] | None = None,
        min_id: int = 0,
        max_id: int = 0,
        ascending: bool = False,
        changed_since: float | None = None,
        choice: Choice = EVERYTHING,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[job_pb2.Job]:
        """Return jobs, the newest first; all conditions must hold.

        Args:
            states: Any of these; none means all.
            owner: Whose; empty means everybody's.
            mine: Only the caller's, in place of an owner.
            since: Submitted at or after this Unix time.
            labels: With all of these custom properties.
            min_id: Smallest id; 0 is no bound.
            max_id: Largest id; 0 is no bound.
            ascending: The oldest first.
            changed_since: Changed at or after this Unix time.
            choice: Further conditions, the order, and which fields.
            limit: Most jobs to return; None fetches every page.
            page_token: Where an earlier list stopped.
        """
        wanted = list_of(states)

        async def fetch(size: int, token: str) -> Page[job_pb2.Job]:
            request = job_service_pb2.ListJobsRequest(
                states=wanted,
                owner=owner,
                mine=mine,
                since=_stamp(since),
                changed_since=_stamp(changed_since),
                custom_properties=labels,
                page_size=size,
                page_token=token,
                min_id=min_id,
                max_id=max_id,
                ascending=ascending,
            )
            choice.put_into(request)
            answer = await self._connection.call(lambda s: s.jobs.ListJobs, request)
            return Page(items=answer.jobs, next_page_token=answer.next_page_token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_PAGE
        )

    async def wait(self, job_id: int) -> job_pb2.Job:
        """Return a job once it is terminal, however long that takes.

        A head that was reached once may go away for any time meanwhile.
        """
        request = job_service_pb2.WaitJobRequest(
            job_id=job_id, timeout=duration_pb2.Duration(seconds=WAIT_S)
        )
        while True:
            answer = await self._connection.call(
                lambda s: s.jobs.WaitJob,
                request,
                timeout_s=WAIT_S + WAIT_MARGIN_S,
                persist=True,
            )
            if answer.job.state in ENDED:
                return answer.job

    async def cancel(
        self,
        job_ids: Iterable[int],
        *,
        message: str = "",
        force: bool = False,
        graceful: bool = False,
        request_id: str = "",
    ) -> Sequence[job_pb2.Job]:
        """Cancel jobs in the order given; stops at the first refusal."""
        request = job_service_pb2.CancelJobsRequest(
            job_ids=job_ids,
            message=message,
            force=force,
            graceful=graceful,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.CancelJobs, request)
        return answer.jobs

    async def finish(
        self,
        job_ids: Iterable[int],
        *,
        message: str = "",
        force: bool = False,
        graceful: bool = False,
        request_id: str = "",
    ) -> Sequence[job_pb2.Job]:
        """End jobs as Finished in the order given; stops at the first refusal."""
        request = job_service_pb2.FinishJobsRequest(
            job_ids=job_ids,
            message=message,
            force=force,
            graceful=graceful,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.FinishJobs, request)
        return answer.jobs

    async def requeue(
        self, job_ids: Iterable[int], *, request_id: str = ""
    ) -> Sequence[job_pb2.Job]:
        """Queue jobs again in the order given; stops at the first refusal."""
        request = job_service_pb2.RequeueJobsRequest(
            job_ids=job_ids, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.RequeueJobs, request)
        return answer.jobs

    async def configure(
        self, job_ids: Iterable[int], *, request_id: str = ""
    ) -> Sequence[job_pb2.Job]:
        """Take jobs back to Configuring; stops at the first refusal."""
        request = job_service_pb2.ConfigureJobsRequest(
            job_ids=job_ids, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.ConfigureJobs, request)
        return answer.jobs

    async def modify(
        self,
        job_id: int,
        spec: job_pb2.JobSpec,
        *,
        fields: Iterable[str] = (),
        expected_revision: int = 0,
        request_id: str = "",
        tasks: Iterable[job_service_pb2.TaskEdit] = (),
        validate_only: bool = False,
    ) -> job_pb2.Job:
        """Change properties of a job, all or none; return it as it is then.

        Args:
            job_id: The job.
            spec: The new values.
            fields: What to change: names of fields, ``environment.NAME`` or
                ``custom_properties.NAME``; what ``spec`` has not is cleared. Without
                any: every field that ``spec`` has.
            expected_revision: Refuse if the job has changed since; 0: do not.
            request_id: See the class.
            tasks: Tasks to change, or to add, with it; the job must be Configuring.
            validate_only: Check only; nothing is changed.
        """
        request = job_service_pb2.ModifyJobRequest(
            job_id=job_id,
            spec=spec,
            fields=fields,
            expected_revision=expected_revision,
            request_id=self._id(request_id),
            tasks=tasks,
            validate_only=validate_only,
        )
        answer = await self._connection.call(lambda s: s.jobs.ModifyJob, request)
        return answer.job

    async def hold(
        self,
        job_ids: Iterable[int],
        *,
        until: float | None = None,
        request_id: str = "",
    ) -> Sequence[job_pb2.Job]:
        """Hold queued jobs until a Unix time, or until they are released."""
        stamp = None
        if until is not None:
            stamp = timestamp_pb2.Timestamp()
            stamp.FromMilliseconds(round(until * 1000))
        request = job_service_pb2.HoldJobsRequest(
            job_ids=job_ids, until=stamp, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.HoldJobs, request)
        return answer.jobs

    async def release(
        self, job_ids: Iterable[int], *, request_id: str = ""
    ) -> Sequence[job_pb2.Job]:
        """Let held jobs go; stops at the first refusal."""
        request = job_service_pb2.ReleaseJobsRequest(
            job_ids=job_ids, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.ReleaseJobs, request)
        return answer.jobs

    async def clone(self, job_id: int, *, request_id: str = "") -> job_pb2.Job:
        """Copy a job; the copy is Configuring."""
        request = job_service_pb2.CloneJobRequest(
            job_id=job_id, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.CloneJob, request)
        return answer.job

    async def exclude_nodes(
        self, job_id: int, nodes: Iterable[str], *, request_id: str = ""
    ) -> job_pb2.Job:
        """Forbid nodes to a job; what runs there is stopped and queued again."""
        request = job_service_pb2.AddExcludedNodesRequest(
            job_id=job_id, nodes=nodes, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.AddExcludedNodes, request)
        return answer.job

    async def allow_nodes(
        self, job_id: int, nodes: Iterable[str], *, request_id: str = ""
    ) -> job_pb2.Job:
        """Allow excluded nodes again."""
        request = job_service_pb2.RemoveExcludedNodesRequest(
            job_id=job_id, nodes=nodes, request_id=self._id(request_id)
        )
        answer = await self._connection.call(
            lambda s: s.jobs.RemoveExcludedNodes, request
        )
        return answer.job

    async def allow_all_nodes(
        self, job_id: int, *, request_id: str = ""
    ) -> job_pb2.Job:
        """Allow all excluded nodes again."""
        request = job_service_pb2.ClearExcludedNodesRequest(
            job_id=job_id, request_id=self._id(request_id)
        )
        answer = await self._connection.call(
            lambda s: s.jobs.ClearExcludedNodes, request
        )
        return answer.job

    async def forget(self, job_ids: Iterable[int], *, request_id: str = "") -> None:
        """Delete the records of jobs that have ended."""
        request = job_service_pb2.ForgetJobsRequest(
            job_ids=job_ids, request_id=self._id(request_id)
        )
        await self._connection.call(lambda s: s.jobs.ForgetJobs, request)

    async def command(
        self, request: job_service_pb2.CreateCommandRequest
    ) -> job_pb2.Job:
        """Run a command on nodes at once; return its job."""
        if not request.request_id:
            request.request_id = self._id("")
        answer = await self._connection.call(lambda s: s.jobs.CreateCommand, request)
        return answer.job


def list_of(
    states: Iterable[job_pb2.Job.State.ValueType],
) -> tuple[job_pb2.Job.State.ValueType, ...]:
    """Return the states as a tuple; inside ``Jobs`` the name ``list`` is a method."""
    return tuple(states)


def _stamp(moment: float | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMilliseconds(int(moment * 1000))
    return stamp
