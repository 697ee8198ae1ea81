"""From options to the API's specifications of jobs and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

import click
from google.protobuf.duration_pb2 import Duration

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.cli.arguments import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.cli.amounts import Array, Cores

KINDS: Final = {
    "basic": task_pb2.TASK_TYPE_BASIC,
    "sweep": task_pb2.TASK_TYPE_PARAMETRIC_SWEEP,
    "prep": task_pb2.TASK_TYPE_NODE_PREP,
    "release": task_pb2.TASK_TYPE_NODE_RELEASE,
    "service": task_pb2.TASK_TYPE_SERVICE,
}

UNITS: Final = {
    "cores": job_pb2.UNIT_TYPE_CORE,
    "sockets": job_pb2.UNIT_TYPE_SOCKET,
    "nodes": job_pb2.UNIT_TYPE_NODE,
}

GROUP_OPS: Final = {
    "intersect": job_pb2.NODE_GROUP_OP_INTERSECT,
    "uniform": job_pb2.NODE_GROUP_OP_UNIFORM,
    "union": job_pb2.NODE_GROUP_OP_UNION,
}

CLIENT_SOURCE: Final = "hpc"


class Given(TypedDict, total=False):
    """Options of one verb, as click hands them over; those it has not are missing."""

    name: str | None
    cores: Cores | None
    sockets: Cores | None
    nodes: Cores | None
    runtime: float | None
    valid_exit: Sequence[Sequence[str]]
    env: Sequence[tuple[str, str]]
    label: Sequence[tuple[str, str]]
    project: str | None
    priority: int | None
    nodelist: Sequence[Sequence[str]]
    exclude: Sequence[Sequence[str]]
    exclusive: bool
    can_preempt: bool
    group: str | Sequence[Sequence[str]] | None
    group_op: str | None
    single_node: bool
    order_by: str | None
    template: str | None
    mem: int | None
    hold_until: float | None
    parent: Sequence[Sequence[int]]
    run_until_canceled: bool
    fail_on_task_failure: bool
    prep: str | None
    release: str | None
    retries: int | None
    array: Array | None
    each_line: Iterable[str] | None
    depends: Sequence[Sequence[str]]
    kind: str | None
    rerunnable: bool | None
    grace: float | None
    workdir: str | None
    stdin: str | None
    stdout: str | None
    stderr: str | None
    critical: int | None
    shell: str | None


def job_spec(given: Given, *, directory: Path) -> job_pb2.JobSpec:
    """Return a job of these options, with its preparation and release tasks.

    Args:
        given: Of the job; options of tasks are not looked at.
        directory: Where its tasks start.
    """
    spec = job_pb2.JobSpec(
        name=given.get("name") or "",
        project=given.get("project") or "",
        environment=dict(given.get("env") or ()),
        custom_properties=dict(given.get("label") or ()),
        runtime=_duration(given.get("runtime")),
        run_until_canceled=given.get("run_until_canceled", False),
        fail_on_task_failure=given.get("fail_on_task_failure", False),
        is_exclusive=given.get("exclusive", False),
        can_preempt=given.get("can_preempt", False),
        requested_nodes=joined(given.get("nodelist") or ()),
        excluded_nodes=joined(given.get("exclude") or ()),
        valid_exit_codes=",".join(joined(given.get("valid_exit") or ())),
        task_execution_failure_retry_limit=given.get("retries") or 0,
        client_source=CLIENT_SOURCE,
        job_template=given.get("template") or "",
        estimated_process_memory=given.get("mem") or 0,
        single_node=given.get("single_node", False),
        order_by=given.get("order_by") or "",
        parent_job_ids=dict.fromkeys(
            one for part in given.get("parent") or () for one in part
        ),
    )
    until = given.get("hold_until")
    if until is not None:
        try:
            spec.hold_until.FromMilliseconds(round(until * 1000))
        except ValueError:
            raise click.UsageError("--hold-until is too far ahead") from None
    priority = given.get("priority")
    if priority is not None:
        spec.priority = priority
    groups = given.get("group")
    if groups and not isinstance(groups, str):
        spec.node_groups.extend(joined(groups))
    group_op = given.get("group_op")
    if group_op is not None:
        spec.node_group_op = GROUP_OPS[group_op]
    size = _size_of(given)
    if size is not None:
        unit, bounds = size
        spec.unit_type = UNITS[unit]
        setattr(spec, f"min_{unit}", bounds.minimum)
        if bounds.maximum is not None:
            setattr(spec, f"max_{unit}", bounds.maximum)
    for kind in ("prep", "release"):
        line = given.get(kind)
        if isinstance(line, str):
            spec.tasks.add(
                type=KINDS[kind], command_line=line, work_directory=str(directory)
            )
    return spec


def task_spec(
    given: Given, command: Sequence[str], *, directory: Path, of_submit: bool
) -> task_pb2.TaskSpec:
    """Return a task of these options.

    Args:
        given: With ``of_submit`` what jobs and tasks have in common is the job's.
        command: What followed ``--``; empty with a shell line.
        directory: The caller's; relative paths of ``--workdir`` start there.
        of_submit: Do the options describe a job as well?
    """
    workdir = given.get("workdir")
    spec = task_pb2.TaskSpec(
        arguments=command,
        command_line=given.get("shell") or "",
        work_directory=str(directory / workdir) if workdir else str(directory),
        stdin_path=given.get("stdin") or "",
        stdout_path=given.get("stdout") or "",
        stderr_path=given.get("stderr") or "",
        depends_on=joined(given.get("depends") or ()),
        grace_period=_duration(given.get("grace")),
    )
    kind = given.get("kind")
    if kind is not None:
        spec.type = KINDS[kind]
    is_many = _set_range(spec, given)
    _set_size(spec, given, each_gets_minimum=of_submit and is_many)
    rerunnable = given.get("rerunnable")
    if rerunnable is not None:
        spec.is_rerunnable = rerunnable
    critical = given.get("critical")
    if critical is not None:
        spec.fail_job_on_failure = True
        spec.fail_job_on_failure_count = critical
    if not of_submit:
        spec.name = given.get("name") or ""
        spec.required_nodes.extend(joined(given.get("nodelist") or ()))
        group = given.get("group")
        spec.requested_node_group = group if isinstance(group, str) else ""
        spec.is_exclusive = given.get("exclusive", False)
        spec.valid_exit_codes = ",".join(joined(given.get("valid_exit") or ()))
        spec.environment.update(dict(given.get("env") or ()))
        spec.custom_properties.update(dict(given.get("label") or ()))
        runtime = _duration(given.get("runtime"))
        if runtime is not None:
            spec.runtime.CopyFrom(runtime)
    return spec


def _set_range(spec: task_pb2.TaskSpec, given: Given) -> bool:
    """Make it a sweep, if it is one; return whether it has elements."""
    array = given.get("array")
    if array is not None:
        spec.start_value = array.start
        spec.end_value = array.end
        spec.increment_value = array.step
        spec.max_concurrent = array.most
    lines = given.get("each_line")
    if lines is not None:
        try:
            found = [line.rstrip("\r\n") for line in lines]
        except UnicodeDecodeError:
            raise click.UsageError("--each-line: the file is not UTF-8 text") from None
        spec.lines.extend(line for line in found if line.strip())
        if not spec.lines:
            raise click.UsageError(
                "--each-line: the file has no line that is not blank"
            )
    many = given.get("kind") in {"sweep", "service"}
    return array is not None or lines is not None or many


def _size_of(given: Given) -> tuple[str, Cores] | None:
    """Return the unit and how many, if a size is given.

    Raises:
        click.UsageError: in more than one unit.
    """
    sizes = {
        "cores": given.get("cores"),
        "sockets": given.get("sockets"),
        "nodes": given.get("nodes"),
    }
    found = [(unit, size) for unit, size in sizes.items() if size is not None]
    if len(found) > 1:
        raise click.UsageError("give one of --cores, --sockets and --nodes")
    return found[0] if found else None


def _set_size(
    spec: task_pb2.TaskSpec, given: Given, *, each_gets_minimum: bool
) -> None:
    size = _size_of(given)
    if size is None or given_to_no_process(spec):
        return
    unit, bounds = size
    setattr(spec, f"min_{unit}", bounds.minimum)
    if bounds.maximum is not None and not each_gets_minimum:
        setattr(spec, f"max_{unit}", bounds.maximum)


def given_to_no_process(spec: task_pb2.TaskSpec) -> bool:
    """Say whether the task's kind has no cores of its own."""
    return spec.type in {task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE}


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    found = Duration()
    try:
        found.FromMilliseconds(round(seconds * 1000))
    except ValueError:
        raise click.UsageError(f"{seconds:g} s is too long for a duration") from None
    return found


def given_options(values: dict[str, Any]) -> Given:
    """Return what click hands over as the options of a job and its tasks."""
    known = Given.__annotations__
    chosen = {name: value for name, value in values.items() if name in known}
    return cast("Given", chosen)
