"""The reaper: parent of the spawner, and of its tasks should it die.

It does as little as it can, for it must not fail: it starts the spawner again when
that has ended, collects the exit statuses of the tasks that a dead spawner left, hands
them to the next one, and syncs the journal, so that the spawner never waits for a disk.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from node_agent.supervisor import commands
from node_agent.supervisor.channel import Channel, listen
from node_agent.supervisor.exits import Exit, ExitFile, collect_exits
from node_agent.supervisor.linux import (
    REAPER_NAME,
    become_subreaper,
    name_this_process,
    read_signals,
    signal_descriptor,
)
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.clock import Clock

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOP_PATIENCE_S = 5.0
SHORT_LIFE_S = 1.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
ENDS_PER_PACKET = 200
PULSES = 4
"""How often a spawner is asked within the time that it may be silent. One that hangs,
in a call to a file system, is killed: the next one goes on."""


class Reaper:
    """Keeps a spawner running until it is told to stop, and then its tasks."""

    def __init__(self, config: commands.Config, clock: Clock) -> None:
        become_subreaper()
        name_this_process(REAPER_NAME)
        self._config = config
        self._clock = clock
        self._boot_id = config.boot_id()
        self._patience_s = config.patience_ms / 1000
        self._exits = ExitFile(config.path("exits"))
        self._sent = 0
        self._command = commands.command_of(commands.SPAWNER, config)
        self._spawner = 0
        self._spawner_since = 0.0
        self._pause_s = 0.0
        self._channel: Channel | None = None
        self._ready = False
        self._childless = False
        self._stopping = False
        self._retirement: list[Any] | None = None
        self._fronts: dict[int, Channel] = {}
        self._timers: dict[str, tuple[float, Any]] = {}
        self._synced_path = ""
        self._signals = signal_descriptor(SIGNALS)
        path = config.path("reaper.sock")
        self._listener = listen(path, socket.SOCK_SEQPACKET, 0o600)
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)

    def run(self) -> int:
        """Serve until told to stop and no task is left; return the exit status."""
        self._start_spawner()
        while not (self._stopping and not self._spawner and self._childless):
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                self._handle(descriptor)
            self._run_timers()
            self._reap()
            self._send_exits()
        self._exits.rewrite()
        os.unlink(self._config.path("reaper.sock"))
        return 0

    def _handle(self, descriptor: int) -> None:
        if descriptor == self._signals:
            arrived = read_signals(self._signals)
            if arrived & {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            if signal.SIGHUP in arrived and self._channel is not None:
                self._channel.send("upgrade", self._command)
        elif descriptor == self._listener.fileno():
            self._accept()
        elif descriptor in self._fronts:
            self._hear_front(self._fronts[descriptor])
        elif self._channel is not None:
            self._hear_spawner(self._channel)

    def _accept(self) -> None:
        try:
            front = Channel(self._listener.accept()[0])
        except OSError as error:  # it left again, or descriptors ran out
            log(f"accept: {error}")
            return
        self._fronts[front.fileno()] = front
        self._poll.register(front, select.POLLIN)

    def _hear_front(self, front: Channel) -> None:
        packets = front.receive()
        if packets is None:
            self._poll.unregister(front)
            del self._fronts[front.fileno()]
            front.close()
            return
        for name, *items in packets:
            self._obey_front(front, name, items)

    def _obey_front(self, front: Channel, name: str, items: list[Any]) -> None:
        if name == "start":
            self._command = items[0]
            self._stopping = False
            if self._spawner:
                self._end_spawner()
            else:
                self._start_spawner()
        elif name == "attach" and self._ready:
            front.send("ready", self._spawner)
        elif name == "stop":
            self._stop()
        elif name == "retire":
            self._retire(items)
        elif name == "upgrade":
            self._command = items[0]
            if self._channel is not None:
                self._channel.send("upgrade", self._command)
        elif name == "ends":  # of tasks that an earlier reaper left to the front
            self._keep_foreign(items[0])

    def _hear_spawner(self, channel: Channel) -> None:
        packets = channel.receive()
        if packets is None:
            self._close_channel()
            return
        for name, *items in packets:
            if name == "sync":
                # A later segment begins with all that the one before says; one that a
                # dead spawner asked for must not stand in its way.
                due = self._clock.boot() + self._config.sync_ms / 1000
                due, _ = self._timers.get("sync", (due, None))
                self._timers["sync"] = (due, items[0])
            elif name == "acknowledge":
                self._exits.drop(items[0])
                self._sent -= items[0]
            elif name == "pulse":
                self._timers.pop("hangs", None)
                self._timers["pulse"] = (self._next_pulse(), None)
            elif name == "ready":
                self._ready = True
                self._timers["pulse"] = (self._next_pulse(), None)
                self._tell_fronts("ready", self._spawner)
                if self._retirement is not None:  # a spawner before it has died
                    channel.send("retire", *self._retirement)
            elif name == "alive":
                self._tell_fronts("alive")
            elif name == "exits":  # it asks: everything up to now, reaped or not
                self._reap()
                self._send_exits()
                channel.send("all_exits")

    def _next_pulse(self) -> float:
        return self._clock.boot() + self._patience_s / PULSES

    def _retire(self, terms: list[Any]) -> None:
        """Have the spawner end all tasks, also if it was told to stop before."""
        self._retirement = terms
        if self._channel is not None and self._ready and not self._stopping:
            self._channel.send("retire", *terms)
        elif not self._spawner:
            self._stopping = False
            self._start_spawner()
        else:  # it is starting, or about to end
            self._stopping = False

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._poll.unregister(self._channel)
            self._channel.close()
            self._channel = None

    def _start_spawner(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), commands.CHANNEL_FD)]
        try:
            self._spawner = os.posix_spawn(
                self._command[0],
                self._command,
                os.environ,
                file_actions=descriptors,
                setsigmask=(),
            )
        except OSError as error:
            log(f"cannot start a spawner: {error}")
            ours.close()
            self._pause_s = LONGEST_PAUSE_S
            self._timers["start"] = (self._clock.boot() + self._pause_s, None)
            return
        finally:
            theirs.close()
        self._spawner_since = self._clock.boot()
        self._ready = False
        self._sent = 0
        self._channel = Channel(ours)
        self._poll.register(ours, select.POLLIN)

    def _stop(self) -> None:
        self._stopping = True
        self._timers.pop("start", None)
        if self._spawner:
            self._end_spawner()
        else:
            self._tell_fronts("stopped")

    def _end_spawner(self) -> None:
        os.kill(self._spawner, signal.SIGTERM)
        self._timers["kill"] = (self._clock.boot() + STOP_PATIENCE_S, self._spawner)

    def _reap(self) -> None:
        self._childless = False
        try:
            for end in collect_exits(self._boot_id, self._clock, self._keep):
                if end.pid == self._spawner:
                    self._spawner_ended(os.waitstatus_to_exitcode(end.status))
                else:
                    self._exits.waiting.append(end)
        except ChildProcessError:
            self._childless = True

    def _keep(self, end: Exit) -> None:
        if end.pid != self._spawner:
            self._exits.keep(end)

    def _keep_foreign(self, fields: list[list[Any]]) -> None:
        for values in fields:
            end = Exit(*values)
            self._exits.keep(end)
            self._exits.waiting.append(end)

    def _spawner_ended(self, code: int) -> None:
        if self._channel is not None:  # what it said last still counts
            self._hear_spawner(self._channel)
            self._close_channel()
        lived_s = self._clock.boot() - self._spawner_since
        self._spawner = 0
        for name in ("kill", "pulse", "hangs"):
            self._timers.pop(name, None)
        if code == commands.EXIT_CANNOT_START:
            self._stopping = True
            self._tell_fronts("failed")
        elif code == commands.EXIT_SHUT_DOWN:
            self._stopping = True
            self._retirement = None
            self._tell_fronts("bye")
        elif self._stopping:
            self._tell_fronts("stopped")
        else:
            if code:
                log(f"the spawner ended with {code}; starting another")
            if lived_s >= SHORT_LIFE_S or code == 0:
                self._pause_s = 0.0
            elif self._ready:
                self._pause_s = FIRST_PAUSE_S
            else:  # it cannot even begin: more slowly each time
                pause = max(FIRST_PAUSE_S, 2 * self._pause_s)
                self._pause_s = min(LONGEST_PAUSE_S, pause)
            self._timers["start"] = (self._clock.boot() + self._pause_s, None)

    def _send_exits(self) -> None:
        """Hand the spawner the ends that it has not been sent."""
        waiting = self._exits.waiting
        while self._channel is not None and self._sent < len(waiting):
            part = waiting[self._sent : self._sent + ENDS_PER_PACKET]
            if not self._channel.send("ends", [end.fields() for end in part]):
                return
            self._sent += len(part)

    def _patience_ms(self) -> int | None:
        if not self._timers:
            return None
        due = min(when for when, _ in self._timers.values())
        return max(0, int((due - self._clock.boot()) * 1000) + 1)

    def _run_timers(self) -> None:
        now = self._clock.boot()
        for name, (when, what) in list(self._timers.items()):
            if when > now:
                continue
            del self._timers[name]
            if name == "sync":
                self._sync(what)
            elif name == "start" and not self._stopping and not self._spawner:
                self._start_spawner()
            elif name == "pulse" and self._channel is not None:
                self._channel.send("pulse")
                hangs = now + self._patience_s
                self._timers["hangs"] = (hangs, self._spawner)
            elif name == "hangs" and what == self._spawner:
                log(f"the spawner has not answered for {self._patience_s:g} s")
                os.kill(what, signal.SIGKILL)
            elif name == "kill" and what == self._spawner:
                os.kill(what, signal.SIGKILL)  # it hangs; nothing is lost by this

    def _sync(self, path: str) -> None:
        failure = None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            if path != self._synced_path:
                folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
                self._synced_path = path
        except OSError as error:
            failure = str(error)
        if self._channel is not None:
            self._channel.send("synced", path, failure)

    def _tell_fronts(self, *packet: Any) -> None:
        for front in self._fronts.values():
            front.send(*packet)
