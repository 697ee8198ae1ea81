"""``hpc job show`` and ``why``: looking at one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.lines import one_line
from hpcsched.cli.selectors import JOB
from hpcsched.cli.verbs import Verb, pass_app
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from hpcsched.api.v1 import job_pb2, job_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api


@click.command("show", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@click.option("--xml", "as_xml", is_flag=True, help="As a job file, in XML.")
@pass_app
def show(app: App, job: int, *, as_xml: bool) -> None:
    """Show one job, with what was asked for."""
    if as_xml:
        from hpcsched.cli.job_export import exported

        app.print(exported(app, job, "xml").removesuffix("\n"))
        return

    async def work(client: Api) -> job_pb2.Job:
        job_id = await job_id_of(client, job)
        try:
            return await client.jobs.get(job_id, full=True)
        except HpcError as refusal:
            if refusal.reason != "PERMISSION_DENIED":
                raise
        return await client.jobs.get(job_id)  # another's: what everybody may see

    found = app.call(work)
    if app.as_json:
        app.print_message(found)
    elif app.quiet:
        app.print(found.id)
    else:
        from hpcsched.cli.job_tables import job_facts

        app.print(job_facts(found))


@click.command("why", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@pass_app
def why(app: App, job: int) -> None:
    """Say why a job waits, or ended as it did."""

    async def work(client: Api) -> job_service_pb2.ExplainJobResponse:
        return await client.tasks.explain(await job_id_of(client, job))

    print_reasons(app, app.call(work))


def print_reasons(app: App, answer: job_service_pb2.ExplainJobResponse) -> None:
    """Print the reasons of a job or task, the most important first."""
    if app.as_json:
        app.print_message(answer)
        return
    for line in answer.reasons:
        app.print(one_line(line))
    if not answer.reasons:
        app.print(answer.pending_reason or "None")
