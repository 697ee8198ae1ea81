"""``hpc down``: stop what ``hpc up`` started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpcsched.cli.arguments import DURATION
from hpcsched.cli.problems import note
from hpcsched.cli.up import GRACE_S, directory_of, directory_option
from hpcsched.cli.verbs import Verb, pass_app
from hpcsched.common.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.cli.app import App


@click.command("down", cls=Verb)
@directory_option
@click.option(
    "--grace",
    type=DURATION,
    default="5s",
    metavar="DURATION",
    help=f"From the tasks' signal to their kill ({GRACE_S:g}s).",
)
@pass_app
def down(app: App, *, directory: Path | None, grace: float) -> int:
    """Stop the cluster of `hpc up`, and the tasks that run there; keep its state.

    Tasks that were running count as ended by a system error: rerunnable ones run
    again after the next `hpc up`.
    """
    from hpcsched.cli.local.layout import Layout
    from hpcsched.cli.local.stopping import stop

    layout = Layout(directory_of(directory))
    stopped: list[str] = []
    if layout.plan_file.exists():
        with layout.locked():
            stopped.extend(app.run(stop(layout, SystemClock(), grace_s=grace)))
    if app.as_json:
        app.print_json({"dir": str(layout.root), "stopped": stopped})
    elif not stopped:
        note(f"no cluster runs in {layout.root}")
    elif not app.quiet:
        app.print(f"Stopped. Its state is kept in {layout.root}.")
    return 0
