"""A real spawner whose work is counted: the test is its reaper and its agent.

It waits for what happens and never for time, so what is counted is the same on a busy
machine as on any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node_agent.supervisor.commands import CHANNEL_FD, ROOT, Config
from tests.support.polling import wait_for
from tests.support.task_supervisor import PATIENCE_S, AgentEnd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = f"""
import json, os, signal, sys
spawner = os.fork()
if spawner:
    os.close(int(sys.argv[2]))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(spawner, signal.SIGTERM))
    os._exit(os.waitstatus_to_exitcode(os.waitpid(spawner, 0)[1]) & 255)
sys.path.insert(0, sys.argv[1])
os.dup2(int(sys.argv[2]), {CHANNEL_FD})
from node_agent.supervisor import commands, journal, spawner
from node_agent.supervisor.clock import Clock
from node_agent.supervisor.linux import keep_descriptors_from_children

counts = dict(calls=0, writes=0, turns=0)

class Counted(spawner.Spawner):
    def _patience_s(self):
        counts["turns"] += 1
        return 0.0 if super()._patience_s() == 0.0 and self._more else None

class CountedJournal(journal.Journal):
    def _write(self, data):
        counts["writes"] += 1
        super()._write(data)

def see(frame, event, _):
    if event == "call" and "/node_agent/" in frame.f_code.co_filename:
        counts["calls"] += 1

class Still(Clock):
    now = None
    def boot(self):
        return self.now or super().boot()

keep_descriptors_from_children()
clock = Still()
running = Counted(commands.config_of(sys.argv), clock)
running.begin()
running._node.journal.__class__ = CountedJournal
clock.now = clock.boot()
sys.setprofile(see)
running.run()
sys.setprofile(None)
print(json.dumps(counts))
"""
"""It has a parent of its own: what a spawner's parent has for children are orphans to
it, which it kills, and those of the test's process are not."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a spawner has done.

    Attributes:
        calls: Of functions of ours.
        writes: Of the journal.
        turns: Of its loop.
        frames: That the agent was sent.
    """

    calls: int
    writes: int
    turns: int
    frames: int


class CountingEnd(AgentEnd):
    """An agent's end that counts frames."""

    frames = 0

    def receive(self, timeout: float = PATIENCE_S) -> bool:
        before = len(self.messages)
        alive = super().receive(timeout)
        self.frames += len(self.messages) > before
        return alive


class CountedSpawner:
    """See the module."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        path = directory / "supervisor.sock"
        config = Config(directory=str(directory), socket=str(path), cgroup="off")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        python = [sys.executable, "-I", "-S", "-X", "utf8", "-c", PROGRAM, ROOT]
        number = theirs.fileno()
        settings = ["--dir", str(directory), "--config", json.dumps(config.settings())]
        self._process = subprocess.Popen(
            [*python, str(number), *settings],
            pass_fds=[number],
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        theirs.close()
        self._reaper = threading.Thread(target=self._reap)
        self._reaper.start()
        self.agent: CountingEnd = wait_for(
            lambda: CountingEnd(path), what="the spawner's socket"
        )
        self.agent.frames = 0

    def _reap(self) -> None:
        """Answer as a reaper that has collected nothing; syncs are never over."""
        with contextlib.suppress(OSError):
            while packet := self._channel.recv(1 << 18):
                if json.loads(packet)[0] == "exits":
                    self._channel.send(b'["all_exits"]')

    def stop(self) -> Work:
        """End it, and return what it has done."""
        frames = self.agent.frames
        self._process.send_signal(signal.SIGTERM)
        told, _ = self._process.communicate(timeout=PATIENCE_S)
        counts: dict[str, Any] = json.loads(told)
        return Work(frames=frames, **counts)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self.agent.close()
        self._channel.close()
        self._reaper.join(PATIENCE_S)


@contextlib.contextmanager
def counted_spawner(directory: Path) -> Iterator[CountedSpawner]:
    """Run one; whatever becomes of the test, it is gone then."""
    running = CountedSpawner(directory)
    try:
        yield running
    finally:
        running.close()
