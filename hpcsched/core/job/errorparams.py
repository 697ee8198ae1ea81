"""What the error of a task says, by name (ErrorParams of properties.md 4.2).

Nothing of it is stored: it follows from the error's number, the task's specification,
which does not change after its end, and what is kept of its attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.substitution import compile_template, render
from hpcsched.core.job import codes
from hpcsched.core.task.elements import HAS_EXIT
from hpcsched.core.task.states import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcsched.core.job.model import Job, TaskRecord

_PATHS: Final = {
    codes.STDIN_FAILED: "stdin_path",
    codes.STDOUT_FAILED: "stdout_path",
    codes.STDERR_FAILED: "stderr_path",
    codes.WORKING_DIRECTORY: "work_directory",
}
_FOR_PEOPLE: Final = frozenset(
    {
        *(codes.TASKS_JOB_CANCELED, codes.CANCELED_DURING_EXECUTION),
        *(codes.CANCELED_BEFORE_ASSIGNMENT, codes.FINISHED_DURING_EXECUTION),
        *(codes.SERVICE_CANCELED_ON_REQUEUE, codes.FAILED_BY_ACTIVATION_FILTER),
        *(codes.PARENT_JOBS_DELETED, codes.TASKS_PREEMPTED),
    }
)
"""Ends that somebody wanted: what they, or the scheduler, said is all there is."""
_ON_NODE: Final = frozenset(
    {*codes.RESOURCE_CODES, *_PATHS, codes.TASK_EXECUTION_FAILURE}
)
"""Errors of which it matters where they were."""
_SIGNALED: Final = 128


def error_params(
    job: Job, record: TaskRecord, row: int, name_of: Callable[[int], str]
) -> Mapping[str, str]:
    """Return what the error of an element says, by name; empty: it has none.

    Args:
        job: Its job.
        record: Its task.
        row: Its row in the task's table.
        name_of: Gives names of nodes.
    """
    table = job.table_of(record)
    code, text = job.notes[table.get("note", row)]
    if not code:
        return {}
    if code == codes.TASK_FAILED_ON_JOB_VALIDATION:
        return job.error_params or {"problem": text}
    found = _facts(job, record, row, code, text)
    node = table.get("node", row)
    if node and code in _ON_NODE:
        found["node"] = name_of(node)
    return found


def _facts(
    job: Job, record: TaskRecord, row: int, code: int, text: str
) -> dict[str, str]:
    spec = record.spec
    found = {"problem": text}
    if code in _FOR_PEOPLE:
        found = {"message": text}
    elif code == codes.TASK_FAILURE:
        found = _exit(job, record, row)
    elif code == codes.TASK_RUNTIME_EXPIRED:
        found = {"limit": f"{spec.runtime:g} s"}
    elif code == codes.DEPENDENCY_FAILED:
        found = {"depends_on": ",".join(spec.depends_on)}
    elif code == codes.START_JOB_FAILED_ON_NODE:
        found["user"] = job.spec.user_name or job.owner
    elif code == codes.TASK_EXECUTION_FAILURE:
        program = spec.arguments[0] if spec.arguments else spec.command_line
        found["program"] = _of(record, row, program)
    elif code == codes.WORKING_DIRECTORY:
        found["path"] = spec.work_directory
    elif code in _PATHS:
        found["path"] = _of(record, row, str(getattr(spec, _PATHS[code])))
    return found


def _exit(job: Job, record: TaskRecord, row: int) -> dict[str, str]:
    table = job.table_of(record)
    reason = table.get("reason", row)
    if reason == EndReason.OUT_OF_MEMORY:
        return {"problem": "out of memory"}
    code = int(table.get("exit", row))
    if not table.get("flags", row) & HAS_EXIT:
        return {}
    found = {"exit_code": str(code)}
    if reason == EndReason.SIGNALED:
        number = code - _SIGNALED
        found["signal"] = codes.SIGNAL_NAMES.get(number, str(number))
    return found


def _of(record: TaskRecord, row: int, text: str) -> str:
    """Return a text as this element has it (properties.md 8.1)."""
    instance = record.instance(row)
    if not instance or ("*" not in text and "^" not in text):
        return text
    spec = record.spec
    value = spec.lines[instance - 1] if spec.lines else spec.value_of(instance)
    return str(render(compile_template(text), value))
