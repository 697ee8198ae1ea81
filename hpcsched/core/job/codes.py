"""Numbers and texts of errors that are stored with jobs and tasks (api.md 12.3)."""

from __future__ import annotations

from typing import Final

from hpcsched.core.job.states import FailureReason
from hpcsched.core.task.states import EndReason, TaskState

CANCELED_BY_USER: Final = -2147220991
PARENT_JOBS_DELETED: Final = -2147220563
FINISHED_BY_USER: Final = -2147220624
UNKNOWN_ERROR: Final = -2147218991
NODE_ERROR: Final = -2147218990
TASKS_JOB_CANCELED: Final = -2147218989
JOB_RUNTIME_EXPIRED: Final = -2147218987
TASK_RUNTIME_EXPIRED: Final = -2147218985
NODE_UNREACHABLE: Final = -2147218984
PROCESS_DEAD: Final = -2147218983
RESOURCE_FAILURE: Final = -2147218981
TASK_FAILURE: Final = -2147218980
TASK_EXECUTION_FAILURE: Final = -2147218979
JOB_PREEMPTED: Final = -2147218978
TASKS_PREEMPTED: Final = -2147218976
START_JOB_FAILED_ON_NODE: Final = -2147218977
STDIN_FAILED: Final = -2147218975
STDOUT_FAILED: Final = -2147218974
STDERR_FAILED: Final = -2147218973
WORKING_DIRECTORY: Final = -2147218972
CANCELED_BEFORE_ASSIGNMENT: Final = -2147218971
SERVICE_CANCELED_ON_REQUEUE: Final = -2147218970
CANCELED_DURING_EXECUTION: Final = -2147218969
NODE_PREP_FAILURE: Final = -2147218968
FAILED_BY_ACTIVATION_FILTER: Final = -2147218966
NODE_NOT_USABLE: Final = -2147218967
FINISHED_DURING_EXECUTION: Final = -2147218964
DEPENDENCY_FAILED: Final = -2147220564
TASK_FAILED_ON_JOB_VALIDATION: Final = -2147219936
TASK_NOT_RERUNNABLE: Final = -2147219950

GIVEN_BACK: Final = "recalled"
"""Code of an attempt that its node gave back because it was asked to, and never ran."""

START_CODES: Final = {
    "stdin": STDIN_FAILED,
    "stdout": STDOUT_FAILED,
    "stderr": STDERR_FAILED,
    "cwd": WORKING_DIRECTORY,
    "exec": TASK_EXECUTION_FAILURE,
    "user": START_JOB_FAILED_ON_NODE,
}

SYSTEM_ERRORS: Final = {
    EndReason.NOT_STARTED: (NODE_ERROR, "the node did not start the task"),
    EndReason.NODE_LOST: (NODE_UNREACHABLE, "the node became unreachable"),
    EndReason.NODE_REBOOTED: (
        NODE_UNREACHABLE,
        "the node booted again while the task was there",
    ),
    EndReason.NODE_SHUTDOWN: (
        NODE_ERROR,
        "the node was shut down while the task was there",
    ),
    EndReason.STATUS_LOST: (PROCESS_DEAD, "the node lost the task's exit status"),
    EndReason.PREEMPTED: (NODE_ERROR, "the task was stopped by its node"),
    EndReason.CANCELED: (NODE_ERROR, "the task was stopped by its node"),
    EndReason.KILLED: (NODE_ERROR, "the task was killed by its node"),
}
"""End reasons that are nobody's fault: rerun within TaskRetryCount (5.2)."""

RESOURCE_CODES: Final = frozenset(
    {
        *(NODE_ERROR, NODE_UNREACHABLE, PROCESS_DEAD, NODE_NOT_USABLE),
        *(START_JOB_FAILED_ON_NODE, RESOURCE_FAILURE),
    }
)
"""Errors of a task that are its node's, not its own (FailureReason)."""

SIGNAL_NAMES: Final = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM",
    24: "SIGXCPU",
    25: "SIGXFSZ",
}


def failure_of(state: TaskState, code: int) -> FailureReason:
    """Return whose fault it is that a task has failed (FailureReason)."""
    if state is not TaskState.FAILED:
        return FailureReason.NONE
    if code == TASKS_PREEMPTED:
        return FailureReason.PREEMPTED
    if code in RESOURCE_CODES:
        return FailureReason.RESOURCE_FAILURE
    return FailureReason.EXECUTION_FAILURE


def end_text(reason: int, exit_code: int, message: str) -> str:
    """Return what an unsuccessful end reads like to people."""
    if message:
        return message
    if reason == EndReason.SIGNALED:
        number = exit_code - 128
        return f"ended by signal {number} ({SIGNAL_NAMES.get(number, 'unknown')})"
    if reason == EndReason.OUT_OF_MEMORY:
        return "the kernel ended it for lack of memory"
    return f"exited with code {exit_code}"
