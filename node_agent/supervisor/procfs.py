"""What /proc knows of processes: their parents, sessions, children and tags.

Source: proc(5). A process can vanish between two reads, so every reader here answers
"not there" instead of raising.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
READ_BYTES = 65536
SEQ_FILE_BYTES = 3072  # less than this from one read is the whole file
FORKED_ONLY = 0x40
LINKS_OF_ONE_THREAD = 3
HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")

TaskKey = tuple[int, int, int, int]
"""Job, task, instance, attempt."""


class Stat:
    """A process at one moment.

    Attributes:
        state: One letter; Z has ended and waits for its parent.
        parent: Its parent's process id.
        session: Its session's id, the process id of the session's first process.
        start_ticks: Its start, in 1/TICKS_PER_S seconds since boot. With the process
            id it names the process for as long as the machine is up.
    """

    __slots__ = ("parent", "session", "start_ticks", "state")

    def __init__(self, data: bytes) -> None:
        fields = data[data.rindex(b")") + 2 :].split()
        self.state = fields[0].decode()
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.start_ticks = int(fields[19])


def read_stat(pid: int) -> Stat | None:
    """Return what is known of a process, None if there is none of this number."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return Stat(file.read())
    except (OSError, ValueError):
        return None


def allowed_cores(pid: int) -> int:
    """Return a process's cores, bit by bit, also once it has ended; 0: not known."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            text = file.read().partition(b"\nCpus_allowed:")[2]
        return int(text.split(maxsplit=1)[0].replace(b",", b""), 16)
    except (OSError, ValueError, IndexError):
        return 0


def has_executed(pid: int) -> bool:
    """Say whether a process, or what is left of it, has become another program's.

    Source: PF_FORKNOEXEC of the kernel, which each process has until it executes.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read()
        return not int(data[data.rindex(b")") + 2 :].split()[6]) & FORKED_ONLY
    except (OSError, ValueError, IndexError):
        return False


def started_between(stat: Stat, earliest: float, latest: float) -> bool:
    """Say whether the process began in this span of seconds since boot."""
    first = int(earliest * TICKS_PER_S) - 1
    return first <= stat.start_ticks <= int(latest * TICKS_PER_S) + 1


def read_all(descriptor: int) -> bytes:
    """Return the present contents of an open /proc file."""
    data = os.pread(descriptor, READ_BYTES, 0)
    if len(data) < SEQ_FILE_BYTES:
        return data
    parts = [data]
    offset = len(data)
    while data := os.pread(descriptor, READ_BYTES, offset):
        parts.append(data)
        offset += len(data)
    return b"".join(parts)


def children_of(pid: int) -> list[int]:
    """Return the direct children of all threads of a process."""
    found: list[int] = []
    path = f"/proc/{pid}/task"
    try:
        # Each thread is a directory: if there is one, its number is the process's.
        alone = os.stat(path).st_nlink == LINKS_OF_ONE_THREAD
        threads = [pid] if alone else os.listdir(path)
    except OSError:
        return found
    for thread in threads:
        try:
            # Without a file object, which asks the kernel what kind of a file it is.
            file = os.open(f"{path}/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if not HAS_CHILDREN_FILES:
                return _children_by_scan(pid)
            continue
        try:
            found.extend(map(int, read_all(file).split()))
        except OSError:  # it is gone
            continue
        finally:
            os.close(file)
    return found


def _children_by_scan(pid: int) -> list[int]:
    """Do the same on a kernel without CONFIG_PROC_CHILDREN."""
    return [
        child
        for child in processes()
        if (stat := read_stat(child)) is not None and stat.parent == pid
    ]


def descendants_of(roots: Iterable[int], most: int = 0) -> list[int]:
    """Return the roots and all that descends from them, parents first.

    Args:
        roots: Where to begin.
        most: No more than so many; 0: all.
    """
    found = list(roots)
    for pid in found:  # grows while it is walked
        if most and len(found) >= most:
            return found[:most]
        found.extend(children_of(pid))
    return found


def processes() -> Iterator[int]:
    """Return the numbers of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def read_tag(pid: int) -> TaskKey | None:
    """Return the attempt to which the process's environment says it belongs."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            data = b"\0" + file.read()
    except OSError:
        return None
    try:
        names = _value(data, b"HPC_TASK").split(b".")
        job, task, instance = map(int, names)
        return job, task, instance, int(_value(data, b"HPC_ATTEMPT"))
    except ValueError:
        return None


def _value(environment: bytes, name: bytes) -> bytes:
    """Return a variable's value.

    Raises:
        ValueError: it is not set.
    """
    start = environment.index(b"\0" + name + b"=") + len(name) + 2
    return environment[start : environment.index(b"\0", start)]


def read_name(pid: int) -> str:
    """Return the name that a process has given itself, empty if there is none."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.read().strip().decode("utf-8", "replace")
    except OSError:
        return ""


def runs_supervisor_code(pid: int) -> bool:
    """Say whether the process is still a copy of ours, not yet the task's program."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            return b"\0hpc-task-supervisor\0" in file.read()
    except OSError:
        return False


def is_of_another(pid: int, own: Iterable[int]) -> bool:
    """Say whether the process descends from a supervisor that is none of ours.

    Two clusters may have tasks of the same number on one machine.
    """
    seen = {0, 1, *own}
    while pid not in seen:
        seen.add(pid)
        stat = read_stat(pid)
        if stat is None:
            return False
        pid = stat.parent
        if pid not in seen and runs_supervisor_code(pid):
            return True
    return False
