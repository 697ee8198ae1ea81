"""A task's definition as a node gets it, with the environment (properties.md 7)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import JobType
from hpcsched.core.orders import DefineTask, EndJob, EndJobs, Role
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.orders import Order, StartAlike
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec

_ROLES = {TaskType.NODE_PREP: Role.PREP, TaskType.NODE_RELEASE: Role.RELEASE}


UNLIMITED: Final = 2147483647
"""CCP_RUNTIME of a task without a run-time limit."""
SETTABLE: Final = frozenset(
    {
        "CCP_MPI_HOSTFILE_FORMAT",
        "CCP_MPI_SOURCE",
        "CCP_MPI_WORKDIR",
        "CCP_DISABLE_CGROUP",
    }
)
"""Names that look like the scheduler's and are the user's to set (properties.md 7.3).

The node makes a host file by the first and leaves the task outside of its cgroup by the
last, unless its administrator requires one. Run-as mapping is not the user's to decide.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What tasks are told about the cluster.

    Attributes:
        head: Address of the head for clients.
        variables: Of every task, unless its job or itself says otherwise.
    """

    cluster: str
    head: str
    node_names: dict[int, str]
    variables: Mapping[str, str] = field(default_factory=dict)


def definition_of(
    job: Job, record: TaskRecord, settings: Settings, scene: Scene
) -> DefineTask:
    """Return a task's definition; kept with the job while nothing changes it.

    A change of what it is made of (a cluster parameter, say) makes the next version,
    which attempts that start from then on name.
    """
    known = job.definitions.get(record.task_id)
    made_of = (job.spec, record.spec, settings, scene)
    if known is not None and all(
        old is new for old, new in zip(known[0], made_of, strict=True)
    ):
        return known[1]
    number = 1 if known is None else known[1].definition
    definition = _definition(job, record, settings, scene, number)
    if known is not None and definition != known[1]:
        definition = replace(definition, definition=number + 1)
    job.definitions[record.task_id] = (made_of, definition)
    return definition


def _definition(
    job: Job, record: TaskRecord, settings: Settings, scene: Scene, number: int
) -> DefineTask:
    spec = record.spec
    limit = spec.runtime
    if spec.type is TaskType.NODE_RELEASE:
        limit = min(limit or settings.release_s, settings.release_s)
    grace = settings.grace_s if spec.grace is None else spec.grace
    release = spec.type is TaskType.NODE_RELEASE
    return DefineTask(
        job_id=job.job_id,
        task_id=record.task_id,
        definition=number,
        arguments=spec.arguments,
        command_line=spec.command_line,
        environment=environment_of(job, record, scene),
        work_directory=unquoted(spec.work_directory),
        stdin_path=unquoted(spec.stdin_path),
        stdout_path=unquoted(spec.stdout_path),
        stderr_path=unquoted(spec.stderr_path),
        user=job.spec.user_name,
        owner=job.owner,
        runtime_ms=int(limit * 1000),
        grace_ms=0 if release else int(grace * 1000),
        signal=settings.signal,
        role=Role.COMMAND if spec.node else _ROLES.get(spec.type, Role.MAIN),
        pin=pins(job, settings),
        exclusive=job.spec.is_exclusive,
        output_limit=settings.output_limit,
        substitute=spec.type is not TaskType.BASIC,
    )


def definition_like(
    job: Job, spec: TaskSpec, settings: Settings, scene: Scene, known: DefineTask
) -> DefineTask:
    """Return what a job's only task would be, had it other texts.

    Args:
        job: The job.
        spec: The other specification.
        settings: Those in force.
        scene: What tasks are told about the cluster.
        known: What the task is.
    """
    record = replace(job.tasks[0], spec=spec)
    return _definition(job, record, settings, scene, known.definition)


def unquoted(path: str) -> str:
    """Return a path without the double quotes around it (properties.md 8.2).

    The reference wants them around a path with blanks; here nothing needs them.
    """
    if len(path) > 2 and path[0] == path[-1] == '"':  # noqa: PLR2004  both, and a path
        return path[1:-1]
    return path


def pins(job: Job, settings: Settings) -> bool:
    """Are the job's tasks pinned to their cores (node-agent.md 4.1)?"""
    if settings.affinity == "NoJobs":
        return False
    return settings.affinity == "AllJobs" or not job.spec.is_exclusive


def is_protected(name: str) -> bool:
    """Is it a name of the scheduler's, which a user's setting does not change (D19)?"""
    return name.upper().startswith("CCP_") and name not in SETTABLE


def environment_of(job: Job, record: TaskRecord, scene: Scene) -> dict[str, str]:
    """Return the cluster's, the job's, the task's, the scheduler's variables.

    Later ones win; an empty one of the job takes the cluster's away (properties.md 7).
    """
    spec = record.spec
    own = {**scene.variables, **job.spec.environment, **spec.environment}
    user = {
        name: value
        for name, value in own.items()
        if not is_protected(name) and (value or name in spec.environment)
    }
    runtime = ceil(spec.runtime) or UNLIMITED
    provided = {
        "CCP_CLUSTER_NAME": scene.cluster,
        "CCP_SCHEDULER": scene.head,
        "CCP_CONNECTIONSTRING": scene.head,
        **_named(job.job_id, record.task_id),
        "CCP_JOBNAME": job.spec.name,
        "CCP_JOBTYPE": "Admin" if job.spec.job_type is JobType.ADMIN else "Batch",
        "CCP_JOBTEMPLATE": job.spec.job_template or "Default",
        "CCP_TASKID": str(record.task_id),
        "CCP_TASKINSTANCEID": "0",
        "CCP_NUMCPUS": str(spec.min_cores),
        "CCP_RETRY_COUNT": "0",
        "CCP_PREVIOUS_JOB_ID": "0",
        "CCP_RERUNNABLE": str(spec.is_rerunnable),
        "CCP_EXCLUSIVE": str(job.spec.is_exclusive),
        "CCP_RUNTIME": str(runtime),
        "CCP_WORKDIR": spec.work_directory,
        "CCP_STDIN": spec.stdin_path,
        "CCP_STDOUT": spec.stdout_path,
        "CCP_STDERR": spec.stderr_path,
        "CCP_OWNER_SID": job.owner,
        "CCP_ENVLIST": ",".join(sorted(user)),
    }
    return {**user, **provided}


def _named(job_id: int, task_id: int) -> dict[str, str]:
    """Return the variables that name a job; they are the scheduler's alone."""
    # Of an element the node adds its number: unique among all that there are.
    system_id = f"{job_id}.{task_id}"
    return {
        "CCP_JOBID": str(job_id),
        "CCP_TASKSYSTEMID": system_id,
        "CCP_TASKCONTEXT": system_id,
    }


def as_of_job(definition: DefineTask, job_id: int) -> DefineTask:
    """Return a definition as it is in another job that is alike."""
    named = _named(job_id, definition.task_id)
    environment = {**definition.environment, **named}
    return replace(definition, job_id=job_id, environment=environment)


def one_by_one(order: StartAlike | EndJobs) -> Iterator[Order]:
    """Yield what an order for several jobs means for each of them."""
    for job_id in order.job_ids:
        if isinstance(order, EndJobs):
            yield EndJob(job_id=job_id)
        else:
            yield replace(order.grant, job_id=job_id)
            yield as_of_job(order.define, job_id)
            yield replace(order.start, job_id=job_id)
