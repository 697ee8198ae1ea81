"""Making the spawner's node: its lock, its journal, its cgroups."""

from __future__ import annotations

import os

from node_agent.supervisor.cgroup import Cgroups
from node_agent.supervisor.commands import OWNER
from node_agent.supervisor.definition import User
from node_agent.supervisor.front import lock_file
from node_agent.supervisor.journal import Journal
from node_agent.supervisor.log import log
from node_agent.supervisor.node import Node
from node_agent.supervisor.records import Fold
from node_agent.supervisor.replay import read_journal
from node_agent.supervisor.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.commands import Config

LOCK_PATIENCE_S = 10.0
LOCK_PAUSE_S = 0.02
INSTANCE_BYTES = 8


def take_lock(config: Config, clock: Clock) -> int:
    """Return the lock of the journal; wait for a dying spawner to let go of it.

    Raises:
        OSError: another spawner lives.
    """
    deadline = clock.boot() + LOCK_PATIENCE_S
    path = config.path("spawner.lock")
    while (lock := lock_file(path)) is None:
        if clock.boot() > deadline:
            raise OSError(f"another spawner holds {path}")
        clock.pause(LOCK_PAUSE_S)
    return lock


def open_node(config: Config, clock: Clock, reaper: int) -> tuple[Node, list[Attempt]]:
    """Return the node as the journal left it, and attempts whose ends it has lost.

    Raises:
        OSError: a directory cannot be used, or cgroups are required and cannot be.
    """
    directory = config.path("journal")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    replay = read_journal(directory)
    table = Table(config.boot_id(), os.urandom(INSTANCE_BYTES).hex())
    user = User(is_owner=config.run_as == OWNER)
    fold = Fold(table, user)
    for payload in replay.payloads:
        try:
            fold.apply(payload)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            replay.warnings.append(f"journal: record left out: {error}")
    fold.finish()
    journal = Journal(directory)
    journal.resume(replay.segment, replay.offset, replay.old)
    node = Node(
        config,
        clock,
        table,
        journal=journal,
        cgroups=_cgroups(config, clock),
        user=user,
        reaper=reaper,
    )
    for warning in replay.warnings:
        node.warn(warning)
    return node, fold.endless


def _cgroups(config: Config, clock: Clock) -> Cgroups | None:
    """Return the cgroups if they are wanted and can be used.

    Raises:
        OSError: they are required and cannot.
    """
    if config.cgroup == "off":
        return None
    try:
        return Cgroups(config.directory, clock)
    except OSError as error:
        if config.cgroup == "require":
            raise OSError(f"--cgroup require: {error}") from None
        log(f"no cgroups, tasks are contained by their process trees: {error}")
        return None
