"""A task's process number is given to a stranger: run as the first of a pid namespace.

Its exit status is 0 if the next supervisor leaves the stranger alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from node_agent.supervisor.clock import Clock
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    begin,
    pids_in,
    place_of_waiting,
    task_supervisor,
)

LAST = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 50
TICKS_S = 0.1
"""The kernel tells when a process began in hundredths of a second, and no number comes
again that soon outside of a test."""


def stranger_with(number: int) -> subprocess.Popen[bytes]:
    """Return a process that has the number."""
    for _ in range(TRIES):
        LAST.write_text(str(number - 1))
        found = subprocess.Popen(["sleep", "600"])
        if found.pid == number:
            return found
        found.kill()
        found.wait()
    raise AssertionError("the number was not given out again")


def main(directory: Path) -> int:
    """Return the exit status."""
    place = place_of_waiting(directory)
    with task_supervisor(directory / "node", "--cgroup", "off") as supervisor:
        begin(supervisor.start(), place, 1)
        (task,) = pids_in(place / "pids", 1)
        front = supervisor.front
        assert front is not None
        others = [supervisor.pid_of("reaper"), supervisor.pid_of("spawner")]
        for pid in (front.pid, *others, task):
            os.kill(pid, signal.SIGKILL)
        front.wait()
        for pid in (*others, task):  # we are their init
            os.waitpid(pid, 0)
        later = Clock().boot() + TICKS_S
        wait_for(lambda: Clock().boot() > later, what="another tick of the kernel")
        stranger = stranger_with(task)
        agent = supervisor.start().agent()
        end = agent.ended(0)
        agent.stop(0, grace_s=0)
        agent.sync()
        alone = stranger.poll() is None
        stranger.kill()
        return 0 if (end["reason"], alone) == ("STATUS_LOST", True) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
