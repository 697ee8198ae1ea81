"""States of a task and the enumerations that go with them (lifecycle.md 1.2 to 1.4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class TaskState(IntEnum):
    """Where a task stands; fits in a byte. 0 in a column: no such element yet."""

    CONFIGURING = 1
    SUBMITTED = 2
    VALIDATING = 3
    QUEUED = 4
    DISPATCHING = 5
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
        return self in TASK_TERMINAL

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return self.name.capitalize()


TASK_STATES: Final = {int(state): state for state in TaskState}
"""By number: calling the class takes ten times as long."""
TASK_TERMINAL: Final = frozenset(
    {TaskState.FINISHED, TaskState.FAILED, TaskState.CANCELED}
)
ON_NODE: Final = frozenset(
    {TaskState.DISPATCHING, TaskState.RUNNING, TaskState.CANCELING}
)
"""States in which an attempt may live on a node."""
WAITING: Final = frozenset(
    {
        TaskState.CONFIGURING,
        TaskState.SUBMITTED,
        TaskState.VALIDATING,
        TaskState.QUEUED,
    }
)
"""States of a task that has not been sent to a node."""

V1_TASK_STATUS: Final = {
    TaskState.CONFIGURING: "NotSubmitted",
    TaskState.SUBMITTED: "Queued",
    TaskState.VALIDATING: "Queued",
    TaskState.QUEUED: "Queued",
    TaskState.DISPATCHING: "Running",
    TaskState.RUNNING: "Running",
    TaskState.FINISHING: "Running",
    TaskState.CANCELING: "Running",
    TaskState.FINISHED: "Finished",
    TaskState.FAILED: "Failed",
    TaskState.CANCELED: "Cancelled",
}
"""The first API generation's view; one that its user canceled reads Cancelled (D2)."""


class TaskType(IntEnum):
    """Kind of a task; the reference's numbers plus one, as in our protos."""

    BASIC = 1
    PARAMETRIC_SWEEP = 2
    NODE_PREP = 3
    NODE_RELEASE = 4
    SERVICE = 5

    @property
    def label(self) -> str:
        """The reference's spelling."""
        return "".join(part.capitalize() for part in self.name.split("_"))


class CancelOrigin(IntEnum):
    """Who or what stopped a task (lifecycle.md 2)."""

    NONE = 0
    USER_TASK = 1
    USER_JOB = 2
    REQUEUE = 3
    PREEMPTION = 4
    TIMEOUT = 5
    NODE = 6
    SYSTEM = 7


class EndReason(IntEnum):
    """Why an attempt ended; numbers are those of the protos (node-agent.md 8)."""

    NONE = 0
    EXITED = 1
    SIGNALED = 2
    CANCELED = 3
    KILLED = 4
    TIME_LIMIT = 5
    OUT_OF_MEMORY = 6
    START_FAILED = 7
    NOT_STARTED = 8
    PREEMPTED = 9
    NODE_LOST = 10
    NODE_REBOOTED = 11
    NODE_SHUTDOWN = 12
    STATUS_LOST = 13
