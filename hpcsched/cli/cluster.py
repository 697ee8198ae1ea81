"""``hpc cluster``: the cluster as a whole."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import AGE, LIST, PAIR
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.api.v1 import accounting_service_pb2, cluster_service_pb2, job_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

_HERE: Final = "hpcsched.cli.cluster"

#: A head whose loop was later than this in the last minute has too much to do.
LATE_MS: Final = 1000

_VERBS: Final = {
    "info": (_HERE, "info", "What the cluster is, and who I am."),
    "usage": (_HERE, "usage", "Who uses how much."),
    "history": ("hpcsched.cli.accounting", "job_ends", "How jobs ended."),
    "get": (_HERE, "get", "Show cluster parameters."),
    "set": (_HERE, "set_", "Set cluster parameters."),
    "env": (_HERE, "env", "Environment variables of every task."),
    "doctor": ("hpcsched.cli.doctor", "doctor", "What is wrong, and what to do."),
    "backup": ("hpcsched.cli.backup", "backup", "Back up the head's store."),
    "restore": ("hpcsched.cli.backup", "restore", "Put a backup in its place."),
}


@click.command("cluster", cls=VerbGroup, lazy=_VERBS)
def cluster() -> None:
    """The cluster, its use and its parameters."""


@click.command("info", cls=Verb)
@pass_app
def info(app: App) -> None:
    """Show name, version and totals of the cluster, and who the caller is."""

    async def work(
        client: Api,
    ) -> cluster_service_pb2.GetClusterInfoResponse:
        return await client.cluster.info()

    found = app.call(work)
    if app.as_json:
        app.print_message(found)
        return
    if app.quiet:
        app.print(found.name)
        return
    from hpcsched.cli.shapes import role_text
    from hpcsched.cli.tables import facts
    from hpcsched.cli.times import shown

    role = role_text(found.role)
    jobs = _counts(found.job_counts)
    nodes = (
        f"{found.nodes_total}: {found.nodes_ready} ready, "
        f"{found.nodes_offline} offline, {found.nodes_draining} draining, "
        f"{found.nodes_unreachable} not reachable"
    )
    app.print(
        facts(
            (
                ("Cluster", found.name),
                ("Version", found.version),
                ("Head", found.head),
                ("You", f"{found.user} ({role})"),
                ("Since", shown(found, "start_time")),
                ("Nodes", nodes),
                ("Cores", f"{found.cores_busy} of {found.cores_total} in use"),
                ("Jobs", jobs or "none"),
                ("Tasks", _counts(found.task_counts) or "none"),
                *(
                    [("Restore mode", "nothing is started")]
                    if found.restore_mode
                    else []
                ),
                *(
                    [("Set aside", f"{aside} after a fault: hpc job list --json")]
                    if (aside := found.jobs_set_aside)
                    else []
                ),
                *(
                    [("Head is late", f"by up to {lag / 1000:.1f} s in a minute")]
                    if (lag := found.loop_lag_ms) >= LATE_MS
                    else []
                ),
                *(("Alarm", text) for text in found.alarms),
                *([("Disk", found.disk_problem)] if found.disk_problem else []),
                *([("Safe mode", found.safe_mode)] if found.safe_mode else []),
            )
        )
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items()) if n)


@click.command("usage", cls=Verb)
@click.option("--since", type=AGE, metavar="DURATION", help="What was used (30d).")
@click.option("--by", type=LIST, metavar="LIST", help="Of day,owner,project (owner).")
@click.option("--owner", default="", metavar="U", help="Only jobs of U.")
@click.option("--project", default="", metavar="P", help="Only jobs of project P.")
@pass_app
def usage(
    app: App,
    *,
    since: float | None,
    by: tuple[str, ...] | None,
    owner: str,
    project: str,
) -> None:
    """Show who holds how many cores, and what waits; with options what was used.

    \b
    Days are those of UTC; jobs that still run count up to now.
      hpc cluster usage --since 30d
      hpc cluster usage --since 7d --by day,project --owner ada
    """
    if since is not None or by or owner or project:
        _used(app, since, by or ("owner",), owner, project)
        return

    async def work(client: Api) -> tuple[Any, Sequence[job_pb2.Job]]:
        from hpcsched.cli.choosing import as_job_states
        from hpcsched.cli.job_list import ACTIVE

        page = await client.jobs.list(states=as_job_states(ACTIVE))
        return await client.cluster.info(), page.items

    found, jobs = app.call(work)
    owners = _by_owner(jobs)
    if app.as_json:
        totals = {"cores_total": found.cores_total, "cores_busy": found.cores_busy}
        listed = [{"owner": owner, **counts} for owner, counts in owners.items()]
        app.print_json({**totals, "owners": listed})
        return
    from hpcsched.cli.tables import Table

    if app.quiet:
        for one in owners:
            app.print(one)
        return
    table = Table(
        columns=("OWNER", "JOBS", "RUNNING", "CORES", "TASKS-RUNNING", "TASKS-QUEUED"),
        numbers=frozenset({1, 2, 3, 4, 5}),
    )
    for one, counts in owners.items():
        table.add(one, *counts.values())
    app.print_table(table)
    app.print(f"{found.cores_busy} of {found.cores_total} cores in use")


def _used(
    app: App, since: float | None, by: tuple[str, ...], owner: str, project: str
) -> None:
    from hpcsched.cli.accounting import print_usage

    async def work(
        client: Api,
    ) -> Sequence[accounting_service_pb2.Usage]:
        first = ""
        if since is not None:
            moment = client.caller.clock.wall() - since
            first = datetime.fromtimestamp(moment, UTC).date().isoformat()
        return await client.accounting.usage(
            first_day=first, owner=owner, project=project, by=by
        )

    order = [name for name in ("day", "owner", "project") if name in by]
    print_usage(app, app.call(work), order)


def _by_owner(jobs: Iterable[job_pb2.Job]) -> Mapping[str, Mapping[str, int]]:
    """Return the sums of each owner's active jobs, the largest user first."""
    sums: dict[str, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(
            ("jobs", "jobs_running", "cores", "tasks_running", "tasks_queued"), 0
        )
    )
    for job in jobs:
        mine = sums[job.owner]
        mine["jobs"] += 1
        mine["jobs_running"] += job.state == job.STATE_RUNNING
        mine["cores"] += job.allocated_cores
        mine["tasks_running"] += job.task_counts.running
        mine["tasks_queued"] += job.task_counts.queued + job.task_counts.dispatching
    order = sorted(sums, key=lambda owner: (-sums[owner]["cores"], owner))
    return {owner: sums[owner] for owner in order}


@click.command("get", cls=Verb)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@pass_app
def get(app: App, names: tuple[str, ...]) -> None:
    """Show cluster parameters by their reference names; without NAME all of them."""

    async def work(client: Api) -> Sequence[cluster_service_pb2.Parameter]:
        return await client.cluster.parameters(names)

    _print_parameters(app, app.call(work), details=not names)


@click.command("set", cls=Verb)
@click.argument("values", type=PAIR, nargs=-1, required=True, metavar="NAME=VALUE…")
@pass_app
def set_(app: App, values: tuple[tuple[str, str], ...]) -> None:
    """Set cluster parameters, all or none (administrators).

    \b
    Values are the reference's own text, where seconds and days are bare
    numbers; an empty value restores the default. Any other name defines a
    parameter of your own, which an empty value deletes.
      hpc cluster set TaskCancelGracePeriod=30 JobRetryCount=5
    """

    async def work(client: Api) -> Sequence[cluster_service_pb2.Parameter]:
        return await client.cluster.set_parameters(dict(values))

    found = app.call(work)
    _print_parameters(app, found, details=False)
    own = [one.name for one in found if one.user_defined]
    if own:
        from hpcsched.cli.problems import note

        note(f"of your own, nothing to the scheduler: {', '.join(own)}")


@click.command("env", cls=Verb)
@click.argument("values", type=PAIR, nargs=-1, metavar="[NAME=VALUE…]")
@pass_app
def env(app: App, values: tuple[tuple[str, str], ...]) -> None:
    """Show the variables that every task gets, or set some (administrators).

    \b
    Those of a job and of a task replace them; an empty one of a job removes
    them for it. An empty value deletes. Names that the scheduler provides
    (CCP_…) are ignored.
      hpc cluster env LICENSE_SERVER=27000@lic1 OLD=
    """

    async def work(client: Api) -> Mapping[str, str]:
        if not values:
            return await client.cluster.variables()
        return await client.cluster.set_variables(dict(values))

    found = dict(sorted(app.call(work).items()))
    if app.as_json:
        app.print_json({"variables": found})
        return
    for name, value in found.items():
        app.print(name if app.quiet else f"{name}={value}")


def _print_parameters(
    app: App,
    parameters: Sequence[cluster_service_pb2.Parameter],
    *,
    details: bool,
) -> None:
    import sys

    from hpcsched.cli.shapes import to_dict
    from hpcsched.cli.tables import Table

    if app.as_json:
        app.print_json({"parameters": [to_dict(one) for one in parameters]})
    elif app.quiet:
        for one in parameters:
            app.print(one.name)
    elif details and sys.stdout.isatty():
        table = Table(columns=("NAME", "VALUE", "DEFAULT", "MEANING"))
        for one in parameters:
            table.add(one.name, one.value, one.default_value, one.description)
        app.print_table(table)
    else:
        for one in parameters:
            app.print(f"{one.name}={one.value}")
