"""``hpc node exec``: the same command on many nodes."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hpcsched.cli.arguments import DURATION, PAIR
from hpcsched.cli.node import nodes_argument
from hpcsched.cli.verbs import Verb, command_of, pass_app, takes_command

if TYPE_CHECKING:
    from hpcsched.api.v1 import job_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.command_output import CommandOutput
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api
    from hpcsched.client.commands import Follower


@click.command("exec", cls=Verb)
@nodes_argument
@click.option("--shell", metavar="LINE", help="A shell line in place of -- COMMAND.")
@click.option("--env", type=PAIR, multiple=True, metavar="K=V", help="A variable.")
@click.option("--workdir", default="", metavar="DIR", help="Where it starts (home).")
@click.option("--stdin", default="", metavar="FILE", help="A file on each node.")
@click.option("--runtime", type=DURATION, metavar="DURATION", help="At most so long.")
@click.option("--no-prefix", is_flag=True, help="Without the node's name: all bytes.")
@click.option("--no-wait", is_flag=True, help="Print the job's id, and go.")
@click.option("--detach-on-interrupt", is_flag=True, help="Ctrl-C lets it go on.")
@click.option("--cancel-on-interrupt", is_flag=True, hidden=True, expose_value=False)
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
    Each line of output comes after the node's name, as it is written; the job's id
    goes to stderr. Nodes that are Offline run it as well; one that cannot be reached
    is told of at once. Ctrl-C cancels it everywhere, a second one leaves it alone.
      hpc node exec all -- uname -r
      hpc node exec 'n[01-16]' --shell 'df -h /scratch | tail -1'
      hpc node exec group:gpu --json -- nvidia-smi -L

    \b
    With --json a line per event: {"job_id", "node", "stream", "text"} for each line,
    {"job_id", "node", "stream", "eof", "error"} at the end of a stream, {"job_id",
    "node", "task_id", "state", "exit_code", "error_message"} for each state, and
    {"job_id", "job"} at the end.

    \b
    Exit status: 0 it ended with 0 everywhere, 10 it failed somewhere,
    11 it was canceled, 130 Ctrl-C.
    """
    from hpcsched.cli.job_new import task_command

    command = task_command(given, command_of(context))
    known: list[tuple[Follower, CommandOutput]] = []

    async def work(client: AsyncClient) -> int:
        from hpcsched.cli.command_output import CommandOutput

        job = await _start(client, nodes, command, given)
        if given["no_wait"]:
            if app.as_json:
                app.print_message(job)
            else:
                app.print(job.id)
            return 0
        sys.stderr.write(f"{job.id}\n")
        sys.stderr.flush()
        output = CommandOutput(app, job.id, prefix=not given["no_prefix"])
        known.append((client.follow_command(job.id), output))
        return await _stay(*known[0])

    try:
        return app.follow(work)
    except KeyboardInterrupt:
        return _interrupted(app, known, cancel=not given["detach_on_interrupt"])


async def _start(
    client: Api,
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


async def _stay(follower: Follower, output: CommandOutput) -> int:
    """Show what the nodes write, until all have ended; return the exit status."""
    from hpcsched.cli.problems import note
    from hpcsched.cli.waiting import status_of_jobs

    async for message in follower.follow():
        output.show(message)
        if message.HasField("job"):
            for node, problem in sorted(output.failed.items()):
                note(f"{node}: {problem}")
            return status_of_jobs([message.job])
    raise AssertionError("a command that is followed has an end")


def _interrupted(
    app: App, known: list[tuple[Follower, CommandOutput]], *, cancel: bool
) -> int:
    """Answer Ctrl-C: cancel the command and see it end, or leave it alone."""
    from hpcsched.cli.problems import INTERRUPTED, note

    if not known:
        return INTERRUPTED
    follower, output = known[0]
    job_id = follower.job_id
    if not cancel:
        note(f"detached; job {job_id} goes on")
        return INTERRUPTED
    note(f"canceling job {job_id}; Ctrl-C again does not wait for its end")

    async def work(client: AsyncClient) -> None:
        from hpcsched.common.errors import HpcError

        with suppress(HpcError):  # it may have ended already
            await client.jobs.cancel([job_id], message="Ctrl-C")
        follower.connection = client.connection
        await _stay(follower, output)

    with suppress(KeyboardInterrupt):
        app.follow(work)
    return INTERRUPTED
