"""``hpc up``: a head and its nodes as processes on this machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import WholeType
from hpcsched.cli.problems import note
from hpcsched.cli.settings import environment, state_directory
from hpcsched.cli.verbs import Verb, pass_app
from hpcsched.common.clock import SystemClock

if TYPE_CHECKING:
    from hpcsched.cli.app import App
    from hpcsched.cli.local.layout import Layout
    from hpcsched.cli.local.processes import Processes

#: Between two looks at whether the processes still run, seconds.
LOOK_S: Final = 0.5

#: Between the tasks' signal and their kill when the cluster stops, seconds.
GRACE_S: Final = 5.0


def directory_of(given: Path | None) -> Path:
    """Return the directory of a local cluster, absolute and without ``..``.

    Its processes are known by the directory in their command lines.
    """
    path = (given or state_directory(environment()) / "up").absolute()
    return Path(os.path.normpath(path))


directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where it keeps everything ($XDG_STATE_HOME/hpcsched/up).",
)


@click.command("up", cls=Verb)
@click.option(
    "--nodes",
    type=WholeType(1, 256),
    metavar="N",
    help="How many nodes, n1 to nN (1).",
)
@click.option(
    "--cores",
    type=WholeType(1, 65536),
    metavar="C",
    help="Cores of each node (all of the machine's); may be more than there are.",
)
@click.option(
    "--cgroup",
    type=click.Choice(("auto", "off", "require")),
    help="A cgroup for each task: where possible (auto), never, or run nothing.",
)
@directory_option
@click.option("--detach", is_flag=True, help="Return when the cluster takes work.")
@pass_app
def up(
    app: App,
    *,
    nodes: int | None,
    cores: int | None,
    cgroup: str | None,
    directory: Path | None,
    detach: bool,
) -> int:
    """Start a cluster on this machine: a head, and N nodes of C cores.

    \b
    Without --detach it stays in the foreground, and Ctrl-C stops it. With the
    same DIR it starts whatever is not running and keeps every job. Other verbs
    find the cluster that was started last by themselves.
      hpc up --nodes 3 --cores 2 --detach
      hpc run -- hostname
      hpc down
    """
    from hpcsched.cli.local.layout import Layout

    layout = Layout(directory_of(directory))
    wanted = {"nodes": nodes, "cores": cores, "cgroup": cgroup}
    return app.run(_up(app, layout, wanted, detach=detach))


async def _up(app: App, layout: Layout, wanted: dict[str, Any], *, detach: bool) -> int:
    from hpcsched.cli.local.starting import MOST_NODES, Starter, plan_for, remember
    from hpcsched.cli.local.stopping import stop

    layout.make(wanted["nodes"] or MOST_NODES)
    with layout.locked():
        known = layout.load_plan()
        plan = plan_for(known, **wanted)
        layout.save_plan(plan)
        clock = SystemClock()
        starter = Starter(layout, clock)
        started = starter.processes.names()
        try:
            running = await starter.start(plan)
        except BaseException:
            if not started:  # nobody had it before, so nothing is left behind
                await stop(layout, clock, grace_s=0)
            raise
        remember(running, environment())
    # Before anybody reads that Ctrl-C stops it.
    told = None if detach else _told_to_stop()
    if app.as_json:
        app.print_json(running.as_dict())
    elif app.quiet:
        app.print(running.address)
    else:
        app.print(f"The cluster takes work at {running.address}.")
        app.print(f"Nodes: {', '.join(running.nodes)}. Logs: {layout.root / 'log'}")
        app.print(f"Stop it with {_stop_command(layout) if detach else 'Ctrl-C'}.")
    return 0 if told is None else await _stay(app, layout, starter.processes, told)


def _stop_command(layout: Layout) -> str:
    if layout.root == directory_of(None):
        return "hpc down"
    return f"hpc down --dir {shlex.quote(str(layout.root))}"


def _told_to_stop() -> asyncio.Event:
    """Return what Ctrl-C and the signals that end a program set from now on."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    return told


async def _stay(
    app: App, layout: Layout, processes: Processes, told: asyncio.Event
) -> int:
    """Stay in the foreground until Ctrl-C, a signal, or the end of all processes."""
    from hpcsched.cli.local.stopping import stop

    clock = SystemClock()
    watched = set(processes.names())
    while watched and not told.is_set():
        for name in sorted(watched):
            if not processes.is_running(name):
                watched.discard(name)
                note(f"{name} has ended; its log is {layout.log(name)}")
        try:
            async with asyncio.timeout(LOOK_S):
                await told.wait()
        except TimeoutError:
            continue
        except asyncio.CancelledError:
            told.set()  # a Ctrl-C in the moment before the signals were taken
    with layout.locked():
        if told.is_set() and not app.quiet:
            note("stopping")
        await stop(layout, clock, grace_s=GRACE_S)
    return 0
