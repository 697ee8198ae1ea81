"""``hpc job output`` and ``hpc task output``: what tasks wrote."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hpcsched.cli.arguments import OFFSET
from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.selectors import JOB
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.api.v1 import job_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.client import AsyncClient

F = TypeVar("F", bound="Callable[..., Any]")

#: In the output of a whole job these leave a task out.
_SKIPPED: Final = frozenset({"OUTPUT_NOT_YET"})

#: These are told when the output of the other tasks has been printed.
_TOLD_LAST: Final = frozenset({"OUTPUT_GONE", "OUTPUT_IN_FILE", "NODE_UNREACHABLE"})


def output_options(function: F) -> F:
    """Give a verb ``--follow``, ``--stderr`` and ``--offset``."""
    for decorate in (
        click.option(
            "--offset",
            type=OFFSET,
            default=0,
            metavar="BYTES",
            help="First byte; a negative one counts from the end.",
        ),
        click.option("--stderr", is_flag=True, help="Standard error."),
        click.option("--follow", "-f", is_flag=True, help="Until it has ended."),
    ):
        function = decorate(function)
    return function


@click.command("output", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@output_options
@pass_app
def output(app: App, job: int, *, follow: bool, stderr: bool, offset: int) -> int:
    """Print what the tasks of a job wrote, task after task."""

    async def work(client: AsyncClient) -> None:
        from hpcsched.api.v1 import task_pb2
        from hpcsched.cli.problems import note
        from hpcsched.client.tasks import ref
        from hpcsched.common.errors import HpcError

        helpers = {task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE}
        job_id = await job_id_of(client, job)
        page = await client.tasks.list(job_id, elements=True)
        shown = [task for task in page.items if task.type not in helpers]
        refusals: list[HpcError] = []
        for task in shown:
            try:
                await copy_output(
                    app,
                    client,
                    job_id,
                    ref(task.task_id, task.instance_id),
                    follow=follow,
                    stderr=stderr,
                    offset=offset,
                )
            except HpcError as refusal:
                if refusal.reason in _TOLD_LAST:
                    refusals.append(refusal)
                elif len(shown) == 1 or refusal.reason not in _SKIPPED:
                    raise
        for earlier in refusals[:-1]:
            note(str(earlier))
        if refusals:
            raise refusals[-1]

    return call_interruptibly(app, work)


def call_interruptibly(app: App, work: Callable[[AsyncClient], Any]) -> int:
    """Do the work; Ctrl-C only ends the looking on."""
    from hpcsched.cli.problems import DONE, INTERRUPTED

    try:
        app.follow(work)
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


async def copy_output(
    app: App,
    client: AsyncClient,
    job_id: int,
    task: job_service_pb2.TaskRef,
    *,
    follow: bool,
    stderr: bool,
    offset: int,
) -> None:
    """Write a task's output to stdout: its bytes, or pieces as JSON Lines."""
    async for piece in client.read_output(
        job_id, task, stderr=stderr, offset=offset, follow=follow
    ):
        if app.as_json:
            from hpcsched.cli.shapes import to_dict

            names = {"job_id": job_id, **to_dict(task)}
            app.print(json.dumps({**names, **to_dict(piece)}))
        elif piece.data:
            sys.stdout.buffer.write(piece.data)
            sys.stdout.buffer.flush()
