"""Ending every task because the machine goes down, and the supervisor after them.

``hpc-task-supervisor --end-tasks`` asks for it, through the reaper: the socket of the
agent takes one connection, and the agent is needed to the last, for it tells the head
what has ended. So the head runs the tasks elsewhere at once.
"""

from __future__ import annotations

import os
import select

from node_agent.supervisor import protocol
from node_agent.supervisor.channel import connect
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.channel import Channel
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.commands import Config
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.stopping import Stopper

ACKNOWLEDGE_S = 5.0
"""How long, in seconds, the head may take to store the last ends. What it has not got
then is in the journal, and told after the next boot."""

ANSWER_S = 3.0
"""A supervisor that is just being replaced is there again within this time, seconds."""

RETRY_S = 0.02


class Retirement:
    """The spawner's part: end all tasks, wait until that is known, leave."""

    def __init__(self, node: Node, stopper: Stopper, leave: Callable[[], None]) -> None:
        self._node = node
        self._stopper = stopper
        self._leave = leave
        self._until: float | None = None

    def begin(self, grace_s: float | None) -> None:
        """Stop all tasks, and start none from now on; None: each task's own grace."""
        self._node.retiring = True
        self._stopper.stop_all(grace_s, protocol.NODE_SHUTDOWN)

    def look(self) -> None:
        """Leave if there is nothing left to do; called at the end of each turn."""
        node = self._node
        if not node.retiring or node.table.has_work():
            return
        if self._until is None:
            self._until = node.clock.boot() + ACKNOWLEDGE_S
            node.timers.at(self._until, lambda: None)  # look again then
        agent_listens = node.link is not None and node.link.greeted
        waits = agent_listens and bool(node.table.reports)
        if not waits or node.clock.boot() >= self._until:
            self._leave()


def end_tasks(config: Config, clock: Clock, grace_s: float | None) -> int:
    """Have the supervisor of a directory end all tasks and itself; wait for that.

    Args:
        config: Names the directory.
        clock: For patience.
        grace_s: Between signal and kill, in seconds; None: each task's own.

    Returns:
        The exit status: 0 if no task is left, 1 if nobody can be asked or it failed.
    """
    path = config.path("reaper.sock")
    deadline = clock.boot() + ANSWER_S
    while os.path.exists(path):
        channel = connect(path)
        if channel is not None:
            ended = _ask(channel, grace_s)
            channel.close()
            if ended is not None:
                return 0 if ended else 1
            deadline = clock.boot() + ANSWER_S  # the reaper died: its heir goes on
        elif clock.boot() > deadline:
            log(f"no supervisor answers at {path}, or it is not ours")
            return 1
        clock.pause(RETRY_S)
    return 0


def _ask(channel: Channel, grace_s: float | None) -> bool | None:
    """Return whether all tasks have ended, None if the connection broke."""
    channel.send("retire", grace_s)
    while True:
        select.select([channel], [], [])
        packets = channel.receive()
        if packets is None:
            return None
        for name, *_ in packets:
            if name in {"bye", "failed"}:
                return bool(name == "bye")
