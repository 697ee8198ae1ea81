"""What a power cut may leave of a store: images of its files, and what they must hold.

A process that writes to a store is traced: every write, truncation and sync of its
files, and every acknowledgement that it printed, in their order. At any point of that
the machine may stop. Then what was synced is there, and of what was not any part: each
sector of 512 bytes that a write touched is the new one or the old one, a file may be
longer or shorter, a name that the directory was not synced for may be missing.

``python -m tests.support.crash_images --images 50000`` makes that many, and looks
whether each holds what had been acknowledged.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
SECTOR = 512
NAMES = ("s.db", "s.db-wal")
CALLS = "openat,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,write"
_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)")
_FILE = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that happened: write, truncate, sync, names, unlink or ack.

    Attributes:
        name: The file; empty for ack, and for the directory.
        at: Offset or size; the job of an ack.
    """

    kind: str
    name: str = ""
    at: int = 0
    data: bytes = b""


@dataclass(slots=True)
class Disk:
    """One file: what is certain, and what may come on top of it."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)
    named: bool = False

    def take(self, op: Op) -> None:
        if op.kind == "sync":
            for one in self.pending:
                _apply(self.synced, one)
            self.pending.clear()
        else:
            self.pending.append(op)

    def whole(self) -> bytes:
        """Return what a process sees: everything that was written."""
        content = bytearray(self.synced)
        for one in self.pending:
            _apply(content, one)
        return bytes(content)

    def image(self, die: random.Random) -> bytes | None:
        """Return what the disk may have."""
        if not self.named and die.random() < 0.3:
            return None
        content = bytearray(self.synced)
        keep = die.choice((0.0, 0.5, 0.9, 1.0))
        for one in self.pending:
            if die.random() < keep:
                _apply(content, one)
            elif one.kind == "write":
                _tear(content, one, die)
        return bytes(content)


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))
        return
    content.extend(bytes(max(0, op.at - len(content))))
    content[op.at : op.at + len(op.data)] = op.data


def _tear(content: bytearray, op: Op, die: random.Random) -> None:
    """Write some sectors of a write; seldom any."""
    if die.random() < 0.5:
        return
    share = die.random()
    for start in range(0, len(op.data), SECTOR):
        if die.random() < share:
            part = op.data[start : start + SECTOR]
            _apply(content, Op("write", op.name, op.at + start, part))


def recorded(folder: Path, *writer: str) -> list[Op]:
    """Run a writer to its end under strace; return what it did to ``folder``/s.db."""
    strace = shutil.which("strace")
    assert strace is not None, "needs strace"
    trace = folder / "trace"
    command = (
        *(strace, "-f", "-y", "-xx", "-s", "1000000", "-o", str(trace)),
        *("-e", f"trace={CALLS}", sys.executable, "-m", "tests.support.store_writer"),
        *(str(folder / "store" / "s.db"), *writer),
    )
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    ops = list(_ops(trace, folder / "store"))
    trace.unlink()
    return ops


def _ops(trace: Path, folder: Path) -> Iterator[Op]:
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                continue
            pid, text = found.groups()
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>")
                continue
            if text.startswith("<... "):
                text = begun.pop(pid, "") + text.partition("resumed>")[2]
            call = _CALL.match(text)
            if call is not None and not call[3].startswith("-"):
                yield from _op(call[1], call[2], folder)


def _op(call: str, arguments: str, folder: Path) -> Iterator[Op]:
    if call == "write":
        if arguments.startswith("1<"):
            yield from _acks(_bytes(arguments).decode())
        return
    if call in {"unlink", "unlinkat"}:
        path = folder / Path(_bytes(arguments).decode()).name
    else:
        file = _FILE.match(arguments)
        path = Path(_text(file[1])) if file else Path()
    if call in {"fsync", "fdatasync"} and path == folder:
        yield Op("names")
    elif path.parent == folder and path.name in NAMES:
        yield from _op_of_file(call, arguments, path.name)


def _acks(printed: str) -> Iterator[Op]:
    for line in printed.splitlines():
        words = line.split()
        if words[0] == "ack":
            yield Op("ack", at=int(words[1]))


def _op_of_file(call: str, arguments: str, name: str) -> Iterator[Op]:
    last = arguments.rpartition(",")[2]
    match call:
        case "fsync" | "fdatasync":
            yield Op("sync", name)
        case "unlink" | "unlinkat":
            yield Op("unlink", name)
        case "pwrite64":
            yield Op("write", name, int(last), _bytes(arguments))
        case "ftruncate":
            yield Op("truncate", name, int(last))


def _bytes(arguments: str) -> bytes:
    quoted = arguments.partition('"')[2].rpartition('"')[0]
    return bytes.fromhex(quoted.replace("\\x", ""))


def _text(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if "\\x" in path else path


def lost(ops: Sequence[Op], images: int, seed: int, place: Path) -> list[str]:
    """Make images of random moments; return what is wrong with any of them.

    Args:
        ops: What was recorded.
        images: How many, spread over all moments.
        seed: Of the die.
        place: A directory for the images.
    """
    wrong: list[str] = []
    made = images_of(ops, images, seed, {})
    for number, (moment, parts, acked) in enumerate(made):
        problem = _problem(parts, acked, place)
        if problem:
            wrong.append(f"image {number} (seed {seed}), operation {moment}: {problem}")
    return wrong


def images_of(
    ops: Sequence[Op], images: int, seed: int, before: Mapping[str, bytes]
) -> Iterator[tuple[int, dict[str, bytes | None], set[int]]]:
    """Yield operation, files and acknowledged jobs at random moments of power cuts.

    Args:
        ops: What was recorded.
        images: How many, spread over all moments.
        seed: Of the die.
        before: Files that were on the disk already.
    """
    die = random.Random(seed)
    moments = sorted(die.randrange(1, len(ops) + 1) for _ in range(images))
    disks = {n: Disk(synced=bytearray(c), named=True) for n, c in before.items()}
    acked: set[int] = set()
    at = 0
    for moment in moments:
        for op in ops[at:moment]:
            _take(op, disks, acked)
        at = moment
        parts = {name: disk.image(die) for name, disk in disks.items()}
        yield moment, parts, acked


def kills_of(
    ops: Sequence[Op], before: Mapping[str, bytes]
) -> Iterator[tuple[int, dict[str, bytes | None], set[int]]]:
    """Yield the same for a process that was killed, after each operation."""
    disks = {n: Disk(synced=bytearray(c), named=True) for n, c in before.items()}
    acked: set[int] = set()
    for moment, op in enumerate(ops, start=1):
        _take(op, disks, acked)
        whole: dict[str, bytes | None] = {n: d.whole() for n, d in disks.items()}
        yield moment, whole, acked


def put(parts: Mapping[str, bytes | None], place: Path) -> None:
    """Make the files of an image."""
    for name in (*NAMES, "s.db-shm"):
        (place / name).unlink(missing_ok=True)
    for name, content in parts.items():
        if content is not None:
            (place / name).write_bytes(content)


def _take(op: Op, disks: dict[str, Disk], acked: set[int]) -> None:
    match op.kind:
        case "ack":
            acked.add(op.at)
        case "names":
            for disk in disks.values():
                disk.named = True
        case "unlink":
            disks.pop(op.name, None)
        case _:
            disks.setdefault(op.name, Disk()).take(op)


def _problem(parts: dict[str, bytes | None], acked: set[int], place: Path) -> str:
    """Return what is wrong with an image; empty: it holds what was acknowledged."""
    put(parts, place)
    events: list[tuple[int, int]] = []
    if (place / "s.db").exists():
        try:
            events = _events(place / "s.db")
        except sqlite3.Error as error:
            return f"{error}, {len(acked)} acknowledged"
    missing = acked - {job_id for _, job_id in events}
    if missing:
        return f"{len(missing)} of {len(acked)} acknowledged are lost"
    gaps = [seq for seq, _ in events] != list(range(1, len(events) + 1))
    return "a gap in the sequence" if gaps else ""


def _events(path: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as found:
        sound = found.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if sound != "ok":
            raise sqlite3.DatabaseError(f"not sound: {sound}")
        tables = found.execute("SELECT name FROM sqlite_master").fetchall()
        if ("event",) not in tables:
            return []
        rows = found.execute("SELECT seq, job_id FROM event ORDER BY seq")
        return rows.fetchall()


def run(images: int, seed: int, *writer: str) -> tuple[list[Op], list[str]]:
    """Record a writer, and look at images of it."""
    with tempfile.TemporaryDirectory(prefix="hpcsched-images-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        ops = recorded(folder, *writer)
        place = folder / "image"
        place.mkdir()
        return ops, lost(ops, images, seed, place)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default="150")
    given = parser.parse_args()
    status = 0
    for options in ((), ("--eager",), ("--in-flight", "8"), ("--normal",)):
        command = ("1", given.jobs, *options)
        ops, wrong = run(given.images // 4, given.seed, *command)
        acks = sum(op.kind == "ack" for op in ops)
        told = f"{len(ops)} operations, {acks} acknowledged"
        name = " ".join(options) or "as usual"
        sys.stdout.write(f"{name}: {told}, {given.images // 4} images, ")
        sys.stdout.write(f"{len(wrong)} wrong\n")
        expected = "--normal" in options
        if bool(wrong) != expected:
            status = 1
            sys.stdout.write("\n".join(wrong[:20]) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
