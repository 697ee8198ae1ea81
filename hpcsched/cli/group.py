"""``hpc group``: groups of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.arguments import NODES_OR_GROUP
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import node_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.node import Names
    from hpcsched.client.api import Api

_HERE: Final = "hpcsched.cli.group"
_VERBS: Final = {
    "list": (_HERE, "list_groups", "List node groups."),
    "show": (_HERE, "show", "Show node groups with their nodes."),
    "create": (_HERE, "create", "Make a node group."),
    "describe": (_HERE, "describe", "Change what is said about a group."),
    "delete": (_HERE, "delete", "Delete node groups; their nodes stay."),
    "add": (_HERE, "add", "Put nodes into a group."),
    "remove": (_HERE, "remove", "Take nodes out of a group."),
}

_name = click.argument("name", metavar="GROUP")
_names = click.argument("names", nargs=-1, required=True, metavar="GROUP…")
_nodes = click.argument(
    "nodes", type=NODES_OR_GROUP, nargs=-1, required=True, metavar="NODES…"
)


@click.command("group", cls=VerbGroup, lazy=_VERBS)
def group() -> None:
    """Node groups: jobs name them with --group, nodes are chosen by group:NAME.

    A node may declare groups in its own configuration; what administrators say
    about a node and a group counts more. Every node is in ComputeNodes.
    """


def _print(app: App, groups: Sequence[node_pb2.NodeGroup], *, single: bool) -> None:
    if app.quiet:
        for one in groups:
            app.print(one.name)
    elif app.as_json and single:
        app.print_message(groups[0])
    elif app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("groups", groups))
    else:
        from hpcsched.cli.node_tables import group_facts

        app.print("\n\n".join(group_facts(one) for one in groups))


@click.command("list", cls=Verb)
@pass_app
def list_groups(app: App) -> None:
    """List node groups."""
    groups = app.call(lambda client: client.groups.list())
    if app.as_json or app.quiet:
        _print(app, groups, single=False)
        return
    from hpcsched.cli.node_tables import group_table

    app.print_table(group_table(groups))


@click.command("show", cls=Verb)
@_names
@pass_app
def show(app: App, names: tuple[str, ...]) -> None:
    """Show node groups with their nodes."""

    async def work(client: Api) -> Sequence[node_pb2.NodeGroup]:
        return [await client.groups.get(name) for name in dict.fromkeys(names)]

    found = app.call(work)
    _print(app, found, single=len(found) == 1)


@click.command("create", cls=Verb)
@_name
@click.argument("nodes", type=NODES_OR_GROUP, nargs=-1, metavar="[NODES…]")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@pass_app
def create(app: App, name: str, nodes: Names, *, description: str) -> None:
    """Make a node group, with nodes in it if any are given (administrators).

    \b
      hpc group create gpu n[01-04] --description "two A100 each"
    """

    async def work(client: Api) -> node_pb2.NodeGroup:
        from hpcsched.cli.node import names_of

        members = await names_of(client, nodes)
        return await client.groups.create(name, description=description, nodes=members)

    _print(app, [app.call(work)], single=True)


@click.command("describe", cls=Verb)
@_name
@click.argument("description", metavar="TEXT")
@pass_app
def describe(app: App, name: str, description: str) -> None:
    """Change what is said about a node group (administrators)."""
    changed = app.call(lambda client: client.groups.describe(name, description))
    _print(app, [changed], single=True)


@click.command("delete", cls=Verb)
@_names
@pass_app
def delete(app: App, names: tuple[str, ...]) -> None:
    """Delete node groups (administrators); their nodes stay.

    Jobs that name one wait until there is a group of that name again. Stops at the
    first refusal and keeps what was done.
    """

    async def work(client: Api) -> None:
        for name in dict.fromkeys(names):
            await client.groups.delete(name)
            if not app.as_json:
                app.print(name if app.quiet else f"group {name} deleted")

    app.call(work)


@click.command("add", cls=Verb)
@_name
@_nodes
@pass_app
def add(app: App, name: str, nodes: Names) -> None:
    """Put nodes into a group, all or none (administrators)."""

    async def work(client: Api) -> node_pb2.NodeGroup:
        from hpcsched.cli.node import names_of

        return await client.groups.add(name, await names_of(client, nodes))

    _print(app, [app.call(work)], single=True)


@click.command("remove", cls=Verb)
@_name
@_nodes
@pass_app
def remove(app: App, name: str, nodes: Names) -> None:
    """Take nodes out of a group, all or none (administrators).

    Tasks of jobs that may use them no more are stopped, and queued again if they
    are rerunnable.
    """

    async def work(client: Api) -> node_pb2.NodeGroup:
        from hpcsched.cli.node import names_of

        return await client.groups.remove(name, await names_of(client, nodes))

    _print(app, [app.call(work)], single=True)
