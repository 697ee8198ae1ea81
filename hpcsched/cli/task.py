"""``hpc task``: the verbs of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import COUNT, TASK_STATE
from hpcsched.cli.choosing import StoppedTasksError, act_on_tasks, job_id_of
from hpcsched.cli.job_output import call_interruptibly, copy_output, output_options
from hpcsched.cli.listing import choice_of, listing_options, print_columns
from hpcsched.cli.selectors import JOB, TASK, TASKS
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hpcsched.api.v1 import job_service_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.selectors import TaskName
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api
    from hpcsched.client.pages import Page
    from hpcsched.common.errors import HpcError

    Names = tuple[tuple[TaskName, ...], ...]
    Act = Callable[[Api, int, Sequence[job_service_pb2.TaskRef]], Awaitable[object]]

_HERE: Final = "hpcsched.cli.task"
_VERBS: Final = {
    "list": (_HERE, "list_tasks", "List the tasks of a job."),
    "show": (_HERE, "show", "Show one task or element."),
    "output": (_HERE, "output", "What a task wrote."),
    "cancel": (_HERE, "cancel", "Cancel tasks."),
    "finish": (_HERE, "finish", "End running tasks as Finished."),
    "requeue": (_HERE, "requeue", "Queue tasks again."),
    "conclude": (_HERE, "conclude", "Let services start no more instances."),
    "modify": ("hpcsched.cli.modify", "modify_task", "Change a task's properties."),
    "why": (_HERE, "why", "Why a task waits, or ended so."),
}


@click.command("task", cls=VerbGroup, lazy=_VERBS)
def task() -> None:
    """Tasks of a job: 42.3, and elements of a sweep: 42.3.17."""


@click.command("list", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@click.option(
    "--state",
    "states",
    type=TASK_STATE,
    multiple=True,
    metavar="S…",
    help="Only elements in these states: failed,canceled.",
)
@click.option("--elements", is_flag=True, help="Sweeps element by element.")
@listing_options
@click.option("--limit", type=COUNT, metavar="N", help="At most N.")
@click.option("--page-token", default="", metavar="T", help="Go on where --limit cut.")
@pass_app
def list_tasks(
    app: App,
    job: int,
    *,
    states: tuple[tuple[int, ...], ...],
    elements: bool,
    filters: tuple[str, ...],
    sort: str | None,
    columns: str | None,
    limit: int | None,
    page_token: str,
) -> None:
    """List the tasks of a job; a sweep is one line without --elements.

    \b
      hpc task list 42 --elements --filter 'exit_code>0' --sort=-end_time
    """
    wanted: Any = tuple(state for group in states for state in group)
    choice = choice_of(filters, sort, None if app.quiet else columns)

    async def work(client: Api) -> Page[task_pb2.Task]:
        return await client.tasks.list(
            await job_id_of(client, job),
            states=wanted,
            elements=elements or bool(wanted),
            choice=choice,
            limit=limit,
            page_token=page_token,
        )

    page = app.call(work)
    if columns and not app.quiet:
        fields, token = choice.fields, page.next_page_token
        print_columns(app, "tasks", page.items, fields, token)
    else:
        _print_tasks(app, page.items, page.next_page_token)
    if page.next_page_token and not app.as_json:
        from hpcsched.cli.problems import note

        note(f"more with --page-token {page.next_page_token}")


def _print_tasks(
    app: App, tasks: Sequence[task_pb2.Task], next_page_token: str = ""
) -> None:
    from hpcsched.cli.job_tables import task_name, task_table

    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("tasks", tasks, next_page_token))
    elif app.quiet:
        for one in tasks:
            app.print(task_name(one))
    else:
        app.print_table(task_table(tasks))


_one = click.argument("name", type=TASK, metavar="ID")
_several = click.argument("names", type=TASKS, nargs=-1, required=True, metavar="ID…")
_message = click.option(
    "--message", default="", metavar="TEXT", help="Why; the task's error_message."
)


@click.command("show", cls=Verb)
@_one
@pass_app
def show(app: App, name: TaskName) -> None:
    """Show one task or element, with the beginning of its output."""

    async def work(client: Api) -> task_pb2.Task:
        from hpcsched.client.tasks import ref

        job_id = await job_id_of(client, name.job_id)
        which = ref(name.task_id, name.instance_id)
        return await client.tasks.get(job_id, which, full=True)

    found = app.call(work)
    from hpcsched.cli.job_tables import task_facts, task_name

    if app.as_json:
        app.print_message(found)
    else:
        app.print(task_name(found) if app.quiet else task_facts(found))


@click.command("why", cls=Verb)
@_one
@pass_app
def why(app: App, name: TaskName) -> None:
    """Say why a task waits, or ended as it did."""
    from hpcsched.cli.job_show import print_reasons

    async def work(client: Api) -> job_service_pb2.ExplainJobResponse:
        from hpcsched.client.tasks import ref

        job_id = await job_id_of(client, name.job_id)
        return await client.tasks.explain(job_id, ref(name.task_id, name.instance_id))

    print_reasons(app, app.call(work))


@click.command("output", cls=Verb)
@_one
@output_options
@pass_app
def output(app: App, name: TaskName, *, follow: bool, stderr: bool, offset: int) -> int:
    """Print what a task or element wrote.

    \b
      hpc task output 42.1 --follow
      hpc task output 42.3.17 --stderr --offset -1000
    """

    async def work(client: AsyncClient) -> None:
        from hpcsched.client.tasks import ref

        await copy_output(
            app,
            client,
            await job_id_of(client, name.job_id),
            ref(name.task_id, name.instance_id),
            follow=follow,
            stderr=stderr,
            offset=offset,
        )

    return call_interruptibly(app, work)


def _run(app: App, names: Names, act: Act) -> int:
    """Carry out a verb on tasks; print them as they are after it."""
    given = tuple(name for group in names for name in group)

    async def work(
        client: Api,
    ) -> tuple[Sequence[task_pb2.Task], HpcError | None]:
        from hpcsched.client.tasks import ref

        async def one_job(job_id: int, batch: Sequence[TaskName]) -> object:
            refs = [ref(name.task_id, name.instance_id) for name in batch]
            return await act(client, job_id, refs)

        refusal = None
        try:
            done = await act_on_tasks(client, given, one_job)
        except StoppedTasksError as stop:
            done, refusal = stop.done, stop.refusal
        tasks = [
            await client.tasks.get(name.job_id, ref(name.task_id, name.instance_id))
            for name in dict.fromkeys(done)
        ]
        return tasks, refusal

    done, refusal = app.call(work)
    if app.as_json or app.quiet:
        _print_tasks(app, done)
    else:
        from hpcsched.cli.job_tables import task_name
        from hpcsched.cli.shapes import short, task_state

        for one in done:
            app.print(f"task {task_name(one)} {short(task_state(one.state))}")
    if refusal is not None:
        raise refusal
    return 0


@click.command("cancel", cls=Verb)
@_several
@_message
@click.option("--force", is_flag=True, help="No grace period.")
@pass_app
def cancel(app: App, names: Names, *, message: str, force: bool) -> int:
    """Cancel tasks, in the order given; stop at the first refusal."""
    return _run(
        app,
        names,
        lambda c, job_id, refs: c.tasks.cancel(
            job_id, refs, message=message, force=force
        ),
    )


@click.command("finish", cls=Verb)
@_several
@_message
@pass_app
def finish(app: App, names: Names, *, message: str) -> int:
    """End running tasks as Finished, in the order given; stop at the first refusal."""
    return _run(
        app,
        names,
        lambda c, job_id, refs: c.tasks.finish(job_id, refs, message=message),
    )


@click.command("requeue", cls=Verb)
@_several
@pass_app
def requeue(app: App, names: Names) -> int:
    """Queue tasks again, in the order given; stop at the first refusal."""
    return _run(app, names, lambda c, job_id, refs: c.tasks.requeue(job_id, refs))


@click.command("conclude", cls=Verb)
@_several
@click.option("--cancel", is_flag=True, help="Cancel their instances; they end Failed.")
@pass_app
def conclude(app: App, names: Names, *, cancel: bool) -> int:
    """Let service tasks start no more instances, in the order given.

    A job ends when the instances that there are have ended. To have those that run
    end as Finished: hpc task finish.
    """

    async def act(
        client: Api, job_id: int, refs: Sequence[job_service_pb2.TaskRef]
    ) -> None:
        from hpcsched.common.errors import HpcError

        for done, one in enumerate(refs):
            try:
                await client.tasks.conclude(
                    job_id, one.task_id, cancel_sub_tasks=cancel
                )
            except HpcError as refusal:
                refusal.facts["done"] = str(done)
                raise

    for group in names:
        for name in group:
            if name.instance_id:
                text = f"{name.task_id}.{name.instance_id} is one instance; "
                raise click.UsageError(text + "a service is concluded as a whole")
    return _run(app, names, act)
