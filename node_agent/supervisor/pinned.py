"""Starting processes on cores of their own without going there oneself.

A process inherits the cores of the thread that makes it, and posix_spawn(3) returns in
that thread: on the core where the new process is already at work. Whoever waits there
gets no further before the process blocks, ends, or has used up its slice (3 ms), with
every other core idle or not. So it is threads that wait there, one for each process
that is being made, and the spawner's own goes on: it reaps, reports and starts.

Nothing else is done in these threads. A start that fails here has executed nothing and
is made again by the spawner's own thread, which finds out what is wrong.

Those that are being made have different cores: by those their ends are told apart if
this process dies meanwhile. The kernel's list of the thread's children tells what is
there before the thread can.
"""

from __future__ import annotations

import ctypes
import os
import queue
import threading

from node_agent.supervisor import procfs
from node_agent.supervisor.linux import IGNORED_BY_PYTHON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.slots import Slot

    Vector = ctypes.Array[ctypes.c_char_p]

MOST_THREADS = 8
"""Each waits for a slice at the most, so few of them serve many cores."""

LOOK_S = 0.002
"""How soon one looks whether a process exists of which nothing was heard."""

PAUSE_S = 0.00005

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80  # of glibc and musl
_ATTRIBUTE_BYTES = 1024  # 336 in both
_ACTIONS_BYTES = 256  # 80 in both
_SIGSET_BYTES = 128

_libc = ctypes.CDLL(None)


class Birth:
    """A process that is being made.

    Attributes:
        number: Its process id, for posix_spawn to write.
        error: An errno; 0: none, or not yet.
        before: Children of the thread before it.
        seen: Its process id if that was seen to have executed the program, or 0.
    """

    __slots__ = (
        "_kept",
        "attempt",
        "before",
        "error",
        "number",
        "queued",
        "seen",
        "slot",
    )

    def __init__(
        self, attempt: Attempt, queued: Queued, slot: Slot, *kept: Any
    ) -> None:
        self.attempt = attempt
        self.queued = queued
        self.slot = slot
        self.number = ctypes.c_int(0)
        self.error = 0
        self.before: set[bytes] = set()
        self.seen = 0
        self._kept = kept  # what posix_spawn reads must live for so long

    @property
    def pid(self) -> int:
        """Its process id once it exists; posix_spawn writes it only on success."""
        return self.seen or self.number.value

    def make(self, attributes: Any) -> None:
        """Call posix_spawn; the interpreter's lock is free meanwhile."""
        path, actions, arguments, environment, _ = self._kept
        self.error = _libc.posix_spawn(
            ctypes.byref(self.number),
            path,
            ctypes.byref(actions),
            ctypes.byref(attributes),
            arguments,
            environment,
        )


class _Thread:
    """Makes one process at a time, on the cores that it was given last."""

    __slots__ = ("_attributes", "_birth", "_children", "_done", "_go", "_id", "cores")

    def __init__(self, attributes: Any, done: queue.SimpleQueue[_Thread]) -> None:
        self._attributes = attributes
        self._done = done
        self._go = threading.Lock()
        self._go.acquire()
        self._birth: Birth | None = None
        self.cores: set[int] = set()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        self._id = thread.native_id or 0
        self._children = -1

    def move(self, cores: set[int]) -> None:
        """Let it wait on these cores, so that what it makes runs there.

        Raises:
            OSError: they are not there.
        """
        if cores != self.cores:
            self.cores = set()
            os.sched_setaffinity(self._id, cores)
            self.cores = cores

    def children(self) -> set[bytes]:
        """Return the process ids of what it has made and what lives.

        Raises:
            OSError: the kernel does not tell.
        """
        if self._children < 0:
            path = f"/proc/{os.getpid()}/task/{self._id}/children"
            self._children = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return set(procfs.read_all(self._children).split())

    def has_born(self) -> bool:
        """Say whether its process is there, be it not yet with the task's program."""
        birth = self._birth
        if birth is None or birth.pid or birth.error:
            return True
        return not self.children() <= birth.before

    def look(self) -> None:
        """Take note of its process if that has executed the program."""
        birth = self._birth
        if birth is None or birth.pid or birth.error:
            return
        for pid in map(int, self.children() - birth.before):
            if procfs.has_executed(pid):
                birth.seen = pid

    def give(self, birth: Birth) -> None:
        """Tell it which process to make next."""
        self._birth = birth

    def go(self) -> None:
        """Let it make the process."""
        self._go.release()

    def forget(self) -> None:
        """Let go of what it has made."""
        self._birth = None

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._birth is not None:
                self._birth.make(self._attributes)
            self._done.put(self)


class PinnedStarts:
    """The threads, and the processes that they are making.

    Attributes:
        possible: This system's posix_spawn can change the directory, and its kernel
            lists a thread's children.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.possible = procfs.HAS_CHILDREN_FILES and hasattr(
            _libc, "posix_spawn_file_actions_addchdir_np"
        )
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._attributes = _attributes()
        self._actions: dict[int, tuple[tuple[object, ...], Any]] = {}
        self._done: queue.SimpleQueue[_Thread] = queue.SimpleQueue()
        self._idle: list[_Thread] = []
        self._busy: list[_Thread] = []
        self._given: list[_Thread] = []
        self._births: dict[int, Birth] = {}

    def __len__(self) -> int:
        """How many are being made."""
        return len(self._births)

    def begin(
        self,
        attempt: Attempt,
        queued: Queued,
        slot: Slot,
        *,
        cores: set[int],
        path: bytes,
        arguments: list[bytes],
        environment: Vector,
        own: list[bytes],
    ) -> bool:
        """Begin to make a process; False: it cannot be made in this way.

        Args:
            attempt: Whose process.
            queued: What it was before.
            slot: Whose files it writes to.
            cores: On which it runs.
            path: Of the program.
            arguments: Its arguments, the program's name first.
            environment: Variables that it has with others, from ``vector``.
            own: Variables that only it has.
        """
        actions = self._actions_of(slot, attempt.definition.cwd)
        if actions is None or b"\0" in attempt.definition.cwd:
            return False
        thread = self._thread(cores)
        if thread is None:
            return False
        try:
            thread.move(cores)
            before = thread.children()
        except OSError:
            self._idle.append(thread)
            return False
        words = vector(arguments), _longer(environment, own)
        birth = Birth(attempt, queued, slot, path, actions, *words, environment)
        birth.before = before
        self._births[id(birth)] = birth
        self._busy.append(thread)
        thread.give(birth)
        self._given.append(thread)
        return True

    def go(self) -> None:
        """Let the thread go on that has something to make.

        It would at once wait for the interpreter's lock. So the best moment is the one
        before this thread waits, too.
        """
        for thread in self._given:
            thread.go()
        self._given.clear()

    def finished(self) -> Iterator[Birth]:
        """Yield each that exists or has failed, once."""
        if not self._births:
            return
        while not self._done.empty():
            self._collect()
        for birth in list(self._births.values()):
            if birth.pid or birth.error:
                del self._births[id(birth)]
                yield birth

    def wait(self) -> None:
        """Wait a moment for one of them to exist or to fail."""
        self.go()
        for thread in self._busy:
            thread.look()
        if not any(birth.pid or birth.error for birth in self._births.values()):
            self._clock.pause(PAUSE_S)

    def wait_until_born(self) -> None:
        """Wait until what is being made has inherited from this process."""
        self.go()
        for thread in self._busy:
            while not thread.has_born():
                self._clock.pause(PAUSE_S)

    def _collect(self) -> None:
        thread = self._done.get()
        thread.forget()
        self._busy.remove(thread)
        self._idle.append(thread)

    def _thread(self, cores: set[int]) -> _Thread | None:
        """Return a thread that does nothing, best one that waits on these cores."""
        while not self._done.empty():
            self._collect()
        for position, thread in enumerate(self._idle):
            if thread.cores == cores:
                return self._idle.pop(position)
        if len(self._busy) + len(self._idle) < MOST_THREADS:
            try:
                thread = _Thread(self._attributes, self._done)
            except RuntimeError:  # no more threads for this account
                return None
            return thread
        if not self._idle:
            self.go()
            self._collect()
        return self._idle.pop(0)

    def _actions_of(self, slot: Slot, directory: bytes) -> Any:
        """Return what a process does before it executes its program."""
        wanted = (directory, *slot.fds)
        known = self._actions.get(slot.number)
        if known is not None:
            if known[0] == wanted:
                return known[1]
            _libc.posix_spawn_file_actions_destroy(ctypes.byref(known[1]))
            del self._actions[slot.number]
        actions = ctypes.create_string_buffer(_ACTIONS_BYTES)
        where = ctypes.byref(actions)
        if _libc.posix_spawn_file_actions_init(where):
            return None
        failed = _libc.posix_spawn_file_actions_addchdir_np(where, directory)
        for target, descriptor in enumerate((self._null, *slot.fds)):
            failed = failed or _libc.posix_spawn_file_actions_adddup2(
                where, descriptor, target
            )
        if failed:
            _libc.posix_spawn_file_actions_destroy(where)
            return None
        self._actions[slot.number] = wanted, actions
        return actions


def vector(texts: list[bytes]) -> Vector:
    """Return texts as C programs get them, with a null pointer behind the last one."""
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def _longer(given: Vector, more: list[bytes]) -> Vector:
    """Return a vector with more texts; the given one must live as long."""
    count = len(given) - 1
    longer = (ctypes.c_char_p * (count + len(more) + 1))()
    ctypes.memmove(longer, given, count * ctypes.sizeof(ctypes.c_char_p))
    for position, text in enumerate(more, count):
        longer[position] = text
    return longer


def _attributes() -> Any:
    """Return a new session, no blocked signals, and none that Python ignores."""
    attributes = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    where = ctypes.byref(attributes)
    signals = ctypes.create_string_buffer(_SIGSET_BYTES)
    _libc.posix_spawnattr_init(where)
    _libc.sigemptyset(signals)
    _libc.posix_spawnattr_setsigmask(where, signals)
    for number in IGNORED_BY_PYTHON:
        _libc.sigaddset(signals, int(number))
    _libc.posix_spawnattr_setsigdefault(where, signals)
    flags = ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
    _libc.posix_spawnattr_setflags(where, flags)
    return attributes
