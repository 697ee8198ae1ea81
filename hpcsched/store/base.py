"""What a store promises. The runtime knows this module only, never a backend.

A *delta* is everything that one turn of one owner (a job, a node, the cluster) wants
durable at once: event rows and the rows of the state that the events lead to. The store
joins the deltas that have queued while it was writing into one transaction (group
commit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from hpcsched.core.listing.properties import TASK_COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcsched.core.listing.conditions import Condition
    from hpcsched.core.listing.ordering import Position, SortKey
    from hpcsched.core.listing.properties import Value
    from hpcsched.store.alike import Alike, Varied
    from hpcsched.store.backups import Backup
    from hpcsched.store.history import (
        AllocationRow,
        HistoryQuery,
        JobHistoryRow,
        UsageQuery,
        UsageRow,
    )


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # made too often to be frozen
class EventRow:
    """One event as it is kept.

    Attributes:
        job_id: Its job; 0 for an event of a node.
        revision: Number in the job, from 1 without gaps; 0 for an event of a node.
        time: When it was decided, seconds since 1970, UTC.
        owner: Owner of the job, for filters; empty for an event of a node.
        body: The encoded event (core.job.codec), opaque here.
    """

    job_id: int
    revision: int
    time: float
    owner: str
    body: bytes


NO_COUNTS: Final = (0,) * len(TASK_COUNTS)


@dataclass(slots=True, kw_only=True)  # made too often to be frozen
class JobRow:
    """The state of a job without its elements: columns for lists, and one blob.

    Attributes:
        owner: Never changes, nor does ``create_time``.
        state: JobState as its number (1 … 11).
        labels: Custom properties, for filters. Written when the delta has
            ``specs[0]`` or begins the job (revision 1), else taken to be unchanged.
        blob: Everything else, encoded (core.job.codec), opaque here. Enough to make an
            API Job of BASIC view without loading anything else.
        active: Not terminal: loaded at the start of a head.
        counts: Of its tasks and elements, as ``core.listing.properties.TASK_COUNTS``.
    """

    job_id: int
    owner: str
    name: str
    project: str
    state: int
    priority: int
    create_time: float
    submit_time: float | None
    end_time: float | None
    labels: Mapping[str, str]
    active: bool
    blob: bytes
    previous_state: int | None = None
    start_time: float | None = None
    change_time: float = 0.0
    requeue_count: int = 0
    counts: tuple[int, ...] = NO_COUNTS


Terms: TypeAlias = "Mapping[str, Value | None]"
"""Values of a job's specification by property name, for filters and sort keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutput:
    """First bytes of what an element wrote; rewritten by a later attempt."""

    task_id: int
    instance_id: int
    attempt: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """The answer to a mutation that carried a request id.

    Attributes:
        digest: SHA-256 of method and request, to tell another request with the same id.
        answer: Encoded answer or refusal, opaque here.
    """

    principal: str
    request_id: str
    digest: bytes
    answer: bytes
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node: its name and one blob (runtime's encoding), opaque here."""

    node_id: int
    name: str
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token by the SHA-256 of its secret; the secret itself is never kept.

    Attributes:
        role: One of core.caller.ROLES.
        expire_time: Seconds since 1970, UTC; None: it does not end.
    """

    token_id: str
    digest: bytes
    user: str
    role: str
    create_time: float
    expire_time: float | None


@dataclass(slots=True, kw_only=True)
class Delta:
    """What one owner wants durable, all or nothing.

    Attributes:
        events: In order; the store numbers them.
        job: The job's row after the events, or None when the delta is not about a job.
        specs: Encoded job and task specifications by task number (0: the job's own),
            written once and after an edit.
        terms: What lists choose and sort the job by; goes with ``specs[0]``.
        parents: Jobs that it waits for, in place of those before; goes with
            ``specs[0]``, and is None where neither was nor is one.
        chunks: Packed element columns: (table, chunk number) to bytes.
        drop_tables: Element tables whose chunks go before `chunks` are written.
        outputs: Of elements that ended.
        notes: Texts that element columns refer to: note number to encoded text.
        requests: Answers to the calls that caused it.
        nodes: Rows of nodes that changed.
        entries: What administrators have defined: (kind, name) to its encoded body,
            opaque here; None deletes one.
        parameters: Cluster parameters to set; None deletes one.
        tokens: To add or replace.
        revoked_tokens: Ids of tokens to delete.
        counters: Named integers to set (next job id, term, …).
        sums: What is added to other such integers; one that there is not begins at 0.
        history: Jobs that ended, to add.
        allocations: Cores that were given back, to add.
        usage: Use, added to what is kept of the same day, owner and project.
        purge_job: Delete every trace of this job, events included; its accounting
            stays.
        alike: Further jobs for which the same is meant.
    """

    events: Sequence[EventRow] = ()
    job: JobRow | None = None
    specs: Mapping[int, bytes] = field(default_factory=dict)
    terms: Terms | None = None
    parents: Sequence[int] | None = None
    chunks: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    drop_tables: Sequence[int] = ()
    outputs: Sequence[TaskOutput] = ()
    notes: Mapping[int, bytes] = field(default_factory=dict)
    requests: Sequence[RequestRow] = ()
    nodes: Sequence[NodeRow] = ()
    entries: Mapping[tuple[str, str], bytes | None] = field(default_factory=dict)
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    tokens: Sequence[TokenRow] = ()
    revoked_tokens: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, int] = field(default_factory=dict)
    history: Sequence[JobHistoryRow] = ()
    allocations: Sequence[AllocationRow] = ()
    usage: Sequence[UsageRow] = ()
    purge_job: int | None = None
    alike: Alike | Varied | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event with its global number, from 1 without gaps in commit order."""

    seq: int
    job_id: int
    revision: int
    time: float
    owner: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """Everything of one job, as a head needs it to go on."""

    row: JobRow
    revision: int
    specs: Mapping[int, bytes]
    chunks: Mapping[tuple[int, int], bytes]
    notes: Mapping[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What a head loads first."""

    counters: Mapping[str, int]
    parameters: Mapping[str, str]
    nodes: Sequence[NodeRow]
    tokens: Sequence[TokenRow]
    last_seq: int
    floor_seq: int
    entries: Mapping[tuple[str, str], bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list; all conditions must hold."""

    states: Sequence[int] = ()
    owner: str = ""
    since: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    min_id: int = 0
    max_id: int = 0
    ascending: bool = False
    after_id: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSearch:
    """Which jobs to list, in which order; beside the query's conditions these hold.

    Attributes:
        query: Its order and its place in it do not count.
        conditions: On ``core.listing.properties.JOB_PROPERTIES``.
        sort: Primary key first; after all of them comes the id.
        descending_ids: How jobs stand that are equal in all keys.
        after: Values of the keys, and the id, of the last job of the page before.
    """

    query: JobQuery
    conditions: Sequence[Condition] = ()
    sort: Sequence[SortKey] = ()
    descending_ids: bool = True
    after: Position | None = None


class Store(Protocol):
    """Durable state. Writes are queued and joined; reads see what is committed.

    ``commit`` never blocks and never raises for the disk's sake: ``done`` is called on
    the event loop's thread, in commit order over all deltas, with the first global
    number of the delta's events (they are consecutive; 0 without any) or with the error
    that kept it from being written (store.errors). Nothing of a failed delta was
    written. After an I/O error (not a full disk) every later delta fails as well: the
    head must stop.

    The events of a delta follow the newest kept revision of their job, else it fails.
    """

    def commit(
        self, delta: Delta, done: Callable[[int, BaseException | None], None]
    ) -> None:
        """Queue a delta. Deltas become durable in the order of the calls."""

    def commit_together(
        self,
        deltas: Sequence[Delta],
        done: Callable[[Sequence[int], BaseException | None], None],
    ) -> None:
        """Queue several deltas that become durable together or not at all."""

    async def load_cluster(self) -> ClusterState:
        """Return what is not a job."""

    async def load_active(self) -> Iterable[StoredJob]:
        """Return every job that is not terminal."""

    async def load_job(self, job_id: int) -> StoredJob | None:
        """Return one job, or None when there is none (any more)."""

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRow]:
        """Return rows of jobs by id, newest first unless asked otherwise."""

    async def search_jobs(self, search: JobSearch) -> Sequence[tuple[JobRow, Position]]:
        """Return rows of jobs in the order asked for, each with its position."""

    async def children(self, parent: int, limit: int) -> Sequence[int]:
        """Return ids of jobs that name a job as their parent, lowest first."""

    async def has_families(self) -> bool:
        """Does any job name a parent?"""

    async def read_events(
        self, after: int, limit: int, job_id: int = 0
    ) -> Sequence[StoredEvent]:
        """Return up to ``limit`` events above ``after``, of one job or (0) of all."""

    async def floor(self) -> int:
        """Return the newest number that was purged; 0 when nothing was."""

    async def read_output(
        self, job_id: int, task_id: int, instance_id: int
    ) -> TaskOutput | None:
        """Return the kept beginning of an element's output."""

    async def find_request(self, principal: str, request_id: str) -> RequestRow | None:
        """Return the answer that was given to a request id, if it is still kept."""

    async def expired_jobs(self, ended_before: float, limit: int) -> Sequence[int]:
        """Return ids of terminal jobs that ended before a time, oldest first."""

    async def forget_requests(self, before: float) -> None:
        """Drop answers to request ids from before a time."""

    async def forget_history(self, before: float) -> None:
        """Drop job history, sums of use and events of nodes from before a time."""

    async def forget_allocations(self, before: float) -> None:
        """Drop allocations that ended before a time."""

    async def job_history(self, query: HistoryQuery) -> Sequence[JobHistoryRow]:
        """Return rows in the order of their times."""

    async def allocations(self, query: HistoryQuery) -> Sequence[AllocationRow]:
        """Return rows in the order of their end times."""

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        """Return sums, in the order of what they are told apart by."""

    async def node_events(self, after: int, limit: int) -> Sequence[StoredEvent]:
        """Return up to ``limit`` events of nodes above ``after``."""

    async def job_counts(self) -> Mapping[int, int]:
        """Return how many jobs there are per state number."""

    async def space_problem(self) -> str:
        """Return why the disk should take no new work; empty: there is room."""

    async def create_backup(self, now: float) -> Backup:
        """Make a backup, named after the time, while writes go on.

        Raises:
            StoreError: it could not be made.
        """

    async def list_backups(self) -> Sequence[Backup]:
        """Return the backups that there are, oldest first."""

    async def read_backup(self, name: str, offset: int, size: int) -> bytes:
        """Return a part of a backup; empty behind its end.

        Raises:
            NoSuchBackupError: there is none of this name.
        """

    async def delete_backup(self, name: str) -> None:
        """Delete a backup.

        Raises:
            NoSuchBackupError: there is none of this name.
        """

    async def close(self) -> None:
        """Write what has queued, then close."""
