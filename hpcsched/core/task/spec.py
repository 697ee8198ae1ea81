"""What the submitter asks for in one task (properties.md 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.job.states import UnitType
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task as it was asked for; None and empty mean "the default".

    Attributes:
        arguments: Argument vector; empty when ``command_line`` is given.
        command_line: Line for a shell.
        start, end, step: Range of a sweep, values from ``start`` to at most ``end``.
        lines: One element per line in place of a range.
        max_concurrent: Elements at once; 0: no limit.
        runtime: Wall-clock limit of one process in seconds; 0: none.
        min_cores, max_cores: Cores of one process; ``max_cores`` 0 means ``min_cores``.
        min_sockets, max_sockets, min_nodes, max_nodes: The same in sockets and nodes;
            those in another unit than the job's are ignored.
        required_nodes: It gets cores on each of them.
        requested_node_group: It gets cores on nodes of this group only; empty: any.
        is_exclusive: No other task of its job on its nodes.
        critical: fail_job_on_failure; None: not given.
        critical_count: fail_job_on_failure_count; 0: not given.
        grace: Seconds between signal and kill; None: the cluster's.
        user_blob: Bytes of the submitter's, encrypted; nobody else reads them back.
        group_id: Number of its group in the reference's job files; 0: none.
        node: Name of the one node on which the task of a command runs.
    """

    name: str = ""
    type: TaskType = TaskType.BASIC
    arguments: tuple[str, ...] = ()
    command_line: str = ""
    start: int = 1
    end: int = 0
    step: int = 1
    lines: tuple[str, ...] = ()
    max_concurrent: int = 0
    work_directory: str = ""
    stdin_path: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    is_rerunnable: bool = True
    min_cores: int = 1
    max_cores: int = 0
    min_sockets: int = 1
    max_sockets: int = 0
    min_nodes: int = 1
    max_nodes: int = 0
    required_nodes: tuple[str, ...] = ()
    requested_node_group: str = ""
    is_exclusive: bool = False
    runtime: float = 0.0
    valid_exit_codes: str = ""
    critical: bool | None = None
    critical_count: int = 0
    grace: float | None = None
    custom_properties: Mapping[str, str] = field(default_factory=dict)
    group_id: int = 0
    user_blob: bytes = b""
    node: str = ""

    @property
    def is_picky(self) -> bool:
        """Does it matter on which nodes it runs, or what else runs there?"""
        return bool(
            self.required_nodes or self.requested_node_group or self.is_exclusive
        )

    def bounds(self, unit: UnitType) -> tuple[int, int]:
        """Return the least and the most that one process takes, in a unit."""
        match unit:
            case UnitType.SOCKET:
                return self.min_sockets, self.max_sockets or self.min_sockets
            case UnitType.NODE:
                return self.min_nodes, self.max_nodes or self.min_nodes
            case _:
                return self.min_cores, self.max_cores or self.min_cores

    @property
    def is_sweep(self) -> bool:
        """Does it have elements of its own?"""
        return self.type is TaskType.PARAMETRIC_SWEEP

    @property
    def size(self) -> int:
        """Number of elements at first: 1 for a plain task; 0 where they are made later.

        Node preparation and release make them per node, a service as cores come free.
        """
        if self.type is TaskType.PARAMETRIC_SWEEP:
            if self.lines:
                return len(self.lines)
            return (self.end - self.start) // self.step + 1
        if self.type in (TaskType.NODE_PREP, TaskType.NODE_RELEASE, TaskType.SERVICE):
            return 0
        return 1

    def value_of(self, instance: int) -> int:
        """Return the value of an element (tasktypes: Start + (i-1) * Increment)."""
        if self.lines or self.type is not TaskType.PARAMETRIC_SWEEP:
            return instance
        return self.start + (instance - 1) * self.step
