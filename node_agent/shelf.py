"""Where the output of tasks is found.

While a task runs, the node keeps a stream in a slot file; when it has ended, under the
attempt's name, or nowhere if it is empty. A stream with a path of the user's is in the
user's file (ARCHITECTURE.md section 4).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from node_agent.reading import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node_agent.core.attempts import Attempts
    from node_agent.core.definitions import Definitions
    from node_agent.core.orders import Key
    from node_agent.supervised import Supervisor


@dataclass(frozen=True, slots=True)
class Waiting:
    """The attempt waits for a core: there is no output yet."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The attempt runs, and the node keeps the stream in this file."""

    path: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The attempt has ended, and what it left, if anything, is in this file.

    Attributes:
        left: Bytes that it left; None: not known any more.
        job_known: The job has left something here.
    """

    path: str
    left: int | None
    job_known: bool


@dataclass(frozen=True, slots=True)
class UserFile:
    """The stream goes to a file of the user's; None: which one is not known."""

    path: str | None
    running: bool


Place: TypeAlias = Waiting | Slot | Kept | UserFile


class Shelf:
    """Finds streams, and says when what was found has changed."""

    def __init__(
        self,
        directory: Path,
        attempts: Attempts,
        definitions: Definitions,
        supervisor: Supervisor,
    ) -> None:
        """Begin.

        Args:
            directory: The supervisor's ``output``.
            attempts: What lives and lived here.
            definitions: Where the user's paths are.
            supervisor: Asked whether a slot still belongs to an attempt.
        """
        self._directory = directory
        self._attempts = attempts
        self._definitions = definitions
        self._supervisor = supervisor
        self._watched: dict[Key, set[asyncio.Event]] = {}
        self.kept_files = Threads("kept")
        self.user_files = Threads("user")

    @property
    def task_uid(self) -> int:
        """The account that tasks run as."""
        return self._supervisor.account

    def find(self, key: Key, *, stderr: bool) -> Place:
        """Return where a stream is, as far as the supervisor has told."""
        live = self._attempts.live(key)
        if live is not None and not live.running:
            return Waiting()
        if live is not None:
            path = live.err_path if stderr else live.out_path
            if path is not None:
                return Slot(path)
            return UserFile(self.user_path(key, stderr=stderr), running=True)
        ended = self._attempts.ended(key)
        if ended is not None:
            file = ended.err_file if stderr else ended.out_file
            if file is not None:
                return UserFile(file, running=False)
        job, task, instance, attempt = key
        folder = self._directory / str(job)
        name = f"{task}.{instance}.{attempt}.{'err' if stderr else 'out'}"
        left = None
        if ended is not None:
            left = ended.err_bytes if stderr else ended.out_bytes
        return Kept(str(folder / name), left, left is not None or folder.is_dir())

    def user_path(self, key: Key, *, stderr: bool) -> str | None:
        """Return the user's file of a living attempt's stream.

        None: there is none, or it cannot be told: this program was started after the
        attempt, or the path begins in a home directory.
        """
        live = self._attempts.live(key)
        if live is None or not live.definition:
            return None
        definition = self._definitions.find(key[0], key[1], live.definition)
        if definition is None:
            return None
        path = definition.user_path(live.value, stderr=stderr)
        return path if path is not None and path.startswith("/") else None

    async def confirm(self) -> None:
        """Wait until all that has happened up to now is known here.

        Raises:
            SupervisorLostError: the supervisor is gone.
        """
        # Twice: an answer may overtake reports of its own turn, not of the one before.
        await self._supervisor.barrier()
        await self._supervisor.barrier()

    @contextmanager
    def watch(self, key: Key) -> Iterator[asyncio.Event]:
        """Give an event that is set when the attempt starts or ends."""
        event = asyncio.Event()
        self._watched.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            events = self._watched[key]
            events.discard(event)
            if not events:
                del self._watched[key]

    def changed(self, key: Key) -> None:
        """Hear that an attempt has started or ended."""
        if self._watched:
            for event in self._watched.get(key, ()):
                event.set()

    def close(self) -> None:
        """Let the threads go."""
        self.kept_files.close()
        self.user_files.close()
