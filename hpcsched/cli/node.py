"""``hpc node``: the verbs of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import GROUP_PREFIX, LIST, NODES_OR_GROUP, joined
from hpcsched.cli.lines import one_line
from hpcsched.cli.listing import choice_of, listing_options, print_columns
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hpcsched.api.v1 import node_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

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
    "fence": (_HERE, "fence", "Say that nothing runs on lost nodes any more."),
    "label": ("hpcsched.cli.node_change", "label", "Note something about nodes."),
    "set": ("hpcsched.cli.node_change", "set_nodes", "Which jobs nodes take, and how."),
    "forget": ("hpcsched.cli.node_change", "forget", "Forget nodes that are gone."),
    "watch": ("hpcsched.cli.events", "watch_nodes", "What happens to nodes."),
    "history": (
        "hpcsched.cli.accounting",
        "node_history",
        "What happened to nodes.",
    ),
    "exec": ("hpcsched.cli.node_exec", "execute", "Run a command on nodes."),
}

#: Stands for every node there is.
EVERY: Final = "all"

_some = click.argument("nodes", type=NODES_OR_GROUP, nargs=-1, metavar="[NODES…]")
nodes_argument = click.argument(
    "nodes", type=NODES_OR_GROUP, nargs=-1, required=True, metavar="NODES…"
)
_reason = click.option(
    "--reason", default="", metavar="TEXT", help="Why; shown with the node."
)


@click.command("node", cls=VerbGroup, lazy=_VERBS)
def node() -> None:
    """Nodes: names, node lists such as n[01-16,20], group:NAME, or `all`."""


async def names_of(client: Api, nodes: Names) -> Sequence[str]:
    """Return the names that were given; ``all`` and groups become those of nodes."""
    names = joined(nodes)
    if EVERY in names:
        return [found.name for found in (await client.nodes.list()).items]
    found: dict[str, None] = {}
    for name in names:
        if name.startswith(GROUP_PREFIX):
            group = await client.groups.get(name.removeprefix(GROUP_PREFIX))
            found.update(dict.fromkeys(group.nodes))
        else:
            found[name] = None
    return list(found)


def _look(app: App, nodes: Names) -> Sequence[node_pb2.Node]:
    async def work(client: Api) -> Sequence[node_pb2.Node]:
        if not nodes or EVERY in joined(nodes):
            return (await client.nodes.list()).items
        # One by one, so that a name that is not there is refused.
        return [await client.nodes.get(name) for name in await names_of(client, nodes)]

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
@click.option(
    "--group",
    "groups",
    type=LIST,
    multiple=True,
    metavar="NAME,…",
    help="Only those in all of these groups.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="K[=V]",
    help="Only those with this label; without V with any value.",
)
@listing_options
@pass_app
def list_nodes(
    app: App,
    nodes: Names,
    *,
    groups: tuple[tuple[str, ...], ...],
    labels: tuple[str, ...],
    filters: tuple[str, ...],
    sort: str | None,
    columns: str | None,
) -> None:
    """List nodes; without NODES all of them.

    \b
      hpc node list --group gpu --label rack=7
      hpc node list --filter state=online --filter reachable=false
      hpc node list --sort=-cores --columns name,cores,memory_bytes
    """
    if not (groups or labels or filters or sort or columns):
        print_nodes(app, _look(app, nodes))
        return
    choice = choice_of(filters, sort, None if app.quiet else columns)

    async def work(client: Api) -> Sequence[node_pb2.Node]:
        names = () if EVERY in joined(nodes) else await names_of(client, nodes)
        pairs = (label.partition("=") for label in labels)
        page = await client.nodes.list(
            names,
            groups=joined(groups),
            labels={name: value for name, _, value in pairs},
            choice=choice,
        )
        return page.items

    found = app.call(work)
    if columns and not app.quiet:
        print_columns(app, "nodes", found, choice.fields, "")
    else:
        print_nodes(app, found)


def _is_single(nodes: Names) -> bool:
    """Say whether one node was named: then the answer is one object."""
    if len(nodes) != 1 or len(nodes[0]) != 1:
        return False
    return nodes[0][0] != EVERY and not nodes[0][0].startswith(GROUP_PREFIX)


@click.command("show", cls=Verb)
@nodes_argument
@click.option("--cores", is_flag=True, help="What each core does.")
@pass_app
def show(app: App, nodes: Names, *, cores: bool) -> None:
    """Show nodes in full, or with --cores what each of their cores does."""
    if cores:
        from hpcsched.cli.node_cores import show_cores

        show_cores(app, nodes, single=_is_single(nodes))
        return
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
@nodes_argument
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
            app.print(one_line(f"{answer['name']}: {line}"))


def change_nodes(
    app: App,
    nodes: Names,
    act: Callable[[Api, Sequence[str]], Awaitable[Sequence[node_pb2.Node]]],
) -> None:
    """Carry out a change of nodes, and print them as they are then."""

    async def work(client: Api) -> Sequence[node_pb2.Node]:
        names = await names_of(client, nodes)
        return await act(client, names) if names else ()

    print_nodes(app, app.call(work))


@click.command("online", cls=Verb)
@nodes_argument
@pass_app
def online(app: App, nodes: Names) -> None:
    """Let nodes take work (administrators)."""
    change_nodes(app, nodes, lambda client, names: client.nodes.online(names))


@click.command("resume", cls=Verb)
@nodes_argument
@pass_app
def resume(app: App, nodes: Names) -> None:
    """Let nodes take work, as `online` does (administrators)."""
    change_nodes(app, nodes, lambda client, names: client.nodes.online(names))


@click.command("offline", cls=Verb)
@nodes_argument
@_reason
@pass_app
def offline(app: App, nodes: Names, *, reason: str) -> None:
    """Take nodes out at once (administrators).

    What runs there is stopped, and queued again if it is rerunnable.
    """
    change_nodes(
        app, nodes, lambda client, names: client.nodes.offline(names, reason=reason)
    )


@click.command("fence", cls=Verb)
@nodes_argument
@_reason
@pass_app
def fence(app: App, nodes: Names, *, reason: str) -> None:
    """Say that nothing runs on lost nodes any more (administrators).

    They are switched off, say, and will not be back soon. What jobs hold there
    (node_loss=hold), or wait for, is run again on other nodes; where it is not
    true it runs twice. The nodes are Offline until they are back and brought
    online. Only for nodes that are unreachable.
    """
    change_nodes(
        app,
        nodes,
        lambda client, names: client.nodes.offline(names, fenced=True, reason=reason),
    )


@click.command("drain", cls=Verb)
@nodes_argument
@_reason
@pass_app
def drain(app: App, nodes: Names, *, reason: str) -> None:
    """Take nodes out after what runs there has ended (administrators)."""
    change_nodes(
        app,
        nodes,
        lambda client, names: client.nodes.offline(names, drain=True, reason=reason),
    )
