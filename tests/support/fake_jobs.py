"""The job service of ``fake_api``."""
# ruff: noqa: N802 - names come from the protos

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_pb2, job_service_pb2, task_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.fake_api import FakeApi

PB = job_service_pb2
JOB = job_pb2.Job
TASK = task_pb2.Task

#: Bytes in a piece of output.
PIECE = 4

ACTIVE = frozenset(
    {JOB.STATE_CONFIGURING, JOB.STATE_QUEUED, JOB.STATE_RUNNING, JOB.STATE_SUBMITTED}
)
ENDED = frozenset({JOB.STATE_FINISHED, JOB.STATE_FAILED, JOB.STATE_CANCELED})


class FakeJobs:
    """The jobs that a test has put there; verbs move them as the head would."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    # --- Jobs -------------------------------------------------------------------

    def CreateJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job_id = self._add(request.spec, "CONFIGURING", keep=request.validate_only)
            return PB.CreateJobResponse(job=self._api.jobs.get(job_id))

        return self._api.answer("CreateJob", request, context, work)

    def SubmitJobs(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            dry = request.validate_only
            if request.job_ids:
                for job_id in request.job_ids:
                    self._api.on_submit(job_id)
                return PB.SubmitJobsResponse(job_ids=request.job_ids)
            ids = [self._add(spec, "QUEUED", keep=dry) for spec in request.specs]
            for job_id in () if dry else ids:
                self._api.on_submit(job_id)
            return PB.SubmitJobsResponse(job_ids=[] if dry else ids)

        return self._api.answer("SubmitJobs", request, context, work)

    def _add(self, spec: job_pb2.JobSpec, state: str, *, keep: bool) -> int:
        self._api.specs.append(spec)
        if keep:
            return 0
        job_id = self._api.add_job(
            state, name=spec.name, custom_properties=dict(spec.custom_properties)
        )
        self._api.tasks[job_id] = []
        for number, task in enumerate(spec.tasks, start=1):
            kind = task.type or task_pb2.TASK_TYPE_BASIC
            if task.end_value or task.lines:
                kind = task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
            self._api.add_task(job_id, task_id=number, name=task.name, type=kind)
        return job_id

    def SubmitJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            if job.state != JOB.STATE_CONFIGURING:
                raise HpcError("JOB_NOT_CONFIGURING", job_id=job.id, state="Queued")
            job.state = JOB.STATE_QUEUED
            self._api.on_submit(job.id)
            return PB.SubmitJobResponse(job=job)

        return self._api.answer("SubmitJob", request, context, work)

    def GetJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return PB.GetJobResponse(job=self._api.job(request.job_id))

        return self._api.answer("GetJob", request, context, work)

    def ListJobs(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            whose = self._api.user if request.mine else request.owner
            every = self._api.jobs.values()
            found = [job for job in every if _matches(job, request, whose)]
            found.sort(key=lambda job: job.id, reverse=not request.ascending)
            start = int(request.page_token or 0)
            size = request.page_size or 100
            more = str(start + size) if len(found) > start + size else ""
            page = found[start : start + size]
            return PB.ListJobsResponse(jobs=page, next_page_token=more)

        return self._api.answer("ListJobs", request, context, work)

    def WaitJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            with self._api.changed:
                self._api.changed.wait_for(lambda: job.state in ENDED, timeout=2)
            return PB.WaitJobResponse(job=job)

        return self._api.answer("WaitJob", request, context, work)

    def CancelJobs(self, request: Any, context: Any) -> Any:
        def cancel(job: job_pb2.Job) -> None:
            if job.state not in ACTIVE:
                state = JOB.State.Name(job.state)
                raise HpcError("INVALID_CANCEL_JOB_STATE", job_id=job.id, state=state)
            self._api.end_job(job.id, "CANCELED", error_message=request.message)

        return self._plural("CancelJobs", request, context, cancel)

    def FinishJobs(self, request: Any, context: Any) -> Any:
        def finish(job: job_pb2.Job) -> None:
            self._api.end_job(job.id, "FINISHED", error_message=request.message)

        return self._plural("FinishJobs", request, context, finish)

    def RequeueJobs(self, request: Any, context: Any) -> Any:
        def requeue(job: job_pb2.Job) -> None:
            job.state = JOB.STATE_QUEUED
            job.requeue_count += 1

        return self._plural("RequeueJobs", request, context, requeue)

    def ConfigureJobs(self, request: Any, context: Any) -> Any:
        def configure(job: job_pb2.Job) -> None:
            job.state = JOB.STATE_CONFIGURING

        return self._plural("ConfigureJobs", request, context, configure)

    def HoldJobs(self, request: Any, context: Any) -> Any:
        def hold(job: job_pb2.Job) -> None:
            job.pending_reason = "HeldByUser"

        return self._plural("HoldJobs", request, context, hold)

    def ReleaseJobs(self, request: Any, context: Any) -> Any:
        def release(job: job_pb2.Job) -> None:
            job.pending_reason = "None"

        return self._plural("ReleaseJobs", request, context, release)

    def ModifyJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return PB.ModifyJobResponse(job=self._api.job(request.job_id))

        return self._api.answer("ModifyJob", request, context, work)

    def ModifyTask(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            tasks = self._api.tasks[self._api.job(request.job_id).id]
            found = [one for one in tasks if one.task_id == request.task_id]
            return PB.ModifyTaskResponse(task=found[0])

        return self._api.answer("ModifyTask", request, context, work)

    def ForgetJobs(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            for job_id in request.job_ids:
                del self._api.jobs[self._api.job(job_id).id]
            return PB.ForgetJobsResponse()

        return self._api.answer("ForgetJobs", request, context, work)

    def AddExcludedNodes(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            job.excluded_nodes.extend(request.nodes)
            return PB.AddExcludedNodesResponse(job=job)

        return self._api.answer("AddExcludedNodes", request, context, work)

    def RemoveExcludedNodes(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            kept = [one for one in job.excluded_nodes if one not in request.nodes]
            job.excluded_nodes[:] = kept
            return PB.RemoveExcludedNodesResponse(job=job)

        return self._api.answer("RemoveExcludedNodes", request, context, work)

    def ClearExcludedNodes(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            del job.excluded_nodes[:]
            return PB.ClearExcludedNodesResponse(job=job)

        return self._api.answer("ClearExcludedNodes", request, context, work)

    def CloneJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            name = self._api.job(request.job_id).name
            job_id = self._api.add_job("CONFIGURING", name=name)
            return PB.CloneJobResponse(job=self._api.jobs[job_id])

        return self._api.answer("CloneJob", request, context, work)

    def _plural(
        self,
        method: str,
        request: Any,
        context: Any,
        act: Callable[[job_pb2.Job], None],
    ) -> Any:
        def work() -> Any:
            for done, job_id in enumerate(request.job_ids):
                try:
                    act(self._api.job(job_id))
                except HpcError as refusal:
                    refusal.facts["done"] = str(done)
                    raise
            jobs = [self._api.jobs[job_id] for job_id in request.job_ids]
            answer = getattr(PB, f"{method}Response")
            return answer(jobs=jobs)

        return self._api.answer(method, request, context, work)

    def ExplainJob(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            self._api.job(request.job_id)
            return PB.ExplainJobResponse(
                pending_reason="NotEnoughFreeResources",
                reasons=["it waits for 4 cores", "2 are free"],
            )

        return self._api.answer("ExplainJob", request, context, work)

    def CreateCommand(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job_id = self._api.add_job("RUNNING", job_type="Admin")
            self._api.tasks[job_id] = []
            for node in request.nodes:
                number = self._api.add_task(job_id, "FINISHED", nodes=[node])
                self._api.outputs[job_id, number, 0, 1] = f"on {node}\n".encode()
            self._api.end_job(job_id)
            self._api.on_command(job_id)
            return PB.CreateCommandResponse(job=self._api.jobs[job_id])

        return self._api.answer("CreateCommand", request, context, work)

    def FollowCommand(self, request: Any, context: Any) -> Any:
        self._api.begin("FollowCommand", request, context)
        at = {(one.task_id, one.stream): one for one in request.positions}

        def messages() -> Iterator[Any]:
            for task in self._api.tasks[request.job_id]:
                for stream in (PB.OUTPUT_STREAM_STDOUT, PB.OUTPUT_STREAM_STDERR):
                    known = at.get((task.task_id, stream), PB.CommandPosition())
                    data = self._api.outputs.get(
                        (request.job_id, task.task_id, 0, stream), b""
                    )
                    if known.eof:
                        continue
                    for offset in range(known.offset, len(data) + 1, 4):
                        piece = PB.CommandOutput(
                            node=task.nodes[0],
                            task_id=task.task_id,
                            stream=stream,
                            offset=offset,
                            data=data[offset : offset + 4],
                            eof=offset + 4 > len(data),
                        )
                        yield PB.FollowCommandResponse(outputs=[piece])
                end = PB.CommandTask(
                    node=task.nodes[0],
                    task_id=task.task_id,
                    state=task.state,
                    error_message=task.error_message,
                )
                if task.HasField("exit_code"):
                    end.exit_code = task.exit_code
                yield PB.FollowCommandResponse(tasks=[end])
            yield PB.FollowCommandResponse(job=self._api.jobs[request.job_id])

        return self._api.streamed("FollowCommand", context, messages())

    # --- Tasks ------------------------------------------------------------------

    def AddTasks(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            job = self._api.job(request.job_id)
            ids = [self._api.add_task(job.id, name=task.name) for task in request.tasks]
            return PB.AddTasksResponse(task_ids=ids)

        return self._api.answer("AddTasks", request, context, work)

    def SubmitTasks(self, request: Any, context: Any) -> Any:
        answer = PB.SubmitTasksResponse()
        return self._api.answer("SubmitTasks", request, context, lambda: answer)

    def _task(self, job_id: int, ref: Any) -> task_pb2.Task:
        self._api.job(job_id)
        for task in self._api.tasks[job_id]:
            if (task.task_id, task.instance_id) == (ref.task_id, ref.instance_id):
                return task
        raise HpcError("TASK_NOT_FOUND", task=ref.task_id, job_id=job_id)

    def GetTask(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return PB.GetTaskResponse(task=self._task(request.job_id, request.task))

        return self._api.answer("GetTask", request, context, work)

    def ListTasks(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            self._api.job(request.job_id)
            found = [
                task
                for task in self._api.tasks[request.job_id]
                if (request.elements or not task.instance_id)
                and not (request.elements and _is_master(task))
                and (not request.states or task.state in request.states)
            ]
            return PB.ListTasksResponse(tasks=found)

        return self._api.answer("ListTasks", request, context, work)

    def CancelTasks(self, request: Any, context: Any) -> Any:
        return self._tasks("CancelTasks", request, context, TASK.STATE_CANCELED)

    def RequeueTasks(self, request: Any, context: Any) -> Any:
        return self._tasks("RequeueTasks", request, context, TASK.STATE_QUEUED)

    def FinishTasks(self, request: Any, context: Any) -> Any:
        return self._tasks("FinishTasks", request, context, TASK.STATE_FINISHED)

    def ConcludeService(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            ref = PB.TaskRef(task_id=request.task_id)
            task = self._task(request.job_id, ref)
            if task.type != task_pb2.TASK_TYPE_SERVICE:
                name = f"{request.job_id}.{request.task_id}"
                raise HpcError("NOT_A_SERVICE_TASK", task=name, type="Basic")
            task.is_service_concluded = True
            return PB.ConcludeServiceResponse(task=task)

        return self._api.answer("ConcludeService", request, context, work)

    def _tasks(
        self,
        method: str,
        request: Any,
        context: Any,
        state: task_pb2.Task.State.ValueType,
    ) -> Any:
        def work() -> Any:
            tasks = []
            for done, ref in enumerate(request.tasks):
                try:
                    tasks.append(self._task(request.job_id, ref))
                except HpcError as refusal:
                    refusal.facts["done"] = str(done)
                    raise
                tasks[-1].state = state
            answer = getattr(PB, f"{method}Response")
            return answer(tasks=tasks)

        return self._api.answer(method, request, context, work)

    def ReadOutput(self, request: Any, context: Any) -> Iterator[Any]:
        self._api.begin("ReadOutput", request, context)
        pieces = self._pieces(request)
        yield from self._api.streamed("ReadOutput", context, pieces)

    def _pieces(self, request: Any) -> Iterator[Any]:
        ref, stream = request.task, request.stream or 1
        key = (request.job_id, ref.task_id, ref.instance_id, stream)
        data = self._api.outputs.get(key, b"")
        start = request.offset if request.offset >= 0 else len(data) + request.offset
        for at in range(max(0, start), len(data), PIECE):
            yield PB.ReadOutputResponse(offset=at, data=data[at : at + PIECE])
        yield PB.ReadOutputResponse(offset=len(data), eof=True)


def _is_master(task: task_pb2.Task) -> bool:
    return task.type == task_pb2.TASK_TYPE_PARAMETRIC_SWEEP and not task.instance_id


def _matches(job: job_pb2.Job, request: Any, owner: str) -> bool:
    labels: Iterable[tuple[str, str]] = request.custom_properties.items()
    return (
        (not request.states or job.state in request.states)
        and (not owner or job.owner == owner)
        and (not request.min_id or job.id >= request.min_id)
        and (not request.max_id or job.id <= request.max_id)
        and all(job.custom_properties.get(k) == v for k, v in labels)
    )
