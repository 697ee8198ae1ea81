"""``hpc job modify`` and ``hpc task modify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsched.cli.arguments import COUNT
from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.job_new import id_text
from hpcsched.cli.problems import note
from hpcsched.cli.selectors import JOB, TASK
from hpcsched.cli.spec_options import DRY_RUN, REQUEST_ID, options
from hpcsched.cli.verbs import Verb, pass_app
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.selectors import TaskName
    from hpcsched.client.api import Api
    from hpcsched.jobfile.changing import FileChange

_words = click.argument("words", nargs=-1, required=True, metavar="KEY=VALUE…")
_more_words = click.argument("words", nargs=-1, metavar="[KEY=VALUE…]")
_file = click.option(
    "--file",
    "path",
    metavar="FILE",
    help="Set what a job file sets: XML, JSON or TOML (- is stdin).",
)
_revision = click.option(
    "--if-revision",
    "revision",
    type=COUNT,
    default=None,
    metavar="N",
    help="Only if the job is still at this revision (hpc job show).",
)


@click.command("modify", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@_more_words
@_file
@_revision
@options(REQUEST_ID, DRY_RUN)
@pass_app
def modify(
    app: App,
    job: int,
    words: tuple[str, ...],
    *,
    path: str | None,
    revision: int | None,
    request_id: UUID | None,
    dry_run: bool,
) -> None:
    """Change properties of a job, all or none.

    \b
    Names are those of the job's specification: name, project, priority,
    runtime, … (hpc job show --json); lists are separated by commas, an empty
    value clears, environment.NAME and custom_properties.NAME are one entry.
      hpc job modify 42 priority=abovenormal runtime=2h
      hpc job modify 42 environment.MODE=fast custom_properties.run=
      hpc job modify 42 progress=40 progress_message='step 2 of 5'
      hpc job modify 42 excluded_nodes+=n3,n[7-9]
      hpc job modify 42 --file job.xml priority=highest

    \b
    --file sets what the file sets of the job, and no more; KEY=VALUE beside it
    wins. A task of the file is the job's task of its number (NiceId, in XML),
    else of its name (the first of a name in the file is the first of that name
    in the job, and so on; so are those without a name); what the file sets of it
    is changed. Other tasks are added. Tasks can be changed while the job is
    Configuring. Nothing is changed where any part of it is wrong.

    \b
    Configuring: everything. Failed and Canceled: everything, and the job goes
    back to Configuring. Queued: user_name and custom_properties (it keeps its
    place). Running: project, runtime, run_until_canceled, custom_properties,
    target_resource_count. progress and progress_message: always. The priority
    of a queued or running job: administrators. excluded_nodes+=, excluded_nodes-=
    and excluded_nodes= (none): any job that has not ended, and by themselves;
    what runs on a node that is excluded now is stopped and queued again.
    """
    from hpcsched.cli.assignments import assignment, exclusion
    from hpcsched.cli.modify_file import placed

    if not words and path is None:
        raise click.UsageError("nothing to change: give KEY=VALUE…, or --file FILE")
    nodes = exclusion(words, alone=path is None)
    if nodes is not None:
        if revision is not None or dry_run:
            flag = "--dry-run" if dry_run else "--if-revision"
            raise click.UsageError(f"{flag} goes with other properties only")
        _exclude(app, job, nodes, id_text(request_id))
        return
    change = assignment(words) if path is None else _of_file(path, words)

    async def work(client: Api) -> job_pb2.Job:
        return await client.jobs.modify(
            await job_id_of(client, job),
            change.spec,
            fields=change.fields,
            expected_revision=revision or 0,
            request_id=id_text(request_id),
            tasks=change.tasks,
            validate_only=dry_run,
        )

    try:
        found: Any = app.call(work)
    except HpcError as refusal:
        if path is not None:
            placed(refusal, path, change)
        raise
    if dry_run:
        note(f"accepted, nothing was changed: job {found.id}")
        if not app.as_json:
            return
    if app.as_json:
        app.print_message(found)
    else:
        app.print(found.id if app.quiet else _modified(found))


def _of_file(path: str, words: Sequence[str]) -> FileChange:
    from hpcsched.cli.assignments import overlay
    from hpcsched.cli.jobfile import read_change

    return overlay(read_change(path, directory=Path.cwd()), words)


def _modified(found: job_pb2.Job) -> str:
    """Say what became of a job that was modified."""
    from hpcsched.api.v1 import job_pb2 as pb

    text = f"job {found.id} modified"
    ended = found.previous_state in {pb.Job.STATE_FAILED, pb.Job.STATE_CANCELED}
    if ended and found.state == pb.Job.STATE_CONFIGURING:
        text += f"; it is Configuring now, until: hpc job submit {found.id}"
    return text


def _exclude(
    app: App, job: int, change: tuple[str, Sequence[str]], request_id: str
) -> None:
    from hpcsched.api.v1 import job_pb2 as pb

    how, nodes = change

    async def work(client: Api) -> job_pb2.Job:
        job_id = await job_id_of(client, job)
        jobs = client.jobs
        if how == "+":
            return await jobs.exclude_nodes(job_id, nodes, request_id=request_id)
        if how == "-":
            return await jobs.allow_nodes(job_id, nodes, request_id=request_id)
        job_now = await jobs.get(job_id)
        if job_now.state in {pb.Job.STATE_FAILED, pb.Job.STATE_CANCELED}:
            # An edit like any other: the job goes back to Configuring.
            return await jobs.modify(
                job_id,
                pb.JobSpec(),
                fields=("excluded_nodes",),
                request_id=request_id,
            )
        return await jobs.allow_all_nodes(job_id, request_id=request_id)

    found: Any = app.call(work)
    if app.as_json:
        app.print_message(found)
    else:
        app.print(found.id if app.quiet else f"job {found.id} modified")


@click.command("modify", cls=Verb)
@click.argument("name", type=TASK, metavar="ID")
@_words
@_revision
@options(REQUEST_ID)
@pass_app
def modify_task(
    app: App,
    name: TaskName,
    words: tuple[str, ...],
    *,
    revision: int | None,
    request_id: UUID | None,
) -> None:
    """Change properties of a task while it and its job are Configuring.

    \b
    Names are those of the task's specification: name, arguments (as a shell
    would split them), command_line, end_value, min_cores, runtime, …
      hpc task modify 42.1 arguments='./sim --seed *' end_value=200
      hpc task modify 42.2 depends_on=prepare,load runtime=10m
    """
    if name.instance_id:
        raise click.UsageError("elements cannot be changed by themselves")
    from hpcsched.api.v1 import task_pb2 as pb
    from hpcsched.cli.assignments import assign

    spec = pb.TaskSpec()
    fields = assign(spec, words)

    async def work(client: Api) -> task_pb2.Task:
        return await client.tasks.modify(
            await job_id_of(client, name.job_id),
            name.task_id,
            spec,
            fields=fields,
            expected_revision=revision or 0,
            request_id=id_text(request_id),
        )

    found: Any = app.call(work)
    from hpcsched.cli.job_tables import task_name

    if app.as_json:
        app.print_message(found)
    else:
        short = task_name(found)
        app.print(short if app.quiet else f"task {short} modified")
