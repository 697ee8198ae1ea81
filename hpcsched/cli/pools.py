"""``hpc pool``: what is guaranteed to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.arguments import WHOLE
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import pool_service_pb2 as pb
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

_HERE: Final = "hpcsched.cli.pools"
_VERBS: Final = {
    "list": (_HERE, "list_pools", "List pools."),
    "show": (_HERE, "show", "Show a pool."),
    "create": (_HERE, "create", "Make a pool."),
    "set": (_HERE, "set_", "Change the weight of a pool."),
    "delete": (_HERE, "delete", "Delete a pool."),
}


@click.command("pool", cls=VerbGroup, lazy=_VERBS)
def pool() -> None:
    """Pools: parts of the cluster that are guaranteed to groups of jobs.

    \b
    They count while EnablePools is True; a job's pool comes from its template.
    """


@click.command("list", cls=Verb)
@pass_app
def list_pools(app: App) -> None:
    """List pools with their guarantees and what their jobs hold."""

    async def work(client: Api) -> Sequence[pb.Pool]:
        return await client.pools.list()

    found = app.call(work)
    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("pools", found))
        return
    if app.quiet:
        for one in found:
            app.print(one.name)
        return
    from hpcsched.cli.tables import Table

    columns = ("NAME", "WEIGHT", "GUARANTEE", "HELD", "JOBS")
    table = Table(columns, numbers=frozenset({1, 2, 3, 4}))
    for one in found:
        held = one.current_allocation
        table.add(one.name, one.weight, one.guarantee, held, one.jobs)
    app.print_table(table)


@click.command("show", cls=Verb)
@click.argument("name")
@pass_app
def show(app: App, *, name: str) -> None:
    """Show a pool."""

    async def work(client: Api) -> pb.Pool:
        return await client.pools.get(name)

    _tell(app, app.call(work))


@click.command("create", cls=Verb)
@click.argument("name")
@click.option(
    "--weight",
    type=WHOLE,
    default=0,
    metavar="N",
    help="Its part of the cluster among all weights (0: what others leave).",
)
@pass_app
def create(app: App, *, name: str, weight: int) -> None:
    """Make a pool (administrators)."""

    async def work(client: Api) -> pb.Pool:
        return await client.pools.create(name, weight)

    _tell(app, app.call(work))


@click.command("set", cls=Verb)
@click.argument("name")
@click.option(
    "--weight", type=WHOLE, required=True, metavar="N", help="Its new weight."
)
@pass_app
def set_(app: App, *, name: str, weight: int) -> None:
    """Change the weight of a pool (administrators)."""

    async def work(client: Api) -> pb.Pool:
        return await client.pools.set(name, weight)

    _tell(app, app.call(work))


@click.command("delete", cls=Verb)
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="Even if it is in use: what uses it is in the Default pool then.",
)
@pass_app
def delete(app: App, *, name: str, force: bool) -> None:
    """Delete a pool (administrators). The Default pool stays."""

    async def work(client: Api) -> None:
        await client.pools.delete(name, force=force)

    app.call(work)
    if app.as_json:
        app.print_json({"name": name})
    elif not app.quiet:
        app.print(f"pool {name} deleted")


def _tell(app: App, one: pb.Pool) -> None:
    if app.as_json:
        app.print_message(one)
        return
    if app.quiet:
        app.print(one.name)
        return
    from hpcsched.cli.tables import facts

    app.print(
        facts(
            (
                ("Pool", one.name),
                ("Weight", str(one.weight)),
                ("Guarantee", f"{one.guarantee} cores"),
                ("Held", f"{one.current_allocation} cores"),
                ("Jobs", str(one.jobs)),
            )
        )
    )
