"""What is shown of jobs, tasks, nodes and events: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.eventview import ChangeView as ChangeView  # noqa: PLC0414  the same
from hpcsched.core.eventview import EventView as EventView  # noqa: PLC0414  the same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.states import (
        CancelRequest,
        FailureReason,
        JobState,
        PendingReason,
        UnitType,
    )
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState, TaskType


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as of its last committed change. Times are seconds since 1970, UTC.

    Attributes:
        unit_type: What the minimum and the maximum count.
        least, most: Given or computed.
        auto_min, auto_max: Are they computed?
        units_held: By UnitType number; a part of a socket or node counts as one.
        can_grow, can_shrink: The cluster lets running jobs do so.
        counts: Elements per TaskState number (absent: none).
        spec: Only in the full view.
        wait_s: From its submission to its start or end, or until now.
        hold_until: Only while it is held.
        child_job_ids: Only where one job was asked for, and the lowest ones.
        user_ms, kernel_ms, memory_kib: Of its tasks that have ended, and of those that
            run as their nodes said last.
        process_count, process_ids: While it runs, likewise; ids in the full view only.
        planned_cores: What the scheduler means it to hold.
        peak_cores, peak_sockets: Most that it has held at one time since it last
            started.
        error_params: What its error says, by name.
        prep_task, release_task: Numbers of its per-node tasks; 0: none.
        set_aside: After which fault of the head nothing is decided for it.
    """

    job_id: int
    name: str
    owner: str
    state: JobState
    previous_state: JobState | None
    priority: int
    job_type: str
    counts: Mapping[int, int]
    task_count: int
    error_code: int
    error_message: str
    failure_reason: FailureReason
    request_cancel: CancelRequest
    pending_reason: PendingReason
    create_time: float
    submit_time: float | None
    start_time: float | None
    end_time: float | None
    change_time: float
    requeue_count: int
    auto_requeue_count: int
    allocated_nodes: tuple[str, ...]
    allocated_cores: int
    unit_type: UnitType
    least: int
    most: int
    auto_min: bool
    auto_max: bool
    units_held: Mapping[UnitType, int]
    has_grown: bool
    has_shrunk: bool
    revision: int
    project: str
    progress: int
    custom_properties: Mapping[str, str]
    excluded_nodes: tuple[str, ...]
    user_name: str
    is_backfill: bool = False
    pool: str = ""
    can_preempt: bool = False
    can_grow: bool = True
    can_shrink: bool = True
    spec: JobSpec | None = None
    job_template: str = "Default"
    progress_message: str = ""
    has_runtime: bool = False
    wait_s: float | None = None
    hold_until: float | None = None
    parent_job_ids: tuple[int, ...] = ()
    child_job_ids: tuple[int, ...] = ()
    user_ms: int = 0
    kernel_ms: int = 0
    memory_kib: int = 0
    required_nodes: tuple[str, ...] = ()
    process_count: int = 0
    process_ids: str = ""
    planned_cores: int = 0
    peak_cores: int = 0
    peak_sockets: int = 0
    error_params: Mapping[str, str] = field(default_factory=dict)
    prep_task: int = 0
    release_task: int = 0
    set_aside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task, a master or an element, as of the last committed change.

    Attributes:
        instance_id: 0 for a plain task and for the master of a sweep.
        counts: Elements per TaskState number; only on masters.
        concluded: A service that makes no new instances.
        exit_if_possible: An instance of a service that is asked to end, so that its
            cores can go to another job.
        v1_canceled: A Failed one that its user canceled (reads Cancelled in V1, D2).
        output: First 4 KB; only where it was asked for.
        nodes: Of the current or last attempt; the first runs the process.
        cores: Ids on the first of them, as far as they are known.
        allocated_cores, allocated_sockets: Over all of them; sockets only of a job that
            is sized in sockets.
        core_ids: Each node's name and the ids there, separated by blanks.
        process_count, process_ids: While it runs, as its node said last.
        change_time: The last of the times at which it was added, submitted, started and
            ended.
        failed_node: Of one that has failed: the node that ran it last.
        error_params: What its error says, by name.
    """

    job_id: int
    task_id: int
    instance_id: int
    name: str
    type: TaskType
    state: TaskState
    previous_state: TaskState | None
    exit_code: int | None
    end_reason: EndReason
    attempt: int
    requeue_count: int
    auto_requeue_count: int
    execution_retry_count: int
    error_code: int
    error_message: str
    nodes: tuple[str, ...]
    cores: tuple[int, ...]
    create_time: float
    submit_time: float | None
    start_time: float | None
    end_time: float | None
    instance_value: int
    cancel_origin: CancelOrigin
    request_cancel: CancelRequest
    v1_canceled: bool
    pending_reason: str = ""
    concluded: bool = False
    exit_if_possible: bool = False
    counts: Mapping[int, int] | None = None
    output: str = ""
    spec: TaskSpec | None = None
    user_ms: int = 0
    kernel_ms: int = 0
    max_rss_kib: int = 0
    allocated_cores: int = 0
    allocated_sockets: int = 0
    core_ids: str = ""
    process_count: int = 0
    process_ids: str = ""
    change_time: float | None = None
    failed_node: str = ""
    error_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a node is made of, as it says itself (properties.md 5).

    Attributes:
        cpu_mhz: Highest clock of its cores, MHz; 0: not known.
        gpu_info: One text per GPU.
        addresses: Addresses of its network interfaces, as ``NAME ADDRESS``.
        dns_suffix: Domain of its host name; empty where there is none.
    """

    os: str = ""
    kernel: str = ""
    architecture: str = ""
    cpu_model: str = ""
    cpu_mhz: int = 0
    gpus: int = 0
    gpu_info: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    dns_suffix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node. ``state`` is 1 Offline, 2 Draining, 3 Online (the protos' numbers).

    Attributes:
        forced_offline: It was taken Offline without waiting for what ran there.
        job_types: Flags: Batch 1, Admin 2, Service 4, Broker 8.
        affinity: 0: as AffinityType says; 1 all jobs, 2 non-exclusive ones, 3 none.
        load: Of the machine, one minute, as last heard.
    """

    node_id: int
    name: str
    state: int
    previous_state: int
    reachable: bool
    cores: int
    cores_in_use: int
    sockets: int
    memory_bytes: int
    groups: tuple[str, ...]
    agent_version: str
    boot_id: str
    last_heartbeat_time: float | None
    online_time: float | None
    offline_time: float | None
    reason: str
    containment: str
    job_ids: tuple[int, ...]
    running_tasks: int
    guid: str = ""
    join_time: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    forced_offline: bool = False
    job_types: int = 3
    affinity: int = 0
    inventory: Inventory = field(default_factory=Inventory)
    load: float = 0.0
    orphans: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A node group.

    Attributes:
        managed: Built in: nobody changes it.
        nodes: Names of its nodes, sorted.
    """

    name: str
    description: str
    managed: bool
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreView:
    """One core of a node. ``state`` is a SchedulerCoreState number.

    Attributes:
        job_id: Who holds it; 0: nobody.
        task_id, instance_id: What runs on it; 0: nothing.
    """

    core: int
    state: int
    job_id: int = 0
    task_id: int = 0
    instance_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """A part of what a task wrote."""

    offset: int
    data: bytes
    eof: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """A pool.

    Attributes:
        guarantee: Cores that its jobs get in any case.
        current_allocation: Cores that its jobs hold.
        jobs: Active jobs in it.
    """

    name: str
    weight: int
    guarantee: int
    current_allocation: int
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The cluster as a whole."""

    name: str
    version: str
    start_time: float
    term: int
    nodes: Mapping[str, int] = field(default_factory=dict)
    cores_total: int = 0
    cores_busy: int = 0
    cores_idle: int = 0
    sockets: int = 0
    job_counts: Mapping[int, int] = field(default_factory=dict)
    task_counts: Mapping[int, int] = field(default_factory=dict)
    restore_mode: bool = False
    last_seq: int = 0
    head: str = ""
    safe_mode: str = ""
    disk_problem: str = ""
    jobs_set_aside: int = 0
    alarms: tuple[str, ...] = ()
    loop_lag_ms: int = 0
