"""``hpc job new`` and ``hpc job add``: a job put together step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.file_options import FILE, refuse_spec_options
from hpcsched.cli.selectors import JOB
from hpcsched.cli.spec_options import (
    ADD_ONLY,
    BOTH,
    DRY_RUN,
    JOB_ONLY,
    REQUEST_ID,
    TASK_ONLY,
    options,
)
from hpcsched.cli.verbs import Verb, command_of, pass_app, takes_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api


@click.command("new", cls=Verb)
@options(BOTH, JOB_ONLY, FILE, REQUEST_ID, DRY_RUN)
@pass_app
@click.pass_context
def new(
    context: click.Context,
    app: App,
    /,
    request_id: UUID | None,
    *,
    dry_run: bool,
    **given: Any,
) -> None:
    """Make a job in state Configuring and print its id.

    \b
    Tasks are added with `hpc job add`, and `hpc job submit JOB` queues it:
      job=$(hpc job new --name sim --runtime 2h)
      hpc job add $job --name one -- ./first
      hpc job add $job --name two --depends one -- ./second
      hpc job submit $job
      hpc job new --file job.xml
    """
    spec = _new_spec(context, given)
    if dry_run:
        check_only(app, spec)
        return

    async def work(client: Api) -> job_pb2.Job:
        return await client.jobs.create(spec, request_id=id_text(request_id))

    job = app.call(work)
    if app.as_json:
        app.print_message(job)
    else:
        app.print(job.id)


def _new_spec(context: click.Context, given: dict[str, Any]) -> job_pb2.JobSpec:
    from hpcsched.cli.jobfile import read_job
    from hpcsched.cli.specs import given_options, job_spec

    file = given.pop("file")
    if file is None:
        return job_spec(given_options(given), directory=Path.cwd())
    refuse_spec_options(context, "--file")
    return read_job(file, directory=Path.cwd())


def id_text(request_id: UUID | None) -> str:
    """Return a request id as it travels."""
    return str(request_id) if request_id is not None else ""


def check_only(app: App, *specs: job_pb2.JobSpec, submit: bool = False) -> None:
    """Have the head check jobs; it stores nothing."""
    from hpcsched.cli.jobfile import describe
    from hpcsched.cli.problems import note

    async def work(client: Api) -> None:
        if submit:
            await client.jobs.submit_all(specs, validate_only=True)
            return
        for spec in specs:
            await client.jobs.create(spec, validate_only=True)

    app.call(work)
    for spec in specs:
        if app.as_json:
            app.print_message(spec)
        else:
            note(f"accepted, nothing was changed: {describe(spec)}")


def task_command(
    given: Mapping[str, Any], command: Sequence[str] | None
) -> Sequence[str]:
    """Return the argument vector of a task; empty where it is a shell line.

    Raises:
        click.UsageError: there is no command, or there are two.
    """
    shell = given.get("shell")
    if shell is not None and command:
        raise click.UsageError("give either -- COMMAND or --shell, not both")
    if shell is not None:
        if not shell.strip():
            raise click.UsageError("--shell has no command")
        return ()
    if not command or not command[0]:
        raise click.UsageError("a command is missing: -- COMMAND…, or --shell LINE")
    return command


def check_ranges(given: Mapping[str, Any]) -> None:
    """Refuse ranges that contradict each other.

    Raises:
        click.UsageError: they do.
    """
    ranged = [
        flag
        for flag, name in (("--array", "array"), ("--each-line", "each_line"))
        if given.get(name) is not None
    ]
    if len(ranged) > 1:
        raise click.UsageError("give either --array or --each-line, not both")
    kind = given.get("kind")
    if ranged and kind not in {None, "sweep"}:
        raise click.UsageError(f"{ranged[0]} makes a sweep, not --type {kind}")
    if kind == "sweep" and not ranged:
        raise click.UsageError("a sweep needs --array or --each-line")


@click.command("add", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@options(BOTH, ADD_ONLY, TASK_ONLY, REQUEST_ID)
@pass_app
@click.pass_context
@takes_command
def add(
    context: click.Context, app: App, job: int, request_id: UUID | None, **given: Any
) -> None:
    """Add a task to a job and print the task's id.

    \b
    In a job that was submitted the task is submitted as well.
      hpc job add 42 -- ./simulate --seed 1
      hpc job add 42 --array 1-100%10 --cores 2 -- ./simulate --seed '*'
      hpc job add last --shell 'gzip -9 < in > out'
    """
    command = task_command(given, command_of(context))
    check_ranges(given)
    for unit in ("core", "socket", "node"):
        size = given.get(f"{unit}s")
        if size is not None and 0 in (size.minimum, size.maximum):
            text = f"a task has at least one {unit}: --{unit}s 1 or more"
            raise click.UsageError(text)
    from hpcsched.cli.specs import given_options, task_spec

    spec = task_spec(
        given_options(given), command, directory=Path.cwd(), of_submit=False
    )

    async def work(client: Api) -> tuple[int, int, task_pb2.Task | None]:
        from hpcsched.client.tasks import ref

        job_id = await job_id_of(client, job)
        (task_id,) = await client.tasks.add(
            job_id, [spec], submit=True, request_id=id_text(request_id)
        )
        shown = await client.tasks.get(job_id, ref(task_id)) if app.as_json else None
        return job_id, task_id, shown

    job_id, task_id, shown = app.call(work)
    if shown is not None:
        app.print_message(shown)
    else:
        app.print(f"{job_id}.{task_id}")
