"""``hpc node show --cores``: what each core of a node does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import node_pb2
from hpcsched.cli.shapes import short, to_dict

if TYPE_CHECKING:
    from hpcsched.api.v1 import node_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.node import Names
    from hpcsched.client.api import Api

    Found = list[tuple[str, node_service_pb2.GetCoresResponse]]


def show_cores(app: App, nodes: Names, *, single: bool) -> None:
    """Print the cores of nodes; with one node and --json one object."""

    async def work(client: Api) -> Found:
        from hpcsched.cli.node import names_of

        names = await names_of(client, nodes)
        return [(name, await client.nodes.cores(name)) for name in names]

    found = app.call(work)
    if app.as_json:
        answers: list[dict[str, Any]] = [
            {"name": name, **to_dict(answer)} for name, answer in found
        ]
        listed = {"nodes": answers, "next_page_token": ""}
        app.print_json(answers[0] if single else listed)
        return
    from hpcsched.cli.tables import Table

    table = Table(
        columns=("NODE", "CORE", "STATE", "JOB", "TASK"), numbers=frozenset({1})
    )
    for name, answer in found:
        for core in answer.cores:
            table.add(
                name,
                core.id,
                short(node_pb2.Core.State.Name(core.state)),
                core.job_id or "",
                _task(core),
            )
    app.print_table(table)


def _task(core: node_pb2.Core) -> str:
    if not core.task_id:
        return ""
    element = f".{core.instance_id}" if core.instance_id else ""
    return f"{core.job_id}.{core.task_id}{element}"
