"""What a specification must satisfy; each refusal names the field and the limit.

properties.md 3 and 4, lifecycle.md 3.1, 5.1 and 5.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.common.exitcodes import ExitCodesError, parse_exit_codes
from hpcsched.core.job.bounds import INT32, check_count, check_seconds
from hpcsched.core.job.dependencies import check_dependencies
from hpcsched.core.job.details import check_details, check_text
from hpcsched.core.job.releasecheck import check_release
from hpcsched.core.job.resourcecheck import UNITS, check_resources
from hpcsched.core.job.sizes import check_task_nodes, check_task_size, given_sizes
from hpcsched.core.job.states import JobType, NodeLoss
from hpcsched.core.job.sweepcheck import check_no_sweep, check_sweep, forbid
from hpcsched.core.job.target import check_target
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec

NAME_LIMIT: Final = 80
PROPERTY_LIMIT: Final = 1024
COMMAND_BYTES: Final = 1 << 20
TASK_LIMIT: Final = 100_000
PRIORITY_LIMIT: Final = 4000
CRITICAL_LIMIT: Final = 1_000_000
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_PER_NODE: Final = (TaskType.NODE_PREP, TaskType.NODE_RELEASE)
_COUNTED: Final = (TaskType.PARAMETRIC_SWEEP, TaskType.SERVICE)


def validate_new(spec: JobSpec, tasks: Sequence[TaskSpec], settings: Settings) -> None:
    """Check a job and its tasks one by one, as they are when a draft is stored.

    Raises:
        HpcError: the first thing that is wrong.
    """
    validate_job(spec, settings)
    validate_added(spec, [], list(tasks), settings)


def validate_job(spec: JobSpec, settings: Settings) -> None:
    """Check a job without its tasks.

    Raises:
        HpcError: the first thing that is wrong.
    """
    check_text("spec.name", spec.name, NAME_LIMIT)
    check_text("spec.project", spec.project, NAME_LIMIT)
    check_text("spec.user_name", spec.user_name, NAME_LIMIT)
    check_text("spec.client_source", spec.client_source, NAME_LIMIT)
    if not 0 <= spec.priority <= PRIORITY_LIMIT:
        raise HpcError(
            "PRIORITY_OUT_OF_RANGE", field="spec.priority", value=spec.priority
        )
    check_resources(spec)
    check_seconds("spec.runtime", spec.runtime)
    check_count("spec.task_execution_failure_retry_limit", spec.retry_limit, 0, INT32)
    _properties("spec.custom_properties", spec.custom_properties)
    check_environment("spec.environment", spec.environment)
    _size("spec.environment", _bytes_of(spec.environment))
    _exit_codes("spec.valid_exit_codes", spec.valid_exit_codes or "0")
    if len(spec.excluded_nodes) > settings.excluded_limit:
        raise HpcError(
            "TOO_MANY_EXCLUDED_NODES",
            field="spec.excluded_nodes",
            count=len(spec.excluded_nodes),
            limit=settings.excluded_limit,
        )
    if spec.node_loss is NodeLoss.FENCE:
        problem = (
            "fence, by which nodes end tasks themselves, is not known to this version; "
            "with hold nothing runs twice either: what was on a lost node is run again "
            "when the node is back, or an administrator fences it (hpc node fence)"
        )
        raise HpcError("INVALID_FIELD", field="spec.node_loss", problem=problem)
    check_target(spec, spec.target_resource_count)
    check_details(spec)


def validate_changed(
    spec: JobSpec, tasks: Sequence[TaskSpec], number: int, settings: Settings
) -> None:
    """Check one task that has been changed, among the others of its job.

    Args:
        spec: The job.
        tasks: All tasks, the changed one included.
        number: Its position.
        settings: Those in force.

    Raises:
        HpcError: the first thing that is wrong.
    """
    task, field = tasks[number], f"spec.tasks[{number}]"
    _task(field, spec, task, settings)
    size = _bytes_of(spec.environment) + _command_bytes(task)
    _size(f"{field}.arguments with environment", size)
    others = [one for one in tasks if one is not task]
    _kinds(others, [task], settings)


def validate_texts(spec: JobSpec, task: TaskSpec) -> None:
    """Check the texts of a job's only task, of which all else has been checked.

    Raises:
        HpcError: the first thing that is wrong.
    """
    field = "spec.tasks[0]"
    _command(field, task)
    _names_and_values(field, task)
    _paths(field, task)
    size = _bytes_of(spec.environment) + _command_bytes(task)
    _size(f"{field}.arguments with environment", size)


def validate_added(
    spec: JobSpec,
    before: Sequence[TaskSpec],
    added: Sequence[TaskSpec],
    settings: Settings,
) -> None:
    """Check tasks that are being added to those that a job has.

    Raises:
        HpcError: the first thing that is wrong.
    """
    everything = [*before, *added]
    shared = _bytes_of(spec.environment)
    check_count("spec.tasks", len(everything), 0, TASK_LIMIT)
    for number, task in enumerate(added, start=len(before)):
        field = f"spec.tasks[{number}]"
        _task(field, spec, task, settings)
        _size(f"{field}.arguments with environment", shared + _command_bytes(task))
    _kinds(before, added, settings)


def _kinds(
    before: Sequence[TaskSpec], added: Sequence[TaskSpec], settings: Settings
) -> None:
    """Check how many tasks there are of each kind."""
    everything = [*before, *added]
    sweeps = sum(task.is_sweep for task in everything)
    if sweeps > settings.max_sweeps:
        limit = settings.max_sweeps
        raise HpcError("TOO_MANY_SWEEPS", field="spec.tasks", count=sweeps, limit=limit)
    kinds = [task.type for task in everything]
    _check_alone(before, added)
    if kinds.count(TaskType.NODE_PREP) > 1:
        raise HpcError("TOO_MANY_PREP_TASKS", field="spec.tasks")
    if kinds.count(TaskType.NODE_RELEASE) > 1:
        raise HpcError("TOO_MANY_RELEASE_TASKS", field="spec.tasks")


def _check_alone(before: Sequence[TaskSpec], added: Sequence[TaskSpec]) -> None:
    """Refuse any ordinary task beside a service (properties.md 4.3)."""
    kinds = [task.type for task in (*before, *added) if task.type not in _PER_NODE]
    if TaskType.SERVICE not in kinds or len(kinds) == 1:
        return
    if any(task.type is TaskType.SERVICE for task in before):
        raise HpcError("TASK_BESIDE_SERVICE", field="spec.tasks")
    raise HpcError("SERVICE_NOT_ALONE", field="spec.tasks")


def validate_together(
    spec: JobSpec, tasks: Sequence[TaskSpec], settings: Settings, first: int = 0
) -> None:
    """Check what only makes sense for the whole job, as at submit (J4).

    Raises:
        HpcError: the first thing that is wrong.
    """
    _check_alone([], tasks)
    check_dependencies(tasks, first)
    kinds = {task.type for task in tasks}
    if kinds and kinds <= set(_PER_NODE) and not spec.run_until_canceled:
        raise HpcError("ONLY_PREP_AND_RELEASE", field="spec.tasks")
    for number, task in enumerate(tasks):
        field = f"spec.tasks[{number}]"
        if task.type in _PER_NODE:
            continue
        check_task_nodes(field, spec, task)
        _within(field, spec, task)
    if TaskType.NODE_RELEASE in kinds:
        check_release(spec, tasks, settings)


def _within(field: str, spec: JobSpec, task: TaskSpec) -> None:
    """Refuse a task that takes more than its job may get, or needs more to start."""
    unit = UNITS[spec.unit_type]
    low, high = task.bounds(spec.unit_type)
    if spec.most is not None and high > spec.most:
        raise HpcError(
            "OUT_OF_RANGE",
            field=f"{field}.max_{unit}",
            value=high,
            limit=f"at most the job's max_{unit}, {spec.most}",
        )
    if spec.least is not None and low > spec.least:
        raise HpcError(
            "OUT_OF_RANGE",
            field=f"{field}.min_{unit}",
            value=low,
            limit=f"at most the job's min_{unit}, {spec.least}",
        )


def _task(field: str, job: JobSpec, task: TaskSpec, settings: Settings) -> None:
    check_text(f"{field}.name", task.name, NAME_LIMIT)
    if "," in task.name or ";" in task.name:
        raise HpcError("TASK_NAME_INVALID", field=f"{field}.name")
    if task.node and job.job_type is not JobType.ADMIN:
        problem = "only the tasks of a command name their node"
        raise HpcError("INVALID_FIELD", field=f"{field}.node", problem=problem)
    _command(field, task)
    check_task_size(field, task)
    check_seconds(f"{field}.runtime", task.runtime)
    if job.runtime and task.runtime > job.runtime:
        raise HpcError(
            "TASK_RUNTIME_TOO_LONG",
            field=f"{field}.runtime",
            value=f"{task.runtime:g} s",
            limit=f"{job.runtime:g} s",
        )
    _details(field, task)
    if task.type is TaskType.PARAMETRIC_SWEEP:
        check_sweep(field, task, settings)
    else:
        check_no_sweep(field, task)
    if task.type in _PER_NODE:
        _per_node(field, task, settings)
    elif task.type is TaskType.SERVICE:
        given = {
            "depends_on": bool(task.depends_on),
            "is_rerunnable": not task.is_rerunnable,
        }
        forbid(field, task, given)


def _details(field: str, task: TaskSpec) -> None:
    """Check what has nothing to do with the job."""
    if task.grace is not None:
        check_seconds(f"{field}.grace_period", task.grace)
    check_count(f"{field}.max_concurrent", task.max_concurrent, 0, INT32)
    check_count(f"{field}.group_id", task.group_id, 0, INT32)
    _exit_codes(f"{field}.valid_exit_codes", task.valid_exit_codes or "0")
    _names_and_values(field, task)
    check_count(
        f"{field}.fail_job_on_failure_count", task.critical_count, 0, CRITICAL_LIMIT
    )
    if task.critical_count > 1 and task.type not in _COUNTED:
        raise HpcError(
            "PROPERTY_NOT_FOR_TYPE",
            field=f"{field}.fail_job_on_failure_count",
            type=task.type.label,
        )
    _paths(field, task)


def _names_and_values(field: str, task: TaskSpec) -> None:
    _properties(f"{field}.custom_properties", task.custom_properties)
    check_environment(f"{field}.environment", task.environment)


def _paths(field: str, task: TaskSpec) -> None:
    for name in (
        task.work_directory,
        task.stdin_path,
        task.stdout_path,
        task.stderr_path,
    ):
        if "\0" in name:
            problem = "a path cannot contain a NUL character"
            raise HpcError("INVALID_FIELD", field=field, problem=problem)


def _command(field: str, task: TaskSpec) -> None:
    if task.arguments and task.command_line:
        raise HpcError("TWO_COMMANDS", field=f"{field}.arguments")
    if not task.command_line.strip() and not (task.arguments and task.arguments[0]):
        raise HpcError("MISSING_COMMAND", field=f"{field}.arguments")
    texts = (task.command_line, *task.arguments)
    if any("\0" in text for text in texts):
        problem = "an argument cannot contain a NUL character"
        raise HpcError("INVALID_FIELD", field=f"{field}.arguments", problem=problem)


def _command_bytes(task: TaskSpec) -> int:
    texts = (task.command_line, *task.arguments)
    size = sum(len(text.encode(errors="surrogateescape")) + 1 for text in texts)
    return size + _bytes_of(task.environment)


def _bytes_of(variables: Mapping[str, str]) -> int:
    """Return the size of an environment as the kernel takes it."""
    return sum(
        len(name.encode(errors="surrogateescape"))
        + len(value.encode(errors="surrogateescape"))
        + 2
        for name, value in variables.items()
    )


def _size(field: str, size: int) -> None:
    if size > COMMAND_BYTES:
        raise HpcError("SPEC_TOO_LARGE", field=field, length=size, limit=COMMAND_BYTES)


def _per_node(field: str, task: TaskSpec, settings: Settings) -> None:
    forbidden = {
        "depends_on": bool(task.depends_on),
        **given_sizes(task),
        "is_rerunnable": not task.is_rerunnable,
        "fail_job_on_failure": bool(task.critical or task.critical_count),
    }
    forbid(field, task, forbidden)
    if task.type is TaskType.NODE_RELEASE and task.runtime > settings.release_s > 0:
        raise HpcError(
            "RELEASE_RUNTIME_TOO_LONG",
            field=f"{field}.runtime",
            value=f"{task.runtime:g} s",
            limit=f"{settings.release_s} s",
        )


def _exit_codes(field: str, text: str) -> None:
    try:
        parse_exit_codes(text)
    except ExitCodesError as error:
        raise HpcError("INVALID_EXIT_CODES", field=field, problem=error) from None


def _properties(field: str, pairs: Mapping[str, str]) -> None:
    for name, value in pairs.items():
        if not name:
            raise HpcError("INVALID_FIELD", field=field, problem="a name is empty")
        if len(name) > NAME_LIMIT:
            reason = "CUSTOM_PROPERTY_NAME_TOO_LONG"
            raise HpcError(reason, field=field, length=len(name), limit=NAME_LIMIT)
        if len(value) > PROPERTY_LIMIT:
            reason = "CUSTOM_PROPERTY_VALUE_TOO_LONG"
            raise HpcError(reason, field=field, length=len(value), limit=PROPERTY_LIMIT)
        check_text(field, name + value, NAME_LIMIT + PROPERTY_LIMIT)


def check_environment(field: str, variables: Mapping[str, str]) -> None:
    """Refuse variables that no process can have.

    Raises:
        HpcError: ENVIRONMENT_NAME_INVALID, INVALID_FIELD.
    """
    for name, value in variables.items():
        if not _VARIABLE.match(name):
            raise HpcError("ENVIRONMENT_NAME_INVALID", field=field, name=repr(name))
        if "\0" in value:
            problem = f"the value of {name} contains a NUL character"
            raise HpcError("INVALID_FIELD", field=field, problem=problem)
