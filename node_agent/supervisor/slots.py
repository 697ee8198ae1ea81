"""Slots: private output files, opened ahead and used again while they stay empty."""

from __future__ import annotations

import codecs
import contextlib
import json
import os

from node_agent.supervisor import hostfile
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.definition import Definition
    from node_agent.supervisor.outputs import Outputs

OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
CLOSED = -1


class Slot:
    """The files of one running attempt. Each is opened when it is first needed.

    Attributes:
        number: Also names the cgroup.
        paths: Of stdout and stderr.
        json_paths: The same, as they stand in a report.
        hosts: Path of the list of hosts of a task that wants one.
        has_hosts: Whether that file was written.
        failure: Path of the file that tells why a task of another account could not
            start.
        fds: Their descriptors, CLOSED while not open.
        actions: What posix_spawn does with them, None if they have changed.
    """

    __slots__ = (
        "actions",
        "failure",
        "fds",
        "has_hosts",
        "hosts",
        "json_paths",
        "number",
        "paths",
    )

    def __init__(self, directory: str, number: int, hosts: str | None = None) -> None:
        self.number = number
        base = os.path.join(directory, str(number))
        self.paths = (base + ".out", base + ".err")
        self.json_paths = (json.dumps(self.paths[0]), json.dumps(self.paths[1]))
        self.hosts = os.path.join(hosts or directory, f"{number}.hosts")
        self.failure = base + ".failure"
        self.has_hosts = False
        self.fds = [CLOSED, CLOSED]
        self.actions: tuple[tuple[Any, ...], ...] | None = None

    def close(self, kind: int) -> None:
        """Close one of the files."""
        if self.fds[kind] != CLOSED:
            os.close(self.fds[kind])
            self.fds[kind] = CLOSED
            self.actions = None


class Slots:
    """The pool of slots. The slot that was freed last is used first.

    Args:
        hosts: Where lists of hosts go that any account may read: tasks have several.
            Then nothing that one task had open is used for another.
    """

    __slots__ = (
        "_all",
        "_directory",
        "_file_mode",
        "_for_group",
        "_free",
        "_hosts",
        "_outputs",
    )

    def __init__(
        self,
        directory: str,
        outputs: Outputs,
        *,
        for_group: bool,
        hosts: str | None = None,
    ) -> None:
        self._hosts = hosts
        self._directory = directory
        self._outputs = outputs
        self._for_group = for_group
        self._file_mode = 0o640 if for_group else 0o600
        self._all: list[Slot] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._all)

    def take(self) -> Slot:
        """Return a free slot."""
        if self._free:
            return self._all[self._free.pop()]
        slot = Slot(self._directory, len(self._all), self._hosts)
        self._all.append(slot)
        return slot

    def reserve(self, number: int) -> Slot:
        """Return the slot of this number, which a task of an earlier run uses."""
        while len(self._all) <= number:
            self._free.append(len(self._all))
            self._all.append(Slot(self._directory, len(self._all), self._hosts))
        if number in self._free:
            self._free.remove(number)
        slot = self._all[number]
        slot.has_hosts = os.path.exists(slot.hosts)
        return slot

    def write_hosts(self, slot: Slot, environment: dict[bytes, bytes]) -> None:
        """Write a task's list of hosts, and name it in its environment.

        Raises:
            OSError: it cannot be written.
        """
        mode = self._file_mode if self._hosts is None else 0o644
        hostfile.write(slot.hosts, environment, mode)
        slot.has_hosts = True

    def next_free(self) -> int | None:
        """Return the number of the slot that the next task will get."""
        return self._free[-1] if self._free else None

    def open(self, slot: Slot, kind: int) -> int:
        """Return the descriptor of a stream's private file, empty or as it was left.

        Raises:
            OSError: it cannot be opened.
        """
        if slot.fds[kind] == CLOSED:
            slot.fds[kind] = os.open(slot.paths[kind], OPEN_FLAGS, self._file_mode)
            if self._for_group:
                os.fchmod(slot.fds[kind], self._file_mode)
            slot.actions = None
        return slot.fds[kind]

    def slot(self, number: int) -> Slot:
        """Return a slot by its number."""
        return self._all[number]

    def sizes(self, slot: Slot, definition: Definition) -> tuple[int, int]:
        """Return how much the private files of the streams hold.

        A stream with a file of the user's counts as empty.
        """
        out, err = slot.fds
        return (
            0
            if out == CLOSED or definition.stdout is not None
            else os.lseek(out, 0, os.SEEK_END),
            0
            if err == CLOSED or definition.stderr is not None
            else os.lseek(err, 0, os.SEEK_END),
        )

    def put_away(self, slot: Slot, kind: int, key: tuple[int, int, int, int]) -> None:
        """Keep what an attempt has written; the next one gets a new file."""
        try:
            self._outputs.keep(key, kind, slot.paths[kind])
        except OSError as error:  # it was removed, or the disk is full
            log(f"output of task {key} is not kept: {error}")
            os.ftruncate(slot.fds[kind], 0)
            if not _is_same(slot.fds[kind], slot.paths[kind]):
                slot.close(kind)
            return
        slot.close(kind)

    def give_back(self, slot: Slot) -> None:
        """Make a slot free whose attempt has ended; its files are empty."""
        if slot.has_hosts:
            hostfile.remove(slot.hosts)
            slot.has_hosts = False
        if self._hosts is not None:
            self._discard(slot)
        self._free.append(slot.number)

    def _discard(self, slot: Slot) -> None:
        """Remove a slot's files: a process of its account may still have them open."""
        for kind in (0, 1):
            slot.close(kind)
        for path in (*slot.paths, slot.failure):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def clear(self) -> None:
        """Empty the files of free slots: their attempts have ended long ago."""
        for number in self._free:  # opened for one that had ended in the meantime
            self._all[number].close(0)
            self._all[number].close(1)
        used = {slot.number for slot in self._all} - set(self._free)
        for name in os.listdir(self._directory):
            stem, _, _ = name.partition(".")
            if not (stem.isdigit() and int(stem) in used):
                os.unlink(os.path.join(self._directory, name))


def _is_same(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def first_bytes(
    descriptors: tuple[int, int], sizes: tuple[int, int], limit: int
) -> str:
    """Return the beginning of stdout and stderr, together at most ``limit`` bytes.

    Each gets at least half if both have more. A character that does not fit is left
    out whole; what is no UTF-8 is replaced.
    """
    half = limit // 2
    out, err = sizes
    if out + err > limit:
        if out <= half:
            err = limit - out
        elif err <= half:
            out = limit - err
        else:
            out, err = limit - half, half
    return "".join(
        _text(descriptor, count, cut=count < size)
        for descriptor, count, size in zip(descriptors, (out, err), sizes, strict=True)
        if count
    )


def _text(descriptor: int, count: int, *, cut: bool) -> str:
    data = os.pread(descriptor, count, 0)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(data, final=not cut)
