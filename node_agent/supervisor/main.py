"""``hpc-task-supervisor``: starts, contains, signals and reaps every task of a node.

Three processes, all with the program's name and directory in their command line:

*front*
    what was started: holds ``DIR/lock``, talks to the service manager, can be stopped
    at any time (SIGTERM, SIGINT). It is the unit's main process, so that a stop
    (``KillMode=process``) reaches nothing else.
*reaper*
    child of the front, child subreaper, ``DIR/reaper.sock``. Starts the spawner, and
    again when it has died; then the tasks are its own children, and it hands their
    exact exit statuses to the new spawner. It syncs the journal as well.
*spawner*
    child of the reaper, child subreaper too: starts and ends the tasks, keeps the
    journal, serves the agent. One thread does all of it, so that it may set its own
    directory, affinity and cgroup just before ``posix_spawn``; others only wait for
    processes that get cores of their own (pinned.py). No fork per task.

=====================  ==============================================================
what happens           what follows
=====================  ==============================================================
SIGTERM to the front   the spawner ends, its tasks go to the reaper, which stays while
                       tasks live; without tasks everything ends. The next start finds
                       the reaper and has it start a spawner, from the new code
SIGHUP, ``upgrade``    the spawner executes the new code in place: same process id, so
                       its children and their statuses stay its own
spawner killed         the reaper starts another at once; statuses stay exact
reaper killed          the spawner becomes the reaper (exec in place: its tasks stay
                       its children) and starts a new spawner; the front attaches to
                       it. Tasks of the dead reaper go to the front, which is a
                       subreaper as well and passes their ends on
front killed           nothing; the next front attaches
spawner and reaper     the front starts both again; tasks that end are STATUS_LOST
killed                 unless the front reaps them
``--end-tasks``        every task is stopped with its grace period, then the spawner
                       ends, and reaper and front with it: the machine goes down
=====================  ==============================================================
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from node_agent.supervisor import commands
from node_agent.supervisor.clock import Clock
from node_agent.supervisor.linux import (
    default_signals,
    keep_descriptors_from_children,
)
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LOCK_PATIENCE_S = 5.0
MILLI = 1000
GC_THRESHOLDS = (10_000, 20, 10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the front, or ask another to end its tasks; return the exit status.

    Exit status: 0 after a stop, 1 if it cannot run, 2 for wrong arguments; of
    ``--end-tasks`` 0 when no task is left, 1 if nobody can be asked.
    """
    config, options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    if options.end_tasks:
        from node_agent.supervisor.retiring import end_tasks  # noqa: PLC0415

        return end_tasks(config, Clock(), options.grace)
    from node_agent.supervisor.front import SIGNALS, Front, lock_file  # noqa: PLC0415

    default_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the front reads them
    try:
        _make_directory(config)
        keep_descriptors_from_children()
        lock = lock_file(config.path("lock"))
        if lock is None:
            log(f"another supervisor is running in {config.directory}")
            return 1
        return Front(config, Clock()).run()
    except OSError as error:
        log(str(error))
        return 1


def run_role(arguments: list[str]) -> int:
    """Run a process below the front: role, ``--dir D``, ``--config JSON``."""
    role, *rest = arguments
    config = commands.config_of(rest)
    keep_descriptors_from_children()
    if role == commands.REAPER:
        return _run_reaper(config)
    from node_agent.supervisor.spawner import Spawner  # noqa: PLC0415

    if role == commands.CHECK:  # the code can be loaded: an upgrade may go on
        return 0
    try:
        spawner = Spawner(config, Clock())
        spawner.begin()
    except OSError as error:
        log(str(error))
        return commands.EXIT_CANNOT_START
    gc.freeze()  # what is here by now stays, and is not looked through again and again
    gc.set_threshold(*GC_THRESHOLDS)
    return spawner.run()


def _run_reaper(config: commands.Config) -> int:
    from node_agent.supervisor.front import lock_file  # noqa: PLC0415
    from node_agent.supervisor.reaper import Reaper  # noqa: PLC0415

    clock = Clock()
    deadline = clock.boot() + LOCK_PATIENCE_S
    while (lock := lock_file(config.path("reaper.lock"))) is None:
        if clock.boot() > deadline:
            log(f"another reaper is running in {config.directory}")
            return 1
        clock.pause(0.02)
    try:
        return Reaper(config, clock).run()
    except OSError as error:
        log(str(error))
        return commands.EXIT_CANNOT_START
    finally:
        os.close(lock)


def _make_directory(config: commands.Config) -> None:
    os.makedirs(config.directory, mode=0o700, exist_ok=True)
    if config.group is not None:
        os.chown(config.directory, -1, config.group)
        os.chmod(config.directory, 0o710)  # noqa: S103 - the group may pass, not list


def _parse(arguments: list[str]) -> tuple[commands.Config, Any]:
    import argparse  # noqa: PLC0415 - only the front needs it

    from node_agent.supervisor.notify import watchdog_s  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog=commands.PROGRAM,
        description="Starts, contains, signals and reaps every task process of a node.",
    )
    parser.add_argument("--dir", required=True, help="directory of journal and outputs")
    parser.add_argument(
        "--socket", help="where the agent connects (default: DIR/supervisor.sock)"
    )
    parser.add_argument(
        "--socket-group", help="group that may connect and read outputs"
    )
    parser.add_argument(
        "--cgroup",
        choices=("auto", "off", "require"),
        default="auto",
        help="contain each task in a cgroup: where possible, never, or not run at all",
    )
    parser.add_argument(
        "--sync-ms",
        type=int,
        default=100,
        help="longest time a journal record stays unsynced, in ms (default: 100)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="a spawner that is silent for longer is replaced; tasks run on"
        " (default: 20)",
    )
    parser.add_argument("--node", default="", help="name of this node")
    parser.add_argument(
        "--boot-id-file",
        default="/proc/sys/kernel/random/boot_id",
        help="file that names this boot of the machine",
    )
    parser.add_argument(
        "--end-tasks",
        action="store_true",
        help="have the supervisor of DIR end its tasks and itself, wait, and return",
    )
    parser.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="with --end-tasks: from signal to kill (default: each task's own)",
    )
    from node_agent.supervisor import running_as  # noqa: PLC0415

    running_as.add_options(parser)
    options = parser.parse_args(arguments)
    if options.sync_ms < 0:
        parser.error("--sync-ms: must not be negative")
    if not options.patience > 0:
        parser.error("--patience: must be seconds above 0")
    if options.grace is not None and not (options.end_tasks and options.grace >= 0):
        parser.error("--grace: needs --end-tasks, and must not be negative")
    directory = os.path.abspath(options.dir)
    config = commands.Config(
        directory=directory,
        socket=os.path.abspath(
            options.socket or os.path.join(directory, "supervisor.sock")
        ),
        group=_group(parser, options.socket_group),
        cgroup=options.cgroup,
        sync_ms=options.sync_ms,
        node=options.node,
        boot_id_path=os.path.abspath(options.boot_id_file),
        alive_ms=int(watchdog_s() * MILLI),
        patience_ms=int(options.patience * MILLI),
        **running_as.settings_of(parser, options),
    )
    return config, options


def _group(parser: object, name: str | None) -> int | None:
    if not name:
        return None
    import argparse  # noqa: PLC0415
    import grp  # noqa: PLC0415

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if isinstance(parser, argparse.ArgumentParser):
            parser.error(f"--socket-group: no group {name!r}")
        raise
