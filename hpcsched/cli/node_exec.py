"""``hpc node exec``: the same command on many nodes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from hpcsched.cli.arguments import DURATION, PAIR
from hpcsched.cli.node import nodes_argument
from hpcsched.cli.verbs import Verb, command_of, pass_app, takes_command

if TYPE_CHECKING:
    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.client import AsyncClient


@click.command("exec", cls=Verb)
@nodes_argument
@click.option("--shell", metavar="LINE", help="A shell line in place of -- COMMAND.")
@click.option("--env", type=PAIR, multiple=True, metavar="K=V", help="A variable.")
@click.option("--workdir", default="", metavar="DIR", help="Where it starts (home).")
@click.option("--stdin", default="", metavar="FILE", help="A file on each node.")
@click.option("--runtime", type=DURATION, metavar="DURATION", help="At most so long.")
@click.option("--no-wait", is_flag=True, help="Print the job's id, and go.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels it.")
@click.option("--request-id", type=click.UUID, metavar="UUID", help="Of the call.")
@pass_app
@click.pass_context
@takes_command
def execute(
    context: click.Context,
    app: App,
    nodes: tuple[tuple[str, ...], ...],
    **given: Any,
) -> int:
    """Run a command on nodes at once, outside the queue (administrators).

    \b
    Each line of output comes after the node's name; the job's id goes to stderr.
      hpc node exec all -- uname -r
      hpc node exec 'n[01-16]' --shell 'df -h /scratch | tail -1'

    \b
    Exit status: 0 it ended with 0 everywhere, 10 it failed somewhere,
    11 it was canceled.
    """
    from hpcsched.cli.job_new import task_command

    command = task_command(given, command_of(context))
    job_ids: list[int] = []

    async def work(client: AsyncClient) -> int:
        job = await _start(client, nodes, command, given)
        job_ids.append(job.id)
        if given["no_wait"]:
            if app.as_json:
                app.print_message(job)
            else:
                app.print(job.id)
            return 0
        sys.stderr.write(f"{job.id}\n")
        sys.stderr.flush()
        return await _stay(app, client, job.id)

    try:
        return app.call(work)
    except KeyboardInterrupt:
        from hpcsched.cli.waiting import interrupted

        return interrupted(app, job_ids, cancel=given["cancel_on_interrupt"])


async def _start(
    client: AsyncClient,
    nodes: tuple[tuple[str, ...], ...],
    command: Any,
    given: dict[str, Any],
) -> job_pb2.Job:
    from google.protobuf.duration_pb2 import Duration

    from hpcsched.api.v1 import job_service_pb2
    from hpcsched.cli.job_new import id_text
    from hpcsched.cli.node import names_of

    request = job_service_pb2.CreateCommandRequest(
        nodes=await names_of(client, nodes),
        arguments=command,
        command_line=given["shell"] or "",
        environment=dict(given["env"]),
        work_directory=given["workdir"],
        stdin_path=given["stdin"],
        request_id=id_text(given["request_id"]),
    )
    if given["runtime"] is not None:
        limit = Duration()
        limit.FromMilliseconds(round(given["runtime"] * 1000))
        request.runtime.CopyFrom(limit)
    return await client.jobs.command(request)


async def _stay(app: App, client: AsyncClient, job_id: int) -> int:
    """Show what the nodes write, until all have ended; return the exit status."""
    import asyncio

    from hpcsched.cli.waiting import status_of_jobs

    page = await client.tasks.list(job_id)
    if not app.as_json:
        async with asyncio.TaskGroup() as copies:
            for task in page.items:
                for stderr in (False, True):
                    copies.create_task(_copy(client, task, stderr=stderr))
    job = await client.jobs.wait(job_id)
    if app.as_json:
        from hpcsched.cli.shapes import listing
        from hpcsched.client.tasks import ref

        tasks = [await client.tasks.get(job_id, ref(t.task_id)) for t in page.items]
        app.print_json(listing("tasks", tasks))
    else:
        await _tell_failures(client, job_id)
    return status_of_jobs([job])


async def _copy(client: AsyncClient, task: task_pb2.Task, *, stderr: bool) -> None:
    """Pass on a node's output, line by line, after its name."""
    from hpcsched.client.tasks import ref
    from hpcsched.common.errors import HpcError

    stream = sys.stderr.buffer if stderr else sys.stdout.buffer
    name = (task.nodes[0] if task.nodes else f"task {task.task_id}").encode()
    rest = b""
    try:
        async for piece in client.read_output(
            task.job_id, ref(task.task_id), stderr=stderr, follow=True
        ):
            *lines, rest = (rest + piece.data).split(b"\n")
            for line in lines:
                stream.write(name + b": " + line + b"\n")
            stream.flush()
    except HpcError:
        # It never ran there; how it ended is told at the end.
        pass
    if rest:
        stream.write(name + b": " + rest + b"\n")
        stream.flush()


async def _tell_failures(client: AsyncClient, job_id: int) -> None:
    from hpcsched.api.v1 import task_pb2
    from hpcsched.cli.problems import note

    page = await client.tasks.list(job_id)
    for task in page.items:
        if task.state == task_pb2.Task.STATE_FINISHED:
            continue
        where = task.nodes[0] if task.nodes else f"task {task.task_id}"
        code = f"exit code {task.exit_code}" if task.HasField("exit_code") else ""
        note(f"{where}: {task.error_message or code or 'it did not run'}")
