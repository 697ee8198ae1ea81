"""States of a job and the enumerations that go with them (lifecycle.md 1.1, 1.3, 1.4).

Numbers are ours, in the order of the reference's bit flags, so that sorting by them
gives the reference's order (Canceling last). ``flag`` gives the reference's own value.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class JobState(IntEnum):
    """Where a job stands. Never shared with tasks: Queued is 16 there and 8 here."""

    CONFIGURING = 1
    SUBMITTED = 2
    VALIDATING = 3
    EXTERNAL_VALIDATION = 4
    QUEUED = 5
    RUNNING = 6
    FINISHING = 7
    FINISHED = 8
    FAILED = 9
    CANCELED = 10
    CANCELING = 11

    @property
    def flag(self) -> int:
        """The reference's bit value (1 … 1024)."""
        return int(1 << (self - 1))

    @property
    def terminal(self) -> bool:
        """Finished, Failed or Canceled."""
        return self in JOB_TERMINAL

    @property
    def label(self) -> str:
        """The reference's spelling, such as ``ExternalValidation``."""
        return "".join(part.capitalize() for part in self.name.split("_"))


JOB_TERMINAL: Final = frozenset({JobState.FINISHED, JobState.FAILED, JobState.CANCELED})

V1_JOB_STATUS: Final = {
    JobState.CONFIGURING: "NotSubmitted",
    JobState.SUBMITTED: "Queued",
    JobState.VALIDATING: "Queued",
    JobState.EXTERNAL_VALIDATION: "Queued",
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.FINISHING: "Running",
    JobState.CANCELING: "Running",
    JobState.FINISHED: "Finished",
    JobState.FAILED: "Failed",
    JobState.CANCELED: "Cancelled",
}
"""The first API generation's view of a job's state (lifecycle.md 1.3, S4)."""


class JobType(IntEnum):
    """Kind of a job; the reference's flags."""

    BATCH = 1
    ADMIN = 2


class UnitType(IntEnum):
    """Unit of a job's and its tasks' minimum and maximum; the reference's numbers."""

    CORE = 0
    SOCKET = 1
    NODE = 2

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return self.name.capitalize()


class NodeGroupOp(IntEnum):
    """How a job's node groups are combined; the reference's numbers.

    Nodes that are in all of them, all nodes from any single one, nodes in any.
    """

    INTERSECT = 0
    UNIFORM = 1
    UNION = 2

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return self.name.capitalize()


class CancelRequest(IntEnum):
    """Why something is being stopped; the reference's numbers (RequestCancel)."""

    NONE = 0
    CANCEL_BY_USER = 1
    TIMEOUT = 2
    RESOURCE_FAILURE = 3
    PREEMPTION = 4
    FINISH = 5
    TASK_CANCEL_ON_REQUEUE = 6
    CANCEL_FORCE_BY_USER = 7
    NODE_NOT_USABLE_BY_JOB = 8
    PARENT_JOBS_DELETED = 9
    FINISH_GRACEFUL = 10
    CANCEL_GRACEFUL = 11

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return "".join(part.capitalize() for part in self.name.split("_"))


class FailureReason(IntEnum):
    """Whose fault a failure was; the reference's numbers."""

    NONE = 0
    EXECUTION_FAILURE = 1
    RESOURCE_FAILURE = 2
    PREEMPTED = 3

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return "".join(part.capitalize() for part in self.name.split("_"))


class PendingReason(IntEnum):
    """Why a job waits; the reference's numbers, those from 1001 on are ours."""

    NONE = 0
    NOT_ENOUGH_RESOURCE = 1
    HIGHER_PRIORITY_JOB = 2
    JOB_SUBMITTED_EARLIER = 3
    DEPENDENCY_NOT_DONE = 4
    REQUIRED_NODES_NOT_AVAILABLE = 5
    ACTIVATION_FILTER = 6
    NO_BROKER_NODE = 7
    HELD_BY_ACTIVATION_FILTER = 8
    HELD_BY_ADMIN = 9
    HELD_BY_USER = 10
    PARENT_JOBS_CANCELED_OR_FAILED = 11
    PARENT_JOBS_NOT_FINISHED = 12
    NO_AVAILABLE_RESOURCE_IN_REQUESTED_NODE_GROUP = 13
    ATTEMPT_MAY_LIVE = 1001

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return "".join(part.capitalize() for part in self.name.split("_"))


class NodeLoss(IntEnum):
    """What happens to running tasks when their node is lost; 0 is never used."""

    RERUN = 1
    FENCE = 2
    HOLD = 3
