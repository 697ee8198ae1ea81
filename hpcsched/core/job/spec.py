"""What the submitter asks for in a job (properties.md 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.job.states import JobType, NodeGroupOp, NodeLoss, UnitType

if TYPE_CHECKING:
    from collections.abc import Mapping

NORMAL_PRIORITY = 2000
DEFAULT_POOL = "Default"
DEFAULT_TEMPLATE = "Default"
ORDER_BY = "Cores,Memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as it was asked for, without its tasks.

    Attributes:
        unit_type: Whose minimum and maximum count; those of the others are ignored.
        min_cores, max_cores, min_sockets, max_sockets, min_nodes, max_nodes: None: not
            given.
        auto_calculate_min, auto_calculate_max: Compute it from the tasks; None: unless
            the minimum (maximum) in force is given.
        single_node: All that it holds is on one node.
        min_memory, max_memory: A node's memory in MiB must be in this range.
        min_cores_per_node, max_cores_per_node: A node's cores must be in this range.
        estimated_process_memory: Of one process in MiB; 0: not known.
        order_by: Which nodes it prefers (``core.scheduling.preference``).
        runtime: Wall-clock limit in seconds; 0: none.
        retry_limit: task_execution_failure_retry_limit.
        target_resource_count: Dynamic cap of what it holds; 0: none.
        pool: The pool whose guarantee it counts against.
        user_name: Account of the tasks; empty: the owner.
        job_template: Name of the template.
        explicit: Properties that the user has set although to their built-in value.
        templated: Properties whose value is the template's.
        email_address: Where notifications go; empty: the owner's address.
        progress: Percent that the user says is done; None: computed from the tasks.
        software_license: ``name:count`` items separated by commas, for filters.
        service_name: Only kept, for clients that know services.
        hold_until: It does not start before this time, seconds since 1970, UTC; told
            at its submission. None: it is not held.
        parent_job_ids: It starts when all of these jobs have Finished.
    """

    name: str = ""
    project: str = ""
    priority: int = NORMAL_PRIORITY
    min_cores: int | None = None
    max_cores: int | None = None
    unit_type: UnitType = UnitType.CORE
    min_sockets: int | None = None
    max_sockets: int | None = None
    min_nodes: int | None = None
    max_nodes: int | None = None
    auto_calculate_min: bool | None = None
    auto_calculate_max: bool | None = None
    single_node: bool = False
    min_memory: int | None = None
    max_memory: int | None = None
    min_cores_per_node: int | None = None
    max_cores_per_node: int | None = None
    estimated_process_memory: int = 0
    order_by: str = ORDER_BY
    node_groups: tuple[str, ...] = ()
    node_group_op: NodeGroupOp = NodeGroupOp.INTERSECT
    environment: Mapping[str, str] = field(default_factory=dict)
    custom_properties: Mapping[str, str] = field(default_factory=dict)
    runtime: float = 0.0
    run_until_canceled: bool = False
    fail_on_task_failure: bool = False
    fail_dependent_tasks: bool = False
    can_preempt: bool = False
    is_exclusive: bool = False
    requested_nodes: tuple[str, ...] = ()
    excluded_nodes: tuple[str, ...] = ()
    valid_exit_codes: str = "0"
    retry_limit: int = 0
    node_loss: NodeLoss = NodeLoss.RERUN
    user_name: str = ""
    client_source: str = ""
    job_type: JobType = JobType.BATCH
    target_resource_count: int = 0
    pool: str = DEFAULT_POOL
    job_template: str = DEFAULT_TEMPLATE
    explicit: tuple[str, ...] = ()
    templated: tuple[str, ...] = ()
    email_address: str = ""
    notify_on_start: bool = False
    notify_on_completion: bool = False
    progress: int | None = None
    progress_message: str = ""
    software_license: str = ""
    service_name: str = ""
    hold_until: float | None = None
    parent_job_ids: tuple[int, ...] = ()

    @property
    def given_size(self) -> tuple[int | None, int | None]:
        """Minimum and maximum in the unit in force, as they were given."""
        match self.unit_type:
            case UnitType.SOCKET:
                return self.min_sockets, self.max_sockets
            case UnitType.NODE:
                return self.min_nodes, self.max_nodes
            case _:
                return self.min_cores, self.max_cores

    @property
    def least(self) -> int | None:
        """Units to start with; None: computed from the tasks (properties.md note 1)."""
        cores = self.unit_type is UnitType.CORE
        given = self.min_cores if cores else self.given_size[0]
        if self.auto_calculate_min is None:
            return given
        return None if self.auto_calculate_min else given or 1

    @property
    def most(self) -> int | None:
        """Units that it gets at most; None: computed from the tasks."""
        if self.auto_calculate_max is None:
            cores = self.unit_type is UnitType.CORE
            return self.max_cores if cores else self.given_size[1]
        least, given = self.given_size
        return None if self.auto_calculate_max else given or max(1, least or 1)
