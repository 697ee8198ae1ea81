"""``hpc events``: what happens in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpcsched.cli.job_watch import print_stream
from hpcsched.cli.selectors import JOB
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from hpcsched.cli.app import App
    from hpcsched.client import AsyncClient


@click.command("events", cls=Verb)
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens.")
@click.option(
    "--after", default="0", metavar="CURSOR", help="What came after (the oldest)."
)
@click.option(
    "--job", "jobs", type=JOB, multiple=True, metavar="ID", help="Only of this job."
)
@pass_app
def events(app: App, *, follow: bool, after: str, jobs: tuple[int, ...]) -> int:
    """Print what happened, from the oldest event on; with --follow what happens.

    \b
    With --json one event per line. After a break, its own or that of a program
    that reads it, go on behind the last cursor:
      hpc events --follow --json --after "$cursor"
    """

    async def work(client: AsyncClient) -> None:
        from hpcsched.api.v1 import watch_service_pb2
        from hpcsched.cli.choosing import job_id_of

        job_ids = [await job_id_of(client, job) for job in jobs]
        for job_id in job_ids:
            await client.jobs.get(job_id)  # one that is not there is refused
        filter_ = watch_service_pb2.WatchFilter(job_ids=job_ids, nodes=not job_ids)
        async for message in client.watch(
            after=after, filter_=filter_, backlog_only=not follow
        ):
            print_stream(app, message)

    try:
        app.follow(work)
    except KeyboardInterrupt:
        from hpcsched.cli.problems import INTERRUPTED

        return INTERRUPTED
    return 0


@click.command("watch", cls=Verb)
@pass_app
def watch_nodes(app: App) -> int:
    """Print what happens to nodes and node groups, until Ctrl-C."""

    async def work(client: AsyncClient) -> None:
        from hpcsched.api.v1 import watch_service_pb2

        filter_ = watch_service_pb2.WatchFilter(only_nodes=True)
        async for message in client.watch(filter_=filter_):
            print_stream(app, message)

    try:
        app.follow(work)
    except KeyboardInterrupt:
        from hpcsched.cli.problems import INTERRUPTED

        return INTERRUPTED
    return 0
