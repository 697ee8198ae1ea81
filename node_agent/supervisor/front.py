"""The front: the process that a person or a service manager starts and stops.

It holds the directory's lock, finds or starts the reaper, and waits. Stopping it stops
the spawner; the reaper stays for as long as tasks live. A front that is killed leaves
everything as it is, and the next one attaches to it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

from node_agent.supervisor import commands
from node_agent.supervisor.channel import Channel, connect
from node_agent.supervisor.exits import Exit, collect_exits
from node_agent.supervisor.linux import (
    FRONT_NAME,
    become_subreaper,
    name_this_process,
    read_signals,
    signal_descriptor,
)
from node_agent.supervisor.log import log
from node_agent.supervisor.notify import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.clock import Clock

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READY_PATIENCE_S = 30.0
STOP_PATIENCE_S = 15.0
RETRY_S = 0.01
SUCCESSION_S = 1.0
"""How long a spawner has, in seconds, to take the place of a reaper that died. It tries
for half of that."""


def lock_file(path: str) -> int | None:
    """Return a descriptor that holds the lock at the path, None if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return descriptor


class Front:
    """One run in the foreground."""

    def __init__(self, config: commands.Config, clock: Clock) -> None:
        name_this_process(FRONT_NAME)
        become_subreaper()
        self._config = config
        self._clock = clock
        self._boot_id = config.boot_id()
        self._command = commands.command_of(commands.SPAWNER, config)
        self._path = config.path("reaper.sock")
        self._signals = signal_descriptor(SIGNALS)
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._channel: Channel | None = None
        self._reaper = 0
        self._orphans: list[Exit] = []
        self._ready = False
        self._stopping = False
        self._deadline: float | None = clock.boot() + READY_PATIENCE_S
        self._lonely_since = 0.0
        self._status: int | None = None

    def run(self) -> int:
        """Serve until stopped; return the exit status."""
        self._channel = connect(self._path)
        if self._channel is None:
            self._start_reaper()
        else:  # tasks of an earlier run: take it over, with this code
            self._attached("start")
        while self._status is None:
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                if descriptor == self._signals:
                    self._hear_signals(read_signals(self._signals))
                elif self._channel is not None:
                    self._hear_reaper(self._channel)
            self._reap()
            if self._channel is None and self._status is None:
                self._find_reaper()
            self._check_deadline()
        return self._status

    def _start_reaper(self) -> None:
        command = commands.command_of(commands.REAPER, self._config)
        null = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        self._reaper = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=null,
            setsid=True,  # a terminal's Ctrl-C is for the front alone
            setsigmask=(),
        )
        self._lonely_since = self._clock.boot()

    def _attached(self, greeting: str) -> None:
        if self._channel is None:
            return
        self._poll.register(self._channel, select.POLLIN)
        self._channel.send(greeting, self._command)
        if self._orphans:
            self._channel.send("ends", [end.fields() for end in self._orphans])
            self._orphans.clear()

    def _find_reaper(self) -> None:
        """Connect to the reaper, new or the spawner that follows a dead one."""
        if self._stopping:
            self._status = 0
            return
        self._channel = connect(self._path)
        if self._channel is not None:
            self._attached("attach")
        elif (
            not self._reaper and self._clock.boot() - self._lonely_since > SUCCESSION_S
        ):
            self._start_reaper()

    def _hear_signals(self, arrived: set[int]) -> None:
        if arrived & {signal.SIGTERM, signal.SIGINT} and not self._stopping:
            self._stopping = True
            self._deadline = self._clock.boot() + STOP_PATIENCE_S
            notify("STOPPING=1")
            if self._channel is not None:
                self._channel.send("stop")
        if signal.SIGHUP in arrived and self._channel is not None:
            self._channel.send("upgrade", self._command)

    def _hear_reaper(self, channel: Channel) -> None:
        packets = channel.receive()
        if packets is None:
            self._poll.unregister(channel)
            channel.close()
            self._channel = None
            self._lonely_since = self._clock.boot()
            return
        for name, *_ in packets:
            self._obey(name)

    def _obey(self, name: Any) -> None:
        if name == "ready" and not self._stopping:
            self._deadline = None
            if not self._ready:
                self._ready = True
                notify("READY=1\nSTATUS=starting and reaping tasks")
        elif name == "alive":
            notify("WATCHDOG=1")
        elif name == "failed":
            self._status = 1
        elif name in {"stopped", "bye"}:
            self._status = 0

    def _reap(self) -> None:
        """Reap the reaper, and tasks that a dead reaper left to this process."""
        try:
            for end in collect_exits(self._boot_id, self._clock, lambda _: None):
                if end.pid == self._reaper:
                    self._reaper = 0
                    self._reaper_ended(os.waitstatus_to_exitcode(end.status))
                elif self._channel is None:
                    self._orphans.append(end)
                else:
                    self._channel.send("ends", [end.fields()])
        except ChildProcessError:
            return

    def _reaper_ended(self, code: int) -> None:
        if code == commands.EXIT_CANNOT_START and not self._ready:
            self._status = 1
        elif code and not self._stopping:
            log(f"the reaper ended with {code}")

    def _patience_ms(self) -> int | None:
        waits = [] if self._deadline is None else [self._deadline - self._clock.boot()]
        if self._channel is None:
            waits.append(RETRY_S)
        return max(0, int(min(waits) * 1000) + 1) if waits else None

    def _check_deadline(self) -> None:
        if self._deadline is None or self._clock.boot() < self._deadline:
            return
        if self._status is None:
            what = "stop" if self._stopping else "start"
            log(f"the spawner did not {what} in time")
            self._status = 1
