"""Calls about the tasks of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import job_service_pb2, task_pb2
from hpcsched.client.listing import EVERYTHING, Choice
from hpcsched.client.pages import Page, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.client.api import Caller

LARGEST_PAGE: Final = 10_000

Ref = job_service_pb2.TaskRef


def ref(task_id: int, instance_id: int = 0) -> Ref:
    """Return the name of a task, or of an element of a sweep, within its job."""
    return Ref(task_id=task_id, instance_id=instance_id)


class Tasks:
    """Tasks of jobs; see ``Jobs`` for request ids."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    def _id(self, request_id: str) -> str:
        return request_id or self._connection.ids.uuid()

    async def add(
        self,
        job_id: int,
        tasks: Iterable[task_pb2.TaskSpec],
        *,
        submit: bool = False,
        request_id: str = "",
    ) -> Sequence[int]:
        """Add tasks to a job, all or none; return their numbers.

        Args:
            job_id: Which job.
            tasks: What to add.
            submit: If the job has been submitted, submit these as well; otherwise they
                would not run.
            request_id: See ``Jobs``.
        """
        request = job_service_pb2.AddTasksRequest(
            job_id=job_id,
            tasks=tasks,
            submit=submit,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.AddTasks, request)
        return answer.task_ids

    async def submit(
        self, job_id: int, task_ids: Iterable[int], *, request_id: str = ""
    ) -> None:
        """Submit tasks that were added after their job was submitted."""
        request = job_service_pb2.SubmitTasksRequest(
            job_id=job_id, task_ids=task_ids, request_id=self._id(request_id)
        )
        await self._connection.call(lambda s: s.jobs.SubmitTasks, request)

    async def get(self, job_id: int, task: Ref, *, full: bool = False) -> task_pb2.Task:
        """Return a task with its output's beginning."""
        view = job_service_pb2.VIEW_FULL if full else job_service_pb2.VIEW_BASIC
        request = job_service_pb2.GetTaskRequest(job_id=job_id, task=task, view=view)
        answer = await self._connection.call(lambda s: s.jobs.GetTask, request)
        return answer.task

    async def list(
        self,
        job_id: int,
        *,
        states: Iterable[task_pb2.Task.State.ValueType] = (),
        elements: bool = False,
        task_id: int = 0,
        full: bool = False,
        choice: Choice = EVERYTHING,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[task_pb2.Task]:
        """Return tasks of a job by number.

        Args:
            job_id: Which job.
            states: Any of these, which implies ``elements``; none means all.
            elements: One entry per element of a sweep instead of one per sweep.
            task_id: Only this one; 0 means all.
            full: With what was asked for; owner and administrators only.
            choice: Further conditions, the order, and which fields.
            limit: Most tasks to return; None fetches every page.
            page_token: Where an earlier list stopped.
        """
        wanted = tuple(states)
        view = job_service_pb2.VIEW_FULL if full else job_service_pb2.VIEW_BASIC

        async def fetch(size: int, token: str) -> Page[task_pb2.Task]:
            request = job_service_pb2.ListTasksRequest(
                job_id=job_id,
                states=wanted,
                elements=elements,
                page_size=size,
                page_token=token,
                task_id=task_id,
                view=view,
            )
            choice.put_into(request)
            answer = await self._connection.call(lambda s: s.jobs.ListTasks, request)
            return Page(items=answer.tasks, next_page_token=answer.next_page_token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_PAGE
        )

    async def modify(
        self,
        job_id: int,
        task_id: int,
        spec: task_pb2.TaskSpec,
        *,
        fields: Iterable[str] = (),
        expected_revision: int = 0,
        request_id: str = "",
    ) -> task_pb2.Task:
        """Change properties of a task that is Configuring, all or none.

        Args:
            job_id: Its job, Configuring as well.
            task_id: The task; elements cannot be changed by themselves.
            spec: The new values.
            fields: As of ``Jobs.modify``.
            expected_revision: Of the job; refuse if it has changed since; 0: do not.
            request_id: See the class.
        """
        request = job_service_pb2.ModifyTaskRequest(
            job_id=job_id,
            task_id=task_id,
            spec=spec,
            fields=fields,
            expected_revision=expected_revision,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.ModifyTask, request)
        return answer.task

    async def cancel(
        self,
        job_id: int,
        tasks: Iterable[Ref],
        *,
        message: str = "",
        force: bool = False,
        request_id: str = "",
    ) -> Sequence[task_pb2.Task]:
        """Cancel tasks of one job in the order given; stops at the first refusal."""
        request = job_service_pb2.CancelTasksRequest(
            job_id=job_id,
            tasks=tasks,
            message=message,
            force=force,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.CancelTasks, request)
        return answer.tasks

    async def requeue(
        self, job_id: int, tasks: Iterable[Ref], *, request_id: str = ""
    ) -> Sequence[task_pb2.Task]:
        """Queue tasks again in the order given; stops at the first refusal."""
        request = job_service_pb2.RequeueTasksRequest(
            job_id=job_id, tasks=tasks, request_id=self._id(request_id)
        )
        answer = await self._connection.call(lambda s: s.jobs.RequeueTasks, request)
        return answer.tasks

    async def finish(
        self,
        job_id: int,
        tasks: Iterable[Ref],
        *,
        message: str = "",
        request_id: str = "",
    ) -> Sequence[task_pb2.Task]:
        """End running tasks as Finished; stops at the first refusal."""
        request = job_service_pb2.FinishTasksRequest(
            job_id=job_id,
            tasks=tasks,
            message=message,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.FinishTasks, request)
        return answer.tasks

    async def conclude(
        self,
        job_id: int,
        task_id: int,
        *,
        cancel_sub_tasks: bool = False,
        request_id: str = "",
    ) -> task_pb2.Task:
        """Let a service start no more instances; cancel those there are, if asked."""
        request = job_service_pb2.ConcludeServiceRequest(
            job_id=job_id,
            task_id=task_id,
            cancel_sub_tasks=cancel_sub_tasks,
            request_id=self._id(request_id),
        )
        answer = await self._connection.call(lambda s: s.jobs.ConcludeService, request)
        return answer.task

    async def explain(
        self, job_id: int, task: Ref | None = None
    ) -> job_service_pb2.ExplainJobResponse:
        """Say why a job, or a task of it, waits or ended as it did."""
        request = job_service_pb2.ExplainJobRequest(job_id=job_id, task=task)
        return await self._connection.call(lambda s: s.jobs.ExplainJob, request)
