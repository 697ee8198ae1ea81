"""``hpc cluster backup`` and ``restore``: the head's store, kept and put back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcsched.cli.arguments import COUNT
from hpcsched.cli.problems import ProblemError
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import cluster_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api


@click.command("backup", cls=Verb)
@click.argument("target", required=False, metavar="[FILE|DIR]", type=Path)
@click.option("--keep", type=COUNT, metavar="N", help="Delete all but the newest N.")
@click.option("--list", "listing", is_flag=True, help="Show the backups there are.")
@pass_app
def backup(app: App, *, target: Path | None, keep: int | None, listing: bool) -> None:
    """Back up the head's store while it goes on serving (administrators).

    \b
    The backup is one moment of the cluster. Without FILE it stays on the head,
    in its directory of backups; with FILE or DIR it is fetched from there. It
    holds users' jobs and environments: keep it as secret as the store.
      hpc cluster backup --keep 7
      hpc cluster backup /mnt/elsewhere/
    """
    if listing:
        if target is not None or keep is not None:
            raise click.UsageError("--list takes no FILE and no --keep")
        _list(app)
        return
    if target is not None and keep is not None:
        raise click.UsageError("--keep speaks of backups on the head, FILE does not")
    if target is not None and not (target.is_dir() or target.parent.is_dir()):
        raise click.UsageError(f"{target.parent} is no directory")

    if target is not None:
        str(target.absolute()).encode()  # It is printed: refuse before it is made.
    into_folder = target is not None and target.is_dir()

    async def work(client: Api) -> cluster_service_pb2.Backup:
        made = await client.cluster.create_backup(keep=keep or 0)
        if target is None:
            return made
        path = target / made.name if into_folder else target
        try:
            await _fetch(client, made, path)
        finally:
            await client.cluster.delete_backups([made.name])
        made.name, made.directory = path.name, str(path.absolute().parent)
        return made

    made = app.call(work)
    if app.as_json:
        app.print_message(made)
        return
    app.print(str(Path(made.directory) / made.name))


async def _fetch(client: Api, made: cluster_service_pb2.Backup, path: Path) -> None:
    """Write a backup to a file that is there as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for data in client.cluster.read_backup(made.name):
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if digest.digest() != made.sha256:
            raise ProblemError(
                "INTERNAL", f"{path}: it came otherwise than it was made"
            )
        part.replace(path)
    except OSError as error:
        raise ProblemError("FILE", f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _list(app: App) -> None:
    async def work(client: Api) -> Sequence[cluster_service_pb2.Backup]:
        return await client.cluster.backups()

    found = app.call(work)
    from hpcsched.cli.shapes import to_dict
    from hpcsched.cli.tables import Table
    from hpcsched.cli.times import shown

    if app.as_json:
        app.print_json({"backups": [to_dict(one) for one in found]})
    elif app.quiet:
        for one in found:
            app.print(one.name)
    else:
        table = Table(columns=("NAME", "BYTES", "MADE"), numbers=frozenset({1}))
        for one in found:
            table.add(one.name, one.size_bytes, shown(one, "create_time"))
        app.print_table(table)


@click.command("restore", cls=Verb)
@click.argument("file", metavar="FILE", type=Path)
@click.option("--config", type=Path, metavar="FILE", help="Of hpcschedd.")
@click.option("--state-dir", type=Path, metavar="DIR", help="The head's directory.")
@click.option("--dir", "up_dir", type=Path, metavar="DIR", help="Of `hpc up`.")
@pass_app
def restore(
    app: App,
    *,
    file: Path,
    config: Path | None,
    state_dir: Path | None,
    up_dir: Path | None,
) -> None:
    """Put a backup in the place of the head's store, which must not run.

    \b
    On the head's machine, as its user. The backup is looked through first; the
    store that was there is kept beside it. The head then starts in restore mode:
    nodes may come and tell what still runs, nothing is started or stopped, until
      hpc cluster set RestoreMode=False
    """
    import subprocess
    import sys

    given = [one for one in (config, state_dir, up_dir) if one is not None]
    if len(given) > 1:
        raise click.UsageError("give one of --config, --state-dir, --dir")
    command = [sys.executable, "-m", "hpcsched.daemon.main", "--restore", str(file)]
    if config is not None:
        command += ["--config", str(config)]
    elif state_dir is not None:
        command += ["--state-dir", str(state_dir)]
    else:
        from hpcsched.cli.up import directory_of

        command += ["--state-dir", str(directory_of(up_dir) / "head")]
    if app.as_json:
        command.append("--json")
    done = subprocess.run(command, check=False)  # its words are for the user as well
    if done.returncode:
        sys.exit(1)
