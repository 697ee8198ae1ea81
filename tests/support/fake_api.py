"""The client API without a head behind it: real gRPC on loopback, scripted answers.

Jobs, tasks, nodes and events are what a test puts there. Requests are kept. A fault is
raised once, before the call is carried out; a drop ends a stream after so many
messages.
"""
# ruff: noqa: N802 - names come from the protos

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.api.v1 import (
    accounting_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    job_pb2,
    job_service_pb2_grpc,
    node_pb2,
    node_service_pb2_grpc,
    task_pb2,
    template_service_pb2,
    template_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
)
from hpcsched.common.errors import HpcError
from hpcsched.rpc.errors import status_code, to_status
from hpcsched.rpc.metadata import STATUS_DETAILS, bearer_token
from tests.support.fake_cluster import FakeAccounting, FakeCluster
from tests.support.fake_jobs import FakeJobs
from tests.support.fake_nodes import FakeNodes
from tests.support.fake_templates import FakeTemplates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOB = job_pb2.Job
TASK = task_pb2.Task
NODE = node_pb2.Node

#: The caller of every call.
USER = "ada"
ENDED = frozenset({JOB.STATE_FINISHED, JOB.STATE_FAILED, JOB.STATE_CANCELED})

#: How long a stream that has nothing to send waits before it looks again, seconds.
LOOK_S = 0.01


class FakeApi:
    """One server and what it serves; a context manager."""

    def __init__(self) -> None:
        self.user = USER
        self.jobs: dict[int, job_pb2.Job] = {}
        self.tasks: dict[int, list[task_pb2.Task]] = {}
        self.specs: list[job_pb2.JobSpec] = []
        self.nodes: dict[str, node_pb2.Node] = {}
        self.groups: dict[str, node_pb2.NodeGroup] = {}
        self.events: list[watch_service_pb2.Event] = []
        self.outputs: dict[tuple[int, int, int, int], bytes] = {}
        self.parameters: dict[str, cluster_service_pb2.Parameter] = {}
        self.variables: dict[str, str] = {}
        self.accounts: dict[str, Any] = {}
        self.tokens: dict[str, cluster_service_pb2.Token] = {}
        #: The backup that is made when one is asked for, and what its digest should be.
        self.backup: tuple[str, bytes] = ("", b"")
        self.backups: dict[str, bytes] = {}
        self.backup_digest = b""
        self.diagnosis = cluster_service_pb2.DiagnoseClusterResponse()
        self.templates: dict[str, template_service_pb2.JobTemplate] = {}
        self.requests: list[tuple[str, Any]] = []
        self.secrets: set[str] = set()
        self.faults: dict[str, list[Exception | grpc.StatusCode]] = defaultdict(list)
        self.drops: dict[str, list[int]] = defaultdict(list)
        #: Called with each job that was submitted, before the answer.
        self.on_submit: Callable[[int], None] = lambda _: None
        #: The same with commands, once all of their nodes have ended.
        self.on_command: Callable[[int], None] = lambda _: None
        self.later: dict[tuple[int, int], bytes] = {}
        self.changed = threading.Condition()
        pool = ThreadPoolExecutor(32)
        options = [("grpc.so_reuseport", 0)]
        self._server = cast("Any", grpc.server(pool, options=options))
        add = job_service_pb2_grpc.add_JobServiceServicer_to_server
        add(cast("Any", FakeJobs(self)), self._server)
        add_nodes = node_service_pb2_grpc.add_NodeServiceServicer_to_server
        add_nodes(cast("Any", FakeNodes(self)), self._server)
        add_accounts = (
            accounting_service_pb2_grpc.add_AccountingServiceServicer_to_server
        )
        add_accounts(cast("Any", FakeAccounting(self)), self._server)
        add_cluster = cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server
        add_cluster(cast("Any", FakeCluster(self)), self._server)
        add_templates = template_service_pb2_grpc.add_TemplateServiceServicer_to_server
        add_templates(cast("Any", FakeTemplates(self)), self._server)
        add_watches = watch_service_pb2_grpc.add_WatchServiceServicer_to_server
        add_watches(cast("Any", FakeWatches(self)), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(None).wait()

    # --- What a test puts there -------------------------------------------------

    def add_job(self, state: str = "QUEUED", **fields: Any) -> int:
        """Add a job with one task in a matching state; return its id."""
        job_id = len(self.jobs) + 1
        counts = task_pb2.TaskCounts(total=1)
        fields.setdefault("owner", self.user)
        self.jobs[job_id] = job_pb2.Job(
            id=job_id,
            state=JOB.State.Value(f"STATE_{state}"),
            task_counts=counts,
            **fields,
        )
        self.add_task(job_id)
        self.add_event(job_id, (0, "", JOB.State.Value(f"STATE_{state}"), 0))
        return job_id

    def add_task(self, job_id: int, state: str = "QUEUED", **fields: Any) -> int:
        """Add a task to a job; return its number."""
        tasks = self.tasks.setdefault(job_id, [])
        fields.setdefault("task_id", len(tasks) + 1)
        fields.setdefault("type", task_pb2.TASK_TYPE_BASIC)
        number = TASK.State.Value(f"STATE_{state}")
        tasks.append(task_pb2.Task(job_id=job_id, state=number, **fields))
        return int(fields["task_id"])

    def add_event(self, job_id: int, *changes: tuple[int, str, int, int]) -> None:
        """Add an event of (task, elements, state, previous state)."""
        with self.changed:
            revision = 1 + sum(event.job_id == job_id for event in self.events)
            event = watch_service_pb2.Event(
                cursor=f"c{len(self.events) + 1}",
                time=Timestamp(seconds=1_800_000_000 + len(self.events)),
                job_id=job_id,
                revision=revision,
                name="Changed",
                actor="system",
            )
            for task_id, elements, state, before in changes:
                event.changes.add(
                    task_id=task_id,
                    elements=elements,
                    state=state,
                    previous_state=before,
                )
            self.events.append(event)
            self.changed.notify_all()

    def end_job(self, job_id: int, state: str = "FINISHED", **fields: Any) -> None:
        """End a job, and tell those who wait and watch."""
        job = self.jobs[job_id]
        before, job.state = job.state, JOB.State.Value(f"STATE_{state}")
        job.MergeFrom(job_pb2.Job(**fields))
        self.add_event(job_id, (0, "", job.state, before))

    def add_node(self, name: str, state: str = "ONLINE", **fields: Any) -> None:
        """Add a node."""
        fields.setdefault("cores", 4)
        fields.setdefault("reachable", True)
        number = NODE.State.Value(f"STATE_{state}")
        self.nodes[name] = node_pb2.Node(
            id=len(self.nodes) + 1, name=name, state=number, **fields
        )

    def asked(self, method: str) -> list[Any]:
        """Return the requests of a method, in order."""
        return [request for name, request in self.requests if name == method]

    # --- What the services use --------------------------------------------------

    def answer(
        self, method: str, request: Any, context: Any, work: Callable[[], Any]
    ) -> Any:
        """Carry out a call, after a fault if there is one."""
        self.begin(method, request, context)
        try:
            return work()
        except HpcError as refusal:
            refuse(context, refusal)

    def begin(self, method: str, request: Any, context: Any) -> None:
        """Keep a request; raise its fault."""
        self.requests.append((method, request))
        self.secrets.add(bearer_token(context.invocation_metadata()))
        if self.faults[method]:
            fault = self.faults[method].pop(0)
            if isinstance(fault, HpcError):
                refuse(context, fault)
            if isinstance(fault, grpc.StatusCode):
                context.abort(fault, "the weather")

    def streamed(
        self, method: str, context: Any, messages: Iterator[Any]
    ) -> Iterator[Any]:
        """Pass on a stream's messages, up to its drop."""
        limit = self.drops[method].pop(0) if self.drops[method] else None
        for count, message in enumerate(messages):
            if count == limit:
                context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
            yield message

    def job(self, job_id: int) -> job_pb2.Job:
        if job_id not in self.jobs:
            raise HpcError("JOB_NOT_FOUND", job_id=job_id)
        return self.jobs[job_id]


def refuse(context: Any, refusal: HpcError) -> None:
    """End a call as the head does."""
    details = ((STATUS_DETAILS, to_status(refusal).SerializeToString()),)
    context.set_trailing_metadata(details)
    context.abort(status_code(refusal), str(refusal))


class FakeWatches:
    """The events that a test has put there, one a message."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        self._api.begin("Watch", request, context)
        yield from self._api.streamed("Watch", context, self._all(request, context))

    def _all(self, request: Any, context: Any) -> Iterator[Any]:
        response = watch_service_pb2.WatchResponse
        at = self._position(request.after, len(self._api.events), context)
        told = False
        while context.is_active():
            while at < len(self._api.events):
                event = self._api.events[at]
                at += 1
                wanted = request.filter.job_ids
                if not wanted or event.job_id in wanted:
                    yield response(events=[event], cursor=event.cursor)
            if not told:
                told = True
                yield response(cursor=f"c{at}", caught_up=True)
                if request.backlog_only:
                    return
            with self._api.changed:
                self._api.changed.wait(LOOK_S)

    def WatchJob(self, request: Any, context: Any) -> Iterator[Any]:
        self._api.begin("WatchJob", request, context)
        if request.job_id not in self._api.jobs:
            refuse(context, HpcError("JOB_NOT_FOUND", job_id=request.job_id))
        yield from self._api.streamed("WatchJob", context, self._job(request, context))

    def _job(self, request: Any, context: Any) -> Iterator[Any]:
        response = watch_service_pb2.WatchJobResponse
        at = self._position(request.after, 0, context)
        told = False
        while context.is_active():
            job = job_pb2.Job()
            job.CopyFrom(self._api.jobs[request.job_id])
            for event in self._api.events[at:]:
                at += 1
                if event.job_id == job.id:
                    yield response(
                        events=[event], cursor=event.cursor, task_counts=job.task_counts
                    )
            if not told:
                told = True
                yield response(cursor=f"c{at}", caught_up=True)
            if job.state in ENDED:
                yield response(cursor=f"c{at}", job=job, task_counts=job.task_counts)
                return
            with self._api.changed:
                self._api.changed.wait(LOOK_S)

    def _position(self, cursor: str, newest: int, context: Any) -> int:
        if cursor in {"", "0"}:
            return newest if not cursor else 0
        if cursor == "expired":
            refuse(context, HpcError("CURSOR_EXPIRED", oldest_cursor="c1"))
        return int(cursor.removeprefix("c"))
