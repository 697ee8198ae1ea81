"""The front door: every use case as a method, values in, values out.

Services translate between the wire and this; they hold no rule of their own. Every
method raises ``HpcError`` for a refusal. Mutations return when the change is durable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from hpcsched.core.caller import Caller as Caller  # noqa: PLC0414  services get it here
from hpcsched.runtime.backup_front import BackupFront
from hpcsched.runtime.diagnosis_front import DiagnosisFront
from hpcsched.runtime.edit_front import Edit as Edit  # noqa: PLC0414  the same
from hpcsched.runtime.edit_front import EditFront

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.listing.conditions import Condition
    from hpcsched.core.listing.ordering import Position, SortKey
    from hpcsched.core.past_views import AllocationView, NodeHistoryView
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.template.template import Template
    from hpcsched.core.views import (
        ClusterView,
        EventView,
        JobView,
        OutputPiece,
        PoolView,
        TaskView,
    )
    from hpcsched.store.base import JobQuery, JobSearch, TokenRow
    from hpcsched.store.history import (
        HistoryQuery,
        JobHistoryRow,
        UsageQuery,
        UsageRow,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What makes a mutation safe to repeat; an empty id protects nothing.

    Attributes:
        digest: SHA-256 of the method's name and the request without its id.
    """

    request_id: str = ""
    digest: bytes = b""


NO_REQUEST: Final = Request()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to create: its specification and its tasks in order."""

    spec: JobSpec
    tasks: tuple[TaskSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How to cancel or finish.

    Attributes:
        message: At most 320 characters.
        force: No grace period, no node release.
        graceful: Running tasks end by themselves; not together with ``force``.
    """

    message: str = ""
    force: bool = False
    graceful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """How to change the nodes that a job may not use, by name."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Which tasks of a job to list; ``token`` is opaque text of the page before."""

    states: tuple[int, ...] = ()
    elements: bool = False
    task_id: int = 0
    limit: int = 100
    token: str = ""
    full: bool = False
    conditions: tuple[Condition, ...] = ()
    sort: tuple[SortKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchQuery:
    """Which events; ``after`` None means from now on, 0 from the oldest kept."""

    after: int | None = None
    job_ids: frozenset[int] = frozenset()
    owner: str = ""
    jobs_only: bool = False
    nodes: bool = False
    only_nodes: bool = False
    snapshot: bool = False
    backlog_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchItem:
    """One step of a watch: jobs of the snapshot, events, a mark or a bookmark.

    ``seq`` is the position after it.
    """

    seq: int
    events: tuple[EventView, ...] = ()
    jobs: tuple[JobView, ...] = ()
    caught_up: bool = False
    bookmark: bool = False
    job: JobView | None = None
    counts: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutput:
    """A part of what one node of a command wrote.

    Attributes:
        eof: Nothing follows in this stream of this node.
        error: Why it ends, if not because the command has ended there.
    """

    task_id: int
    node: str
    stderr: bool
    offset: int
    data: bytes = b""
    eof: bool = False
    error: str = ""

    def with_piece(
        self, offset: int, data: bytes, *, eof: bool, error: str = ""
    ) -> CommandOutput:
        """Return a part of the same stream."""
        return replace(self, offset=offset, data=data, eof=eof, error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandItem:
    """One step of following a command; ``job`` is in the last one only."""

    outputs: tuple[CommandOutput, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    job: JobView | None = None


TaskKey = tuple[int, int]
"""(task number, instance number; 0: the task itself)."""


class JobFront(EditFront, Protocol):
    """Use cases of jobs and tasks."""

    async def create_job(
        self, caller: Caller, new: NewJob, request: Request, *, validate_only: bool
    ) -> JobView: ...
    async def submit_jobs(
        self,
        caller: Caller,
        new: Sequence[NewJob],
        request: Request,
        *,
        validate_only: bool,
    ) -> Sequence[int]: ...
    async def submit_job(
        self, caller: Caller, job_id: int, request: Request
    ) -> JobView: ...
    async def add_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskSpec],
        request: Request,
        *,
        submit: bool,
    ) -> Sequence[int]: ...
    async def submit_tasks(
        self, caller: Caller, job_id: int, task_ids: Sequence[int], request: Request
    ) -> None: ...
    async def get_job(self, caller: Caller, job_id: int, *, full: bool) -> JobView: ...
    async def list_jobs(self, caller: Caller, query: JobQuery) -> Sequence[JobView]: ...
    async def search_jobs(
        self, caller: Caller, search: JobSearch
    ) -> Sequence[tuple[JobView, Position]]:
        """Return jobs in the order asked for, each with its position."""
        ...

    async def wait_job(
        self, caller: Caller, job_id: int, timeout_s: float
    ) -> JobView: ...
    async def cancel_jobs(
        self, caller: Caller, job_ids: Sequence[int], stop: Stop, request: Request
    ) -> Sequence[JobView]: ...
    async def finish_jobs(
        self, caller: Caller, job_ids: Sequence[int], stop: Stop, request: Request
    ) -> Sequence[JobView]: ...
    async def requeue_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]: ...
    async def configure_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> Sequence[JobView]: ...
    async def exclude_nodes(
        self, caller: Caller, job_id: int, change: Exclusion, request: Request
    ) -> JobView: ...
    async def clone_job(
        self, caller: Caller, job_id: int, request: Request
    ) -> JobView: ...
    async def forget_jobs(
        self, caller: Caller, job_ids: Sequence[int], request: Request
    ) -> None: ...
    async def explain(
        self, caller: Caller, job_id: int, task: TaskKey | None
    ) -> tuple[str, Sequence[str]]:
        """Return the PendingReason's name and one line per fact."""
        ...

    async def get_task(
        self, caller: Caller, job_id: int, task: TaskKey, *, full: bool
    ) -> TaskView: ...
    async def list_tasks(
        self, caller: Caller, job_id: int, page: TaskPage
    ) -> tuple[Sequence[TaskView], str]:
        """Return a page and the token of the next one (empty: none)."""
        ...

    async def cancel_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskKey],
        stop: Stop,
        request: Request,
    ) -> Sequence[TaskView]: ...
    async def requeue_tasks(
        self, caller: Caller, job_id: int, tasks: Sequence[TaskKey], request: Request
    ) -> Sequence[TaskView]: ...
    async def finish_tasks(
        self,
        caller: Caller,
        job_id: int,
        tasks: Sequence[TaskKey],
        stop: Stop,
        request: Request,
    ) -> Sequence[TaskView]: ...
    async def conclude_service(
        self,
        caller: Caller,
        job_id: int,
        task_id: int,
        request: Request,
        *,
        cancel_sub_tasks: bool,
    ) -> TaskView: ...
    def read_output(
        self,
        caller: Caller,
        job_id: int,
        task: TaskKey,
        *,
        stderr: bool,
        offset: int,
        follow: bool,
        attempt: int,
    ) -> AsyncIterator[OutputPiece]: ...
    async def create_command(
        self,
        caller: Caller,
        nodes: Sequence[str],
        template: TaskSpec,
        request: Request,
    ) -> JobView: ...
    def follow_command(
        self,
        caller: Caller,
        job_id: int,
        positions: Mapping[tuple[int, bool], int | None],
    ) -> AsyncIterator[CommandItem]: ...
    def watch(self, caller: Caller, query: WatchQuery) -> AsyncIterator[WatchItem]: ...
    def watch_job(
        self, caller: Caller, job_id: int, after: int | None, *, jobs_only: bool
    ) -> AsyncIterator[WatchItem]: ...


class ClusterFront(BackupFront, DiagnosisFront, Protocol):
    """Use cases of parameters and tokens."""

    async def cluster(self, caller: Caller) -> ClusterView: ...
    async def parameters(
        self, caller: Caller, names: Sequence[str]
    ) -> Sequence[tuple[str, str, str, str]]:
        """Return (name, value, default, description) by name."""
        ...

    async def set_parameters(
        self, caller: Caller, values: Mapping[str, str], request: Request
    ) -> Sequence[tuple[str, str, str, str]]: ...
    async def variables(self, caller: Caller) -> Mapping[str, str]: ...
    async def set_variables(
        self, caller: Caller, values: Mapping[str, str], request: Request
    ) -> Mapping[str, str]: ...
    async def list_templates(self, caller: Caller) -> Sequence[Template]: ...
    async def get_template(self, caller: Caller, name: str) -> Template: ...
    async def set_template(
        self, caller: Caller, template: Template, request: Request, *, create_only: bool
    ) -> Template: ...
    async def delete_template(
        self, caller: Caller, name: str, request: Request
    ) -> None: ...
    async def create_token(
        self,
        caller: Caller,
        user: str,
        role: str,
        lifetime_s: float | None,
        request: Request = NO_REQUEST,
    ) -> tuple[TokenRow, str]:
        """Return the token's row and its secret, which is not kept."""
        ...

    async def list_tokens(self, caller: Caller) -> Sequence[TokenRow]: ...
    async def revoke_tokens(self, caller: Caller, ids: Sequence[str]) -> None: ...
    def authenticate(self, secret: str) -> TokenRow | None:
        """Return the token of a secret, or None when it is unknown or has expired."""
        ...

    def admits(self, caller: Caller) -> bool:
        """May this caller connect now (AllowNewUserConnections)?"""
        ...


class PoolFront(Protocol):
    """Use cases of pools."""

    async def list_pools(self, caller: Caller) -> Sequence[PoolView]: ...
    async def get_pool(self, caller: Caller, name: str) -> PoolView: ...
    async def create_pool(
        self, caller: Caller, name: str, weight: int, request: Request
    ) -> PoolView: ...
    async def set_pool(
        self, caller: Caller, name: str, weight: int, request: Request
    ) -> PoolView: ...
    async def delete_pool(
        self, caller: Caller, name: str, request: Request, *, force: bool
    ) -> None: ...


class AccountingFront(Protocol):
    """Use cases of accounting."""

    async def job_history(
        self, caller: Caller, query: HistoryQuery
    ) -> Sequence[JobHistoryRow]: ...
    async def allocations(
        self, caller: Caller, query: HistoryQuery
    ) -> Sequence[AllocationView]: ...
    def node_number(self, name: str) -> int:
        """Return the number of a node."""
        ...

    async def held(
        self, caller: Caller, job_id: int = 0, node: str = ""
    ) -> Sequence[AllocationView]: ...
    async def node_history(
        self,
        caller: Caller,
        node: str,
        times: tuple[float | None, float | None],
        after: int,
        limit: int,
    ) -> tuple[Sequence[NodeHistoryView], int]:
        """Return events, and the number to go on after; 0: there is no more."""
        ...

    async def usage(self, caller: Caller, query: UsageQuery) -> Sequence[UsageRow]: ...
