"""Turning a definition into a process: directory, files, affinity, posix_spawn.

posix_spawn knows no working directory, affinity or cgroup; the spawner's thread sets
them on itself just before, and the child inherits them. What gets cores of its own is
made by other threads where that is possible, see pinned.py.
"""

from __future__ import annotations

import errno
import os
import resource

from node_agent.supervisor import hostfile
from node_agent.supervisor.attempt import cores_in
from node_agent.supervisor.definition import render
from node_agent.supervisor.environment import (
    environment_of,
    shared_and_own,
    words_of,
)
from node_agent.supervisor.failure import StartFailedError
from node_agent.supervisor.linux import IGNORED_BY_PYTHON
from node_agent.supervisor.pinned import vector
from node_agent.supervisor.userfiles import (
    OUTPUT_FLAGS,
    find_program,
    open_file,
    same_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.commands import Config
    from node_agent.supervisor.definition import Definition
    from node_agent.supervisor.nursery import Gate, Nursery
    from node_agent.supervisor.pinned import PinnedStarts
    from node_agent.supervisor.slots import Slot, Slots

SPARE_DESCRIPTORS = 200
DESCRIPTORS_PER_SLOT = 5
RETRIED = {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP}


MOST_SETS = 1024
_NONE: list[bytes] = []


class Launcher:
    """Starts processes.

    Attributes:
        cpus: The cores that this process itself may use.
    """

    def __init__(
        self,
        slots: Slots,
        config: Config,
        nursery: Nursery,
        pinned: PinnedStarts | None = None,
    ) -> None:
        self._nursery = nursery
        self._pinned_starts = pinned
        self._gate: Gate | None = None
        self._slots = slots
        self._config = config
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._low = [os.dup(self._null) for _ in range(3)]
        self.cpus = os.sched_getaffinity(0)
        self._pinned: set[int] = set()
        self._sets: dict[int, set[int]] = {}
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._raised = False

    def start(
        self, attempt: Attempt, queued: Queued, slot: Slot, *, alone: bool = False
    ) -> int:
        """Start the attempt's process in its slot; return the process id.

        One of another account waits for ``let_go``. 0: it is being made, see pinned.py:
        not one that is alone here, as nobody waits for this thread, which is faster.

        Raises:
            StartFailedError: nothing was executed.
        """
        definition = attempt.definition
        if definition.refusal:
            problem = ValueError(definition.refusal)
            wanted = str(definition.raw.get("user")).encode(errors="replace")
            raise StartFailedError("user", problem, wanted)
        if definition.account:
            return self._start_as_another(attempt, queued, slot)
        if not alone and self._begin(attempt, queued, slot):
            return 0
        return self.start_here(attempt, queued, slot)

    def start_here(self, attempt: Attempt, queued: Queued, slot: Slot) -> int:
        """Start it in this thread; return the process id.

        Raises:
            StartFailedError: nothing was executed.
        """
        definition = attempt.definition
        try:
            os.chdir(definition.cwd)
        except (OSError, ValueError) as error:
            raise StartFailedError("cwd", error, definition.cwd) from None
        opened: list[int] = []
        try:
            actions = self._actions(definition, queued, slot, opened)
            self._set_affinity(attempt)
            arguments = definition.arguments(queued.value)
            environment = environment_of(attempt, queued)
            if hostfile.FORMAT in environment:
                self._write_hosts(slot, environment)
            if self._raised:
                actions = self._below_limit(actions)
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._soft, self._hard))
            return self._spawn(definition, arguments, environment, actions)
        finally:
            if self._raised:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._hard, self._hard))
            for descriptor in opened:
                os.close(descriptor)

    def _begin(self, attempt: Attempt, queued: Queued, slot: Slot) -> bool:
        """Have a process made elsewhere that gets cores of its own, if that can be."""
        starts = self._pinned_starts
        cores = self._cores_of(attempt)
        if starts is None or cores is self.cpus or self._raised:
            return False
        definition = attempt.definition
        if definition.stdin or definition.stdout or definition.stderr:
            return False
        arguments = definition.arguments(queued.value)
        path = definition.common.program_path or (arguments[0] if arguments else b"")
        if not path.startswith(b"/") or b"\0" in b"".join(arguments):
            return False
        for kind, code in ((0, "stdout"), (1, "stderr")):
            self._private(slot, kind, code)
        if queued.extra or hostfile.FORMAT in definition.given:
            environment = environment_of(attempt, queued)
            if hostfile.FORMAT in environment:
                self._write_hosts(slot, environment)
            shared, own = vector(words_of(environment)), _NONE
        else:
            shared, own = shared_and_own(attempt)
        return starts.begin(
            attempt,
            queued,
            slot,
            cores=cores,
            path=path,
            arguments=arguments,
            environment=shared,
            own=own,
        )

    def _start_as_another(self, attempt: Attempt, queued: Queued, slot: Slot) -> int:
        """Make the process that becomes the account's, and then the task's.

        It does what cannot be done as root: see dropping.py. What fails there is told
        by ``delegating.failure_of`` when the process has ended.

        Raises:
            StartFailedError: there is not even that process.
        """
        from node_agent.supervisor import delegating  # noqa: PLC0415 - only if wanted

        definition = attempt.definition
        self.unpin()
        environment = environment_of(attempt, queued)
        if hostfile.FORMAT in environment:
            self._write_hosts(slot, environment)
        streams = [self._null] * 3
        for kind, template in enumerate((definition.stdout, definition.stderr)):
            if template is None:
                code = ("stdout", "stderr")[kind]
                streams[kind + 1] = self._private(slot, kind, code)
        order = delegating.order_of(definition, queued.value, environment, self._config)
        order["files"] = (self._soft, self._hard)
        gate = delegating.spawn(
            self._nursery, order, slot, streams, contained=attempt.contained
        )
        try:
            os.sched_setaffinity(gate.pid, self._cores_of(attempt))
        except OSError as error:
            gate.close()
            what = b"its cores"
            raise StartFailedError("start", error, what, is_of_node=True) from None
        self._gate = gate
        return gate.pid

    def let_go(self, *, on_record: bool) -> None:
        """Let the process go that waits, now that its number is in the journal.

        Without that it ends, and its end tells that it never was the task.
        """
        gate, self._gate = self._gate, None
        if gate is not None and on_record:
            gate.open()
        elif gate is not None:
            gate.close()

    def make_ready(self) -> None:
        """Have at hand what starts of other accounts need.

        Raises:
            OSError: it cannot be started.
        """
        self.unpin()
        self._nursery.make_ready()

    def close(self) -> None:
        """End what is at hand."""
        self._nursery.close()

    def reaped(self, pid: int) -> bool:
        """Say whether a child that has ended was one of ours, and no task."""
        return self._nursery.reaped(pid)

    def _below_limit(
        self, actions: tuple[tuple[Any, ...], ...]
    ) -> tuple[tuple[Any, ...], ...]:
        """Return the actions with descriptors that the task's own limit allows.

        glibc refuses to name any other, see posix_spawn_file_actions_adddup2(3).
        """
        lowered = []
        for action, descriptor, target in actions:
            low = descriptor
            if descriptor >= self._soft:
                low = os.dup2(descriptor, self._low[target], inheritable=False)
            lowered.append((action, low, target))
        return tuple(lowered)

    def unpin(self) -> None:
        """Let this process use every core again."""
        if self._pinned:
            os.sched_setaffinity(0, self.cpus)
            self._pinned = set()

    def make_room(self) -> None:
        """Raise the limit of descriptors when the slots come near it.

        Tasks keep the limit that this process was started with.
        """
        needed = len(self._slots) * DESCRIPTORS_PER_SLOT + SPARE_DESCRIPTORS
        if not self._raised and self._soft < needed and self._soft != self._hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._hard, self._hard))
            self._raised = True

    def _cores_of(self, attempt: Attempt) -> set[int]:
        """Return the cores that its processes may use."""
        mask = attempt.cores
        if not (attempt.definition.pin and mask):
            return self.cpus
        known = self._sets.get(mask)
        if known is None:
            cores = set(cores_in(mask))
            if not self.cpus.issuperset(cores):
                cores = self.cpus
            known = self._sets[mask] = cores
            if len(self._sets) > MOST_SETS:
                self._sets = {mask: known}
        return known

    def _set_affinity(self, attempt: Attempt) -> None:
        cores = self._cores_of(attempt)
        if cores is self.cpus:
            self.unpin()
            return
        if cores != self._pinned:
            os.sched_setaffinity(0, cores)
            self._pinned = cores

    def _write_hosts(self, slot: Slot, environment: dict[bytes, bytes]) -> None:
        try:
            self._slots.write_hosts(slot, environment)
        except OSError as error:
            path = slot.hosts.encode()
            raise StartFailedError("hosts", error, path, is_of_node=True) from None

    def _actions(
        self, definition: Definition, queued: Queued, slot: Slot, opened: list[int]
    ) -> tuple[tuple[Any, ...], ...]:
        plain = not (definition.stdin or definition.stdout or definition.stderr)
        if plain and slot.actions is not None:
            return slot.actions
        value = queued.value
        streams = [self._null, self._null, self._null]
        names = (definition.stdin, definition.stdout, definition.stderr)
        rendered = [None if name is None else render(name, value) for name in names]
        if rendered[0] is not None:
            streams[0] = open_file("stdin", rendered[0], os.O_RDONLY, opened)
        for kind, code in ((0, "stdout"), (1, "stderr")):
            path = rendered[kind + 1]
            if path is None:
                streams[kind + 1] = self._private(slot, kind, code)
            elif kind and rendered[1] is not None and same_path(path, rendered[1]):
                streams[2] = streams[1]
            else:
                streams[kind + 1] = open_file(code, path, OUTPUT_FLAGS, opened)
        actions = tuple(
            (os.POSIX_SPAWN_DUP2, descriptor, target)
            for target, descriptor in enumerate(streams)
        )
        if plain:
            slot.actions = actions
        return actions

    def _private(self, slot: Slot, kind: int, code: str) -> int:
        try:
            return self._slots.open(slot, kind)
        except OSError as error:
            path = slot.paths[kind].encode()
            raise StartFailedError(code, error, path, is_of_node=True) from None

    def _spawn(
        self,
        definition: Definition,
        arguments: list[bytes],
        environment: dict[bytes, bytes],
        actions: tuple[tuple[Any, ...], ...],
    ) -> int:
        program = arguments[0] if arguments else b""
        known = definition.common.program_path
        try:
            path = known or find_program(program, environment)
            try:
                pid = _posix_spawn(path, arguments, environment, actions)
            except OSError as error:
                if known is None or error.errno not in RETRIED:
                    raise
                definition.common.program_path = None
                path = find_program(program, environment)
                pid = _posix_spawn(path, arguments, environment, actions)
        except (OSError, ValueError) as error:
            raise StartFailedError("exec", error, program) from None
        if definition.program_is_constant and os.path.isabs(path):
            definition.common.program_path = path
        return pid


def _posix_spawn(
    path: bytes,
    arguments: list[bytes],
    environment: dict[bytes, bytes],
    actions: tuple[tuple[Any, ...], ...],
) -> int:
    try:
        return os.posix_spawn(
            path,
            arguments,
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=IGNORED_BY_PYTHON,
        )
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without a first line for its interpreter: execvp(3) runs it by sh.
        return _posix_spawn(
            b"/bin/sh", [b"/bin/sh", path, *arguments[1:]], environment, actions
        )
