"""What can be asked of a job, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.job.edits import ModifyJob as ModifyJob  # noqa: PLC0414
from hpcsched.core.job.edits import ModifyTask as ModifyTask  # noqa: PLC0414
from hpcsched.core.job.edits import TaskEdit as TaskEdit  # noqa: PLC0414
from hpcsched.core.job.exclusions import ExcludeNodes as ExcludeNodes  # noqa: PLC0414
from hpcsched.core.job.exclusions import ReviewNodes as ReviewNodes  # noqa: PLC0414
from hpcsched.core.job.kin import NO_KIN as NO_KIN  # noqa: PLC0414  part of these
from hpcsched.core.job.kin import Kin as Kin  # noqa: PLC0414  the same
from hpcsched.core.job.sending import RecallAhead as RecallAhead  # noqa: PLC0414
from hpcsched.core.job.sending import SendAhead as SendAhead  # noqa: PLC0414
from hpcsched.core.job.sending import StartAhead as StartAhead  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.common.errors import HpcError
    from hpcsched.core.caller import Caller
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.states import JobState
    from hpcsched.core.reports import LiveAttempt, Report
    from hpcsched.core.task.spec import TaskSpec

Site = tuple[str, tuple[str, ...]]
"""What a job may need to know of a node: its name and its groups."""

TaskKey = tuple[int, int]
"""(task number, instance number; 0: the task itself)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitJob:
    """Queue a job that is Configuring (J3).

    Attributes:
        kin: What is known of its parents; those that it has none of do not exist.
        checked: It is new, and what it asks for was found valid just now: only its
            parents are looked at.
    """

    caller: Caller
    submit_order: int
    kin: Kin = NO_KIN
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJob:
    """Stop a job (J17 to J21)."""

    caller: Caller
    message: str = ""
    force: bool = False
    graceful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishJob:
    """Stop a job and call it Finished (J22)."""

    caller: Caller
    message: str = ""
    force: bool = False
    graceful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueJob:
    """Queue a job again (J26, section 4.1).

    Attributes:
        kin: As of a submission; None: its parents are not asked.
    """

    caller: Caller
    submit_order: int
    kin: Kin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureJob:
    """Take a job back to Configuring (J27)."""

    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldJob:
    """Hold a queued job back until a time, or (None) until it is released (J31)."""

    caller: Caller
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseJob:
    """Let a held job go (J31)."""

    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteParent:
    """A parent says where it stands (3.4); None: there is no such job any more."""

    parent: int
    state: JobState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTasks:
    """Add tasks, all or none (T1); with ``submit`` in a submitted job also T3."""

    caller: Caller
    tasks: Sequence[TaskSpec]
    submit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitTasks:
    """Submit tasks that were added to a submitted job, all or none (T3)."""

    caller: Caller
    task_ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTasks:
    """Cancel tasks in order; stops at the first refusal (T12 to T17, section 4.3)."""

    caller: Caller
    tasks: Sequence[TaskKey]
    message: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueTasks:
    """Queue tasks again in order; stops at the first refusal (section 4.2, S2).

    Attributes:
        kin: As of a submission, of an ended job; None: its parents are not asked.
    """

    caller: Caller
    tasks: Sequence[TaskKey]
    submit_order: int
    kin: Kin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTasks:
    """End running tasks as Finished, in order; stops at the first refusal (T21)."""

    caller: Caller
    tasks: Sequence[TaskKey]
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludeService:
    """Let a service make no new instances, and cancel those there are if asked to."""

    caller: Caller
    task_id: int
    cancel_sub_tasks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCommand:
    """Run a command that is Configuring at once, outside the queue (api.md 8).

    Attributes:
        nodes: Task number to node; None: it cannot be reached, or takes none.
        refused: Why, for nodes that take no commands.
    """

    caller: Caller
    nodes: Mapping[int, int | None]
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantCores:
    """The scheduler's word: the job may use these cores now (J8, J11).

    Attributes:
        cores: By node; replaces what the job holds there.
        backfill: The job starts ahead of one that waits before it (IsBackfill).
        sites: Name and groups of these nodes.
        largest: Cores of the largest node that takes work and that the job may use; 0:
            not known.
        shapes: By node: all its cores, and its sockets.
    """

    cores: Mapping[int, tuple[int, ...]]
    shapes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    backfill: bool = False
    sites: Mapping[int, Site] = field(default_factory=dict)
    largest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreemptCores:
    """The scheduler's word: the job is to give cores back (J23, T26, section 3.5).

    It replaces what was asked of the job before, so that it may be said again, and be
    taken back.

    Attributes:
        cores: Node to the number of cores to give up there; empty: nothing any more.
        immediate: Tasks are stopped for it; else the job waits for them to end.
        whole: It gives up everything, and is queued again.
        text: For whom, in words.
    """

    cores: Mapping[int, int]
    immediate: bool = False
    whole: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBackfill:
    """The scheduler's word: nobody waits before the job any more (IsBackfill)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeReports:
    """A node reports on attempts of this job (T6 to T11)."""

    node_id: int
    node: str
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseNode:
    """A node has been unreachable for too long (T22, T23).

    Attributes:
        fenced: An administrator has said that nothing runs there any more.
    """

    node_id: int
    node: str
    fenced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictNode:
    """A node may not be used any more; stop and requeue what runs there (T24, T25).

    Attributes:
        drain: Let what runs there end; only what has not started is queued again.
        why: For tasks that end because of it; empty: the node was taken offline.
    """

    node_id: int
    node: str
    drain: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncNode:
    """A node is back and has said what lives there (node-agent.md 9.1).

    Attributes:
        live: Attempts of this job that live there.
        rebooted: It has booted since it was given work.
    """

    node_id: int
    node: str
    live: Sequence[LiveAttempt]
    rebooted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What the submission filter has made of a job.

    Attributes:
        tasks: By number, those that there were.
        added: Those that there were not.
    """

    spec: JobSpec
    tasks: Mapping[int, TaskSpec]
    added: Sequence[TaskSpec] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeVerdict:
    """The submission filter has decided (J6, J7).

    Attributes:
        validation: Which submission it was asked about; a late answer has another one.
        refusal: Why the job is refused; None: it is accepted.
        rewrite: It is accepted like this; None: as it is.
    """

    validation: int
    refusal: HpcError | None = None
    rewrite: Rewrite | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailActivation:
    """The activation filter has failed a queued job (J9, exit code 4).

    Attributes:
        message: What the filter said; may be empty.
    """

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldActivation:
    """The activation filter holds a queued job (J9, exit code 3), and says why."""

    until: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAside:
    """The head sets it aside after a fault of its own, or lets it go on; and why."""

    aside: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed; limits may have been reached (J16)."""


Command = (
    SubmitJob
    | CancelJob
    | FinishJob
    | RequeueJob
    | ConfigureJob
    | ModifyJob
    | ModifyTask
    | HoldJob
    | ReleaseJob
    | NoteParent
    | AddTasks
    | SubmitTasks
    | CancelTasks
    | RequeueTasks
    | FinishTasks
    | ConcludeService
    | StartCommand
    | GrantCores
    | SendAhead
    | RecallAhead
    | StartAhead
    | PreemptCores
    | EndBackfill
    | ExcludeNodes
    | ReviewNodes
    | TakeReports
    | LoseNode
    | EvictNode
    | SyncNode
    | TakeVerdict
    | FailActivation
    | HoldActivation
    | NoteAside
    | Tick
)
