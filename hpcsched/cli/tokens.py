"""``hpc token``: who may call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.arguments import DURATION
from hpcsched.cli.problems import ProblemError
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import cluster_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

_HERE: Final = "hpcsched.cli.tokens"
_VERBS: Final = {
    "create": (_HERE, "create", "Make a token."),
    "list": (_HERE, "list_tokens", "List tokens, without their secrets."),
    "revoke": (_HERE, "revoke", "Void tokens."),
}
_ROLES: Final = {
    "user": "ROLE_USER",
    "joboperator": "ROLE_JOB_OPERATOR",
    "jobadministrator": "ROLE_JOB_ADMINISTRATOR",
    "administrator": "ROLE_ADMINISTRATOR",
    "node": "ROLE_NODE",
}


@click.command("token", cls=VerbGroup, lazy=_VERBS)
def token() -> None:
    """Tokens of users and nodes (administrators)."""


@click.command("create", cls=Verb)
@click.option("--user", required=True, metavar="U", help="Whom it stands for.")
@click.option(
    "--role",
    type=click.Choice(list(_ROLES)),
    default="user",
    help="What its holder may do (user).",
)
@click.option("--expires", type=DURATION, metavar="DURATION", help="How long it holds.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where its secret is written, for the owner's eyes only (0600).",
)
@pass_app
def create(app: App, *, user: str, role: str, expires: float | None, out: Path) -> None:
    """Make a token; its secret goes to FILE and nowhere else.

    \b
    Roles: user              own jobs
           joboperator       also read, cancel, finish and requeue any job
           jobadministrator  also change and submit the jobs of others
           administrator     everything
           node              the agent of the node --user (* for any), nothing else

    \b
      hpc token create --user ada --expires 90d --out ada.token
      hpc --token-file ada.token job list
    """

    async def work(
        client: Api,
    ) -> cluster_service_pb2.CreateTokenResponse:
        from hpcsched.api.v1 import cluster_service_pb2

        number = cluster_service_pb2.Role.Value(_ROLES[role])
        return await client.cluster.create_token(user, role=number, lifetime_s=expires)

    # The file is opened first: a secret that cannot be kept is not asked for.
    draft = out.with_name(f"{out.name}.new-{os.getpid()}")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w", encoding="ascii") as file:
            answer = app.call(work)
            file.write(f"{answer.secret}\n")
        draft.replace(out)
    except OSError as error:
        raise ProblemError(
            "FILE_NOT_WRITTEN", f"{out}: {error.strerror}", path=out
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    if app.as_json:
        app.print_message(answer.token)
    else:
        app.print(answer.token.id)


@click.command("list", cls=Verb)
@pass_app
def list_tokens(app: App) -> None:
    """List tokens, without their secrets."""

    async def work(client: Api) -> Sequence[cluster_service_pb2.Token]:
        return await client.cluster.tokens()

    found = app.call(work)
    if app.as_json:
        from hpcsched.cli.shapes import listing

        app.print_json(listing("tokens", found))
        return
    if app.quiet:
        for one in found:
            app.print(one.id)
        return
    from hpcsched.cli.shapes import role_text
    from hpcsched.cli.tables import Table
    from hpcsched.cli.times import shown

    table = Table(columns=("ID", "USER", "ROLE", "CREATED", "EXPIRES"))
    for one in found:
        table.add(
            one.id,
            one.user,
            role_text(one.role),
            shown(one, "create_time"),
            shown(one, "expire_time") or "never",
        )
    app.print_table(table)


@click.command("revoke", cls=Verb)
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@pass_app
def revoke(app: App, ids: tuple[str, ...]) -> None:
    """Void tokens: whoever holds them is refused from now on."""

    async def work(client: Api) -> None:
        await client.cluster.revoke_tokens(ids)

    app.call(work)
    if app.as_json:
        app.print_json({"token_ids": list(ids)})
    else:
        for one in ids:
            app.print(one if app.quiet else f"token {one} revoked")
