"""``hpc node``: the verbs of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import NODES, joined
from hpcsched.cli.listing import choice_of, listing_options, print_columns
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hpcsched.api.v1 import node_pb2
    from hpcsched.cli.app import App
    from hpcsched.client import AsyncClient

    Names = tuple[tuple[str, ...], ...]

_HERE: Final = "hpcsched.cli.node"
_VERBS: Final = {
    "list": (_HERE, "list_nodes", "List nodes."),
    "show": (_HERE, "show", "Show nodes."),
    "why": (_HERE, "why", "Why a node takes no work."),
    "online": (_HERE, "online", "Let nodes take work."),
    "resume": (_HERE, "resume", "The same."),
    "offline": (_HERE, "offline", "Take nodes out at once."),
    "drain": (_HERE, "drain", "Take nodes out after what runs there has ended."),
    "history": (
        "hpcsched.cli.accounting",
        "node_history",
        "What happened to nodes.",
    ),
    "exec": ("hpcsched.cli.node_exec", "execute", "Run a command on nodes."),
}

#: Stands for every node there is.
EVERY: Final = "all"

_some = click.argument("nodes", type=NODES, nargs=-1, metavar="[NODES…]")
_nodes = click.argument("nodes", type=NODES, nargs=-1, required=True, metavar="NODES…")
_reason = click.option(
    "--reason", default="", metavar="TEXT", help="Why; shown with the node."
)


@click.command("node", cls=VerbGroup, lazy=_VERBS)
def node() -> None:
    """Nodes: names, node lists such as n[01-16,20], or `all`."""


async def names_of(client: AsyncClient, nodes: Names) -> Sequence[str]:
    """Return the names that were given; ``all`` becomes those that there are."""
    names = joined(nodes)
    if EVERY not in names:
        return names
    page = await client.nodes.list()
    return [found.name for found in page.items]


def _look(app: App, nodes: Names) -> Sequence[node_pb2.Node]:
    async def work(client: AsyncClient) -> Sequence[node_pb2.Node]:
        names = joined(nodes)
        if not names or EVERY in names:
            return (await client.nodes.list()).items
        # One by one, so that a name that is not there is refused.
        return [await client.nodes.get(name) for name in names]

    return app.call(work)


def print_nodes(app: App, nodes: Sequence[node_pb2.Node]) -> None:
    """Print nodes as a list."""
    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("nodes", nodes))
    elif app.quiet:
        for found in nodes:
            app.print(found.name)
    else:
        from hpcsched.cli.node_tables import node_table

        app.print_table(node_table(nodes))


@click.command("list", cls=Verb)
@_some
@listing_options
@pass_app
def list_nodes(
    app: App,
    nodes: Names,
    *,
    filters: tuple[str, ...],
    sort: str | None,
    columns: str | None,
) -> None:
    """List nodes; without NODES all of them.

    \b
      hpc node list --filter state=online --filter reachable=false
      hpc node list --sort=-cores --columns name,cores,memory_bytes
    """
    if not (filters or sort or columns):
        print_nodes(app, _look(app, nodes))
        return
    choice = choice_of(filters, sort, None if app.quiet else columns)

    async def work(client: AsyncClient) -> Sequence[node_pb2.Node]:
        names = joined(nodes)
        names = () if EVERY in names else names
        return (await client.nodes.list(names, choice=choice)).items

    found = app.call(work)
    if columns and not app.quiet:
        print_columns(app, "nodes", found, choice.fields, "")
    else:
        print_nodes(app, found)


def _is_single(nodes: Names) -> bool:
    """Say whether one node was named: then the answer is one object."""
    return len(nodes) == 1 and len(nodes[0]) == 1 and nodes[0][0] != EVERY


@click.command("show", cls=Verb)
@_nodes
@pass_app
def show(app: App, nodes: Names) -> None:
    """Show nodes in full."""
    found = _look(app, nodes)
    if app.as_json and _is_single(nodes):
        app.print_message(found[0])
        return
    if app.as_json or app.quiet:
        print_nodes(app, found)
        return
    from hpcsched.cli.node_tables import node_facts

    app.print("\n\n".join(node_facts(one) for one in found))


@click.command("why", cls=Verb)
@_nodes
@pass_app
def why(app: App, nodes: Names) -> None:
    """Say why nodes take no work, or that they do."""
    from hpcsched.cli.node_tables import node_reasons

    found = _look(app, nodes)
    answers: list[dict[str, Any]] = [
        {"name": one.name, "reasons": node_reasons(one)} for one in found
    ]
    if app.as_json:
        single = _is_single(nodes)
        listed = {"nodes": answers, "next_page_token": ""}
        app.print_json(answers[0] if single else listed)
        return
    for answer in answers:
        for line in answer["reasons"]:
            app.print(f"{answer['name']}: {line}")


def _change(
    app: App,
    nodes: Names,
    act: Callable[[AsyncClient, Sequence[str]], Awaitable[Sequence[node_pb2.Node]]],
) -> None:
    async def work(client: AsyncClient) -> Sequence[node_pb2.Node]:
        names = await names_of(client, nodes)
        return await act(client, names) if names else ()

    print_nodes(app, app.call(work))


@click.command("online", cls=Verb)
@_nodes
@pass_app
def online(app: App, nodes: Names) -> None:
    """Let nodes take work (administrators)."""
    _change(app, nodes, lambda client, names: client.nodes.online(names))


@click.command("resume", cls=Verb)
@_nodes
@pass_app
def resume(app: App, nodes: Names) -> None:
    """Let nodes take work, as `online` does (administrators)."""
    _change(app, nodes, lambda client, names: client.nodes.online(names))


@click.command("offline", cls=Verb)
@_nodes
@_reason
@pass_app
def offline(app: App, nodes: Names, *, reason: str) -> None:
    """Take nodes out at once (administrators).

    What runs there is stopped, and queued again if it is rerunnable.
    """
    _change(
        app, nodes, lambda client, names: client.nodes.offline(names, reason=reason)
    )


@click.command("drain", cls=Verb)
@_nodes
@_reason
@pass_app
def drain(app: App, nodes: Names, *, reason: str) -> None:
    """Take nodes out after what runs there has ended (administrators)."""
    _change(
        app,
        nodes,
        lambda client, names: client.nodes.offline(names, drain=True, reason=reason),
    )
