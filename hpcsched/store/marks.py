"""Why a state directory must not be served: a file in it that people can read.

A head that met an error of the disk leaves one, and so does everything that puts
another store in place, until it is done. A start refuses, and says how to go on.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.clock import SystemClock
from hpcsched.store.errors import StoreBrokenError
from hpcsched.store.sql.sqlite import is_damage
from hpcsched.store.state_directory import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "do-not-serve.json"
DISK: Final = "disk"
"""The disk failed while the store was written."""
EXCHANGE: Final = "exchange"
"""Another store was being put in place."""
_ADVICE: Final = {
    DISK: "see to the disk; then `hpcschedd --rewrite-store` writes the store to new "
    "files and looks through them, or `hpcschedd --restore FILE` puts a backup in its "
    "place",
    EXCHANGE: "run the same command again, or `hpcschedd --restore FILE`",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What happened.

    Attributes:
        kind: DISK or EXCHANGE.
        problem: A sentence.
        time: Seconds since 1970, UTC.
    """

    kind: str
    problem: str
    time: float

    @property
    def advice(self) -> str:
        """How to go on."""
        return _ADVICE.get(self.kind, _ADVICE[DISK])


class MarkedError(StoreBrokenError):
    """The directory is marked: nothing in it may be served."""

    def __init__(self, folder: Path, mark: Mark) -> None:
        self.mark = mark
        super().__init__(f"{folder}: {mark.problem}. To go on: {mark.advice}")


def put_mark(folder: Path, mark: Mark) -> None:
    """Mark a directory, durably.

    Raises:
        OSError: the disk does not take it.
    """
    part = folder / (FILE + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(
        part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    try:
        os.write(descriptor, json.dumps(asdict(mark)).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(folder / FILE)
    sync_directory(folder)


def try_to_mark(folder: Path, mark: Mark) -> None:
    """Mark a directory whose disk may not take it: it may well be the one that fails.

    What was written without a sync is there as long as the machine runs.
    """
    with suppress(OSError):
        (folder / FILE).write_text(json.dumps(asdict(mark)) + "\n", encoding="utf-8")
    with suppress(OSError):
        put_mark(folder, mark)


def mark_broken(store: Path, error: BaseException) -> None:
    """Mark a store's directory where its disk has failed, not where we have."""
    if isinstance(error, OSError) or is_damage(error):
        problem = f"the disk failed under {store.name}: {error}"
        try_to_mark(store.parent, Mark(DISK, problem, SystemClock().wall()))


def mark_of(folder: Path) -> Mark | None:
    """Return a directory's mark. One that cannot be read is one all the same."""
    path = folder / FILE
    try:
        found: Any = json.loads(path.read_bytes())
        return Mark(str(found["kind"]), str(found["problem"]), float(found["time"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Mark(DISK, f"{path} cannot be read: {error}", 0.0)


def clear_mark(folder: Path) -> None:
    """Let a directory be served again.

    Raises:
        OSError: the disk does not take it.
    """
    (folder / FILE).unlink(missing_ok=True)
    sync_directory(folder)


def require_unmarked(folder: Path) -> None:
    """Refuse a directory that is marked.

    Raises:
        MarkedError: it is; says how to go on.
    """
    mark = mark_of(folder)
    if mark is not None:
        raise MarkedError(folder, mark)
