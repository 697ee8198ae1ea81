"""What the submitter asks for in a job (properties.md 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.job.states import JobType, NodeLoss, UnitType

if TYPE_CHECKING:
    from collections.abc import Mapping

NORMAL_PRIORITY = 2000
DEFAULT_POOL = "Default"
DEFAULT_TEMPLATE = "Default"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as it was asked for, without its tasks.

    Attributes:
        min_cores, max_cores: None: computed from the tasks.
        runtime: Wall-clock limit in seconds; 0: none.
        retry_limit: task_execution_failure_retry_limit.
        target_resource_count: Dynamic cap of what it holds; 0: none.
        pool: The pool whose guarantee it counts against.
        user_name: Account of the tasks; empty: the owner.
        job_template: Name of the template.
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
    email_address: str = ""
    notify_on_start: bool = False
    notify_on_completion: bool = False
    progress: int | None = None
    progress_message: str = ""
    software_license: str = ""
    service_name: str = ""
    hold_until: float | None = None
    parent_job_ids: tuple[int, ...] = ()
