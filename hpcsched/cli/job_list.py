"""``hpc job list``: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import click

from hpcsched.cli.arguments import AGE, COUNT, JOB_STATE, JOB_STATES
from hpcsched.cli.listing import choice_of, listing_options, print_columns
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import job_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api
    from hpcsched.client.pages import Page

_ENDED: Final = ("finished", "failed", "canceled")

#: What ``list`` shows when no state is asked for.
ACTIVE: Final = tuple(
    number for number, name in enumerate(JOB_STATES, start=1) if name not in _ENDED
)


@click.command("list", cls=Verb)
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@click.option(
    "--state",
    "states",
    type=JOB_STATE,
    multiple=True,
    metavar="S…",
    help="Only in these states: queued,running.",
)
@click.option("--owner", metavar="U|all", help="Another's, or everybody's.")
@click.option("--since", type=AGE, metavar="DURATION", help="Submitted not longer ago.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="K=V",
    help="Only with this label (custom property); all of several.",
)
@listing_options
@click.option("--limit", type=COUNT, metavar="N", help="At most N.")
@click.option("--page-token", default="", metavar="T", help="Go on where --limit cut.")
@pass_app
def list_jobs(
    app: App,
    *,
    everything: bool,
    states: tuple[tuple[int, ...], ...],
    owner: str | None,
    since: float | None,
    labels: tuple[str, ...],
    filters: tuple[str, ...],
    sort: str | None,
    columns: str | None,
    limit: int | None,
    page_token: str,
) -> None:
    """List jobs, the newest first: by default my active ones.

    \b
      hpc job list --all --since 1d
      hpc job list --state failed,canceled --owner all
      hpc job list --filter 'priority>=3000' --filter name^=run --sort=-priority
      hpc job list --label run=7 --columns id,state,task_counts.failed
      hpc job list --json | jq '.jobs[].id'
    """
    wanted = tuple(state for group in states for state in group)
    if not wanted and not everything:
        wanted = ACTIVE
    choice = choice_of(filters, sort, None if app.quiet else columns)
    wanted_labels = dict(_label(text) for text in labels)

    async def work(client: Api) -> Page[job_pb2.Job]:
        after = None
        if since is not None:
            after = client.caller.clock.wall() - since
        return await client.jobs.list(
            states=cast("Sequence[job_pb2.Job.State.ValueType]", wanted),
            owner="" if owner is None or owner == "all" else owner,
            mine=owner is None,
            since=after,
            labels=wanted_labels,
            choice=choice,
            limit=limit,
            page_token=page_token,
        )

    page = app.call(work)
    if columns and not app.quiet:
        fields, token = choice.fields, page.next_page_token
        print_columns(app, "jobs", page.items, fields, token)
    elif app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("jobs", page.items, page.next_page_token))
    elif app.quiet:
        for job in page.items:
            app.print(job.id)
    else:
        from hpcsched.cli.job_tables import job_table

        app.print_table(job_table(page.items))
    if page.next_page_token and not (app.as_json or app.quiet):
        from hpcsched.cli.problems import note

        note(f"more with --page-token {page.next_page_token}")


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise click.UsageError(f"{text!r} is not NAME=VALUE (--label)")
    return name, value
