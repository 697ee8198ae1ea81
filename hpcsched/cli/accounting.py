"""What was used, by whom, when: ends of jobs, allocations, node events, core-hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import AGE, COUNT, NODES, joined
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import accounting_service_pb2 as pb
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api
    from hpcsched.client.pages import Page

CORE_HOUR_MS: Final = 3_600_000
DAY_S: Final = 86400


@click.command("history", cls=Verb)
@click.option("--owner", default="", metavar="U", help="Only jobs of U.")
@click.option("--since", type=AGE, metavar="DURATION", help="Not older (1d).")
@click.option("--limit", type=COUNT, metavar="N", help="At most N.")
@click.option("--page-token", default="", metavar="T", help="Where to go on.")
@pass_app
def job_ends(
    app: App, *, owner: str, since: float | None, limit: int | None, page_token: str
) -> None:
    """List how jobs ended, deleted ones too: a line for each end of a job.

    \b
    A job that was queued again has a line for each of its ends.
      hpc cluster history --since 7d --owner ada
    """

    async def work(client: Api) -> Page[pb.JobHistory]:
        after = client.caller.clock.wall() - (DAY_S if since is None else since)
        return await client.accounting.job_history(
            owner=owner, since=after, limit=limit, page_token=page_token
        )

    print_ends(app, app.call(work))


def print_ends(app: App, page: Page[pb.JobHistory]) -> None:
    """Print how jobs ended."""
    if _machine(app, "history", page, lambda row: row.job_id):
        return
    from hpcsched.cli.shapes import job_state, short
    from hpcsched.cli.tables import Table
    from hpcsched.cli.times import shown

    columns = ("JOB", "REQUEUE", "NAME", "OWNER", "STATE", "ENDED", "CORE-HOURS")
    table = Table(columns=(*columns, "CPU-HOURS"), numbers=frozenset({0, 1, 6, 7}))
    for row in page.items:
        table.add(
            row.job_id,
            row.requeue_id,
            row.name,
            row.owner,
            short(job_state(row.state)),
            shown(row, "event_time"),
            _hours(row.core_ms),
            _hours(row.user_cpu_ms + row.kernel_cpu_ms),
        )
    _finish(app, table, page)


def print_allocations(app: App, page: Page[pb.Allocation]) -> None:
    """Print who held which cores."""
    if _machine(app, "allocations", page, lambda row: row.id):
        return
    from hpcsched.cli.tables import Table
    from hpcsched.cli.times import shown

    columns = ("JOB", "REQUEUE", "NODE", "CORES", "SINCE", "UNTIL")
    table = Table(columns=columns, numbers=frozenset({0, 1}))
    for row in page.items:
        until = shown(row, "end_time") or "now"
        start = shown(row, "start_time")
        table.add(row.job_id, row.requeue_id, row.node, row.cores, start, until)
    _finish(app, table, page)


async def ends_of(client: Api, job_id: int) -> Page[pb.JobHistory]:
    """Return how a job has ended so far."""
    return await client.accounting.job_history(job_id=job_id)


async def allocations_of(client: Api, job_id: int) -> Page[pb.Allocation]:
    """Return what a job held, and what it holds now."""
    from hpcsched.client.pages import Page

    past = await client.accounting.allocations(job_id=job_id)
    now = await client.accounting.allocations(job_id=job_id, held=True)
    return Page(items=[*past.items, *now.items])


@click.command("history", cls=Verb)
@click.argument("nodes", type=NODES, nargs=-1, metavar="[NODES…]")
@click.option("--since", type=AGE, metavar="DURATION", help="Not older (1d).")
@pass_app
def node_history(
    app: App, nodes: tuple[tuple[str, ...], ...], *, since: float | None
) -> None:
    """List what happened to nodes: joined, online, drained, out of reach."""
    names = joined(nodes)

    async def work(client: Api) -> Sequence[pb.NodeHistory]:
        after = client.caller.clock.wall() - (DAY_S if since is None else since)
        found: list[pb.NodeHistory] = []
        for name in names or ("",):
            page = await client.accounting.node_history(node=name, since=after)
            found += page.items
        return sorted(found, key=lambda row: row.id)

    rows = app.call(work)
    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("history", rows))
        return
    if app.quiet:
        for row in rows:
            app.print(row.id)
        return
    from hpcsched.cli.tables import Table
    from hpcsched.cli.times import shown

    table = Table(columns=("TIME", "NODE", "EVENT", "REASON"))
    for row in rows:
        table.add(shown(row, "time"), row.node, _event(row.event), row.message)
    app.print_table(table)


def _event(number: int) -> str:
    from hpcsched.api.v1 import accounting_service_pb2 as pb

    if number not in pb.NodeEvent.values():
        return str(number)
    name = pb.NodeEvent.Name(pb.NodeEvent.ValueType(number))
    return name.removeprefix("NODE_EVENT_").capitalize()


def print_usage(app: App, rows: Sequence[pb.Usage], by: Sequence[str]) -> None:
    """Print sums of use, told apart by some of day, owner and project."""
    if app.as_json:
        from hpcsched.cli.shapes import to_dict

        app.print_json({"usage": [to_dict(row) for row in rows]})
        return
    if app.quiet:
        for row in rows:
            app.print(" ".join(getattr(row, name) for name in by))
        return
    from hpcsched.cli.tables import Table

    heads = tuple(name.upper() for name in by)
    columns = (*heads, "CORE-HOURS", "CPU-HOURS", "FINISHED", "FAILED", "CANCELED")
    numbers = frozenset(range(len(heads), len(columns)))
    table = Table(columns=columns, numbers=numbers)
    for row in rows:
        table.add(
            *(getattr(row, name) for name in by),
            _hours(row.core_ms),
            _hours(row.user_cpu_ms + row.kernel_cpu_ms),
            row.jobs_finished,
            row.jobs_failed,
            row.jobs_canceled,
        )
    app.print_table(table)


def _hours(milliseconds: int) -> str:
    return f"{milliseconds / CORE_HOUR_MS:.2f}"


def _machine(app: App, name: str, page: Page[Any], key: Any) -> bool:
    """Print a page for programs, if that was asked for."""
    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing(name, page.items, page.next_page_token))
    elif app.quiet:
        for row in page.items:
            app.print(key(row))
    return app.as_json or app.quiet


def _finish(app: App, table: Any, page: Page[Any]) -> None:
    app.print_table(table)
    if page.next_page_token:
        from hpcsched.cli.problems import note

        note(f"more with --page-token {page.next_page_token}")
