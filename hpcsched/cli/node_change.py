"""``hpc node label``, ``set`` and ``forget``: what administrators say about nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.arguments import LIST, NODES_OR_GROUP, joined
from hpcsched.cli.node import change_nodes, names_of, nodes_argument
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import node_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.node import Names
    from hpcsched.client.api import Api

AFFINITIES: Final = {
    "cluster": "AFFINITY_UNSPECIFIED",
    "all": "AFFINITY_ALL_JOBS",
    "non-exclusive": "AFFINITY_NON_EXCLUSIVE_JOBS",
    "none": "AFFINITY_NO_JOBS",
}
JOB_TYPES: Final = ("batch", "admin", "service", "broker")


@click.command("label", cls=Verb)
@click.argument("words", nargs=-1, required=True, metavar="NODES… K=V…")
@pass_app
def label(app: App, words: tuple[str, ...]) -> None:
    """Note something about nodes (administrators); K= takes a label away.

    \b
      hpc node label n[01-16] rack=7 Location=cellar
      hpc node list --label rack=7
    """
    pairs = [word.partition("=") for word in words if "=" in word]
    nodes = [NODES_OR_GROUP(word) for word in words if "=" not in word]
    if not nodes or not pairs:
        raise click.UsageError("give nodes and labels, such as n1 rack=7")
    for name, _, _ in pairs:
        if not name:
            raise click.UsageError("a label needs a name, such as rack=7")
    labels = {name: value for name, _, value in pairs}

    async def act(client: Api, names: Sequence[str]) -> Sequence[node_pb2.Node]:
        return await client.nodes.update(names, labels=labels)

    change_nodes(app, tuple(nodes), act)


@click.command("set", cls=Verb)
@nodes_argument
@click.option(
    "--job-types",
    type=LIST,
    multiple=True,
    metavar="KIND,…",
    help=f"Kinds of jobs to take: {', '.join(JOB_TYPES)}. What runs goes on.",
)
@click.option(
    "--affinity",
    type=click.Choice(list(AFFINITIES)),
    help="Bind tasks to their cores: of all jobs, of those that share the node, of "
    "none; `cluster`: as AffinityType says.",
)
@pass_app
def set_nodes(
    app: App,
    nodes: Names,
    *,
    job_types: tuple[tuple[str, ...], ...],
    affinity: str | None,
) -> None:
    """Say which kinds of jobs nodes take, and how (administrators).

    \b
      hpc node set n[01-04] --job-types admin       commands only
      hpc node set group:fast --affinity none
    """
    from hpcsched.api.v1 import node_pb2

    kinds = [kind.lower() for kind in joined(job_types)]
    for kind in kinds:
        if kind not in JOB_TYPES:
            known = ", ".join(JOB_TYPES)
            raise click.UsageError(f"--job-types: {kind!r} is none of {known}")
    if not kinds and affinity is None:
        raise click.UsageError("give --job-types or --affinity")
    numbers = [node_pb2.Node.JobType.Value(f"JOB_TYPE_{k.upper()}") for k in kinds]
    bound = None
    if affinity is not None:
        bound = node_pb2.Node.Affinity.Value(AFFINITIES[affinity])

    async def act(client: Api, names: Sequence[str]) -> Sequence[node_pb2.Node]:
        return await client.nodes.update(names, job_types=numbers, affinity=bound)

    change_nodes(app, nodes, act)


@click.command("forget", cls=Verb)
@nodes_argument
@pass_app
def forget(app: App, nodes: Names) -> None:
    """Forget nodes that are gone for good (administrators).

    They must be Offline, not connected, and without jobs. One that connects again is
    a new node.
    """

    async def work(client: Api) -> Sequence[str]:
        names = await names_of(client, nodes)
        if names:
            await client.nodes.forget(names)
        return names

    names = app.call(work)
    if app.quiet:
        for name in names:
            app.print(name)
