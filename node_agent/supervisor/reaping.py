"""Reaping: each status is in the journal before the kernel forgets it."""

from __future__ import annotations

import os

from node_agent.supervisor import records
from node_agent.supervisor.exits import next_dead_child, wait_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.ending import Ender
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.starting import Starter


class Reaping:
    """Reaps the children of the spawner.

    Args:
        others: Is told of those that are neither tasks nor helpers of theirs.
    """

    def __init__(
        self,
        node: Node,
        starter: Starter,
        ender: Ender,
        others: Callable[[os.waitid_result], None],
    ) -> None:
        self._node = node
        self._starter = starter
        self._ender = ender
        self._others = others

    def run(self) -> None:
        """Reap what has ended."""
        orphans = False
        while (info := _next()) is not None:
            attempt = self._node.by_pid.get(info.si_pid)
            if attempt is None and len(self._node.pinned):
                # It may be one of those that are being made. Where that has failed, the
                # thread that made it has reaped it by then.
                self._starter.settle(info.si_pid)
            elif attempt is None or not attempt.own or attempt.status is not None:
                orphans = self._reap_other(info) or orphans
            else:
                self._reap_main(attempt, info)
        if orphans:
            self._ender.orphans_changed()

    def _reap_main(self, attempt: Attempt, info: os.waitid_result) -> None:
        node = self._node
        attempt.status = wait_status(info)
        attempt.ended_at = node.clock.wall()
        node.journal.add(records.status(attempt))
        node.journal.flush()
        _, _, usage = os.wait4(info.si_pid, 0)
        attempt.usage(usage)
        self._ender.main_ended(attempt)

    def _reap_other(self, info: os.waitid_result) -> bool:
        """Reap what is no main process of ours; say whether it was an orphan."""
        node, pid = self._node, info.si_pid
        os.waitpid(pid, 0)
        if node.launcher.reaped(pid) or self._starter.probes.reaped(pid):
            return False
        node.own.mains.discard(pid)
        node.own.adopted.pop(pid, None)
        self._others(info)
        return True


def _next() -> os.waitid_result | None:
    try:
        return next_dead_child()
    except ChildProcessError:
        return None
