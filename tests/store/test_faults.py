"""Real processes, real signals, real errors of the disk."""

from __future__ import annotations

import asyncio
import errno
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.errors import StoreBrokenError, StoreTakenError
from hpcsched.store.marks import MarkedError, clear_mark, mark_of
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.check import check
from hpcsched.store.sql.sqlite import log_size
from tests.support.polling import PATIENCE_S, wait_for_async
from tests.support.store_kit import SqliteKit, a_delta, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
WRITER = (sys.executable, "-m", "tests.support.store_writer")

PAGE = 4096

STRACE = shutil.which("strace")
UNSHARE = shutil.which("unshare")


def start(*command: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def output_of(*command: str | Path) -> list[str]:
    """Run to the end; return the lines that were printed."""
    with start(*command) as process:
        text, _ = process.communicate(timeout=PATIENCE_S)
    return text.splitlines()


def works(*command: str) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=PATIENCE_S
        )
    except OSError:
        return False
    return done.returncode == 0


async def jobs_in(path: Path) -> dict[int, int]:
    """Return the sequence of each job's event."""
    kit = SqliteKit(path)
    try:
        return {e.job_id: e.seq for e in await kit.store.read_events(0, 10**6)}
    finally:
        await kit.store.close()


def acked_in(lines: Sequence[str]) -> dict[int, int]:
    words = [line.split() for line in lines]
    return {int(w[1]): int(w[2]) for w in words if w[0] == "ack" and len(w) == 3}


@pytest.mark.parametrize("eager", [False, True], ids=["usual", "eager"])
async def test_a_killed_writer_loses_nothing_that_it_acknowledged(
    tmp_path: Path, *, eager: bool
) -> None:
    path = tmp_path / "s.db"
    acked: dict[int, int] = {}
    for turn in range(3):
        options = ["--in-flight", str(1 + 40 * turn), *(["--eager"] if eager else [])]
        first = 1 + turn * 1_000_000
        with start(*WRITER, path, str(first), "0", *options) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(100 + 157 * turn)]
            process.kill()
            lines += process.stdout.read().splitlines(keepends=True)
        acked |= acked_in([line for line in lines if line.endswith("\n")])

        kept = await jobs_in(path)
        assert len(acked) >= 90
        assert acked.items() <= kept.items()
        assert sorted(kept.values()) == list(range(1, len(kept) + 1))
        assert check(path) == []


@pytest.mark.skipif(
    not (STRACE and works(STRACE, "-f", "true")), reason="needs a working strace"
)
@pytest.mark.parametrize("nth", range(1, 16))
async def test_nothing_is_acknowledged_after_the_first_failed_sync(
    tmp_path: Path, nth: int
) -> None:
    assert STRACE is not None
    path = tmp_path / "s.db"
    lines = output_of(
        STRACE,
        "-f",
        "--seccomp-bpf",
        "-o",
        tmp_path / "trace",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        f"inject=fsync,fdatasync:error=EIO:when={nth}",
        *WRITER,
        path,
        "1",
        "20",  # so that none of the numbers falls on the end, when all are answered
        "--eager",
    )
    injected = "INJECTED" in (tmp_path / "trace").read_text()

    assert injected, "fewer syncs than that: take the number off the list"
    kinds = [line.split()[0] for line in lines]
    if kinds[0] == "not":
        assert kinds == ["not"]
        touched = lines[0].endswith("StoreBrokenError")
        assert (mark_of(tmp_path) is not None) == touched
        return
    fault = kinds.index("broken")
    assert "ack" not in kinds[fault:]
    after = [line for line in lines if line.startswith("fail")]
    assert all(line.endswith("StoreBrokenError") for line in after)
    # The log was neither copied nor deleted after the error.
    assert log_size(path) > 0
    with pytest.raises(MarkedError, match="--rewrite-store"):
        await jobs_in(path)
    clear_mark(tmp_path)
    assert acked_in(lines).items() <= (await jobs_in(path)).items()


@pytest.mark.skipif(
    not (UNSHARE and works(UNSHARE, "-rm", "true")), reason="needs mount namespaces"
)
def test_a_full_disk_fails_commits_while_reads_go_on_and_room_mends_it(
    tmp_path: Path,
) -> None:
    assert UNSHARE is not None
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=4m none {disk} && "
        f"dd if=/dev/zero of={disk}/filler bs=64k count=16 2>/dev/null && "
        f'exec "$@" {disk}/s.db --fill {disk}/filler'
    )
    lines = output_of(UNSHARE, "-rm", "sh", "-c", script, "sh", *WRITER)

    words = [line.split() for line in lines]
    assert words[0] == ["open"]
    assert words[1][:2] == ["full", str(errno.ENOSPC)]
    written = int(words[1][2])
    assert written > 10
    assert lines[2:] == [
        "still full",
        "still full",
        "still full",
        f"read {written}",
        f"wrote {written + 1}",
        "findings []",
    ]


async def test_a_damaged_file_is_found_and_not_served(tmp_path: Path) -> None:
    kit = SqliteKit(tmp_path / "s.db")
    await kit.commit_together(*(a_delta(n) for n in range(1, 3000)))
    await kit.store.close()
    pages = kit.path.stat().st_size // PAGE
    with kit.path.open("r+b") as file:
        for page in range(pages // 2, pages, 7):
            file.seek(page * PAGE)
            file.write(b"\xff" * PAGE)
    findings = check(kit.path)

    assert findings
    assert {finding.rule for finding in findings} <= {"sound", "readable"}
    with pytest.raises(StoreBrokenError):
        SqliteKit(kit.path)


async def test_an_error_of_the_disk_in_a_reader_stops_the_writer(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(a_delta(1))
    readers = sqlite_kit.store._readers

    def fail(connection: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    with pytest.raises(StoreBrokenError):
        await readers.read(fail)
    with pytest.raises(StoreBrokenError):
        await sqlite_kit.commit(a_delta(2))
    assert len(sqlite_kit.broken) == 1
    assert len(await sqlite_kit.store.read_events(0, 10)) == 1  # reads go on


async def test_a_broken_store_answers_everything_that_had_queued(
    sqlite_kit: SqliteKit,
) -> None:
    sqlite_kit.store._writer.break_down(OSError("gone"))
    answers = []
    for job_id in range(1, 101):
        answer = asyncio.get_running_loop().create_future()
        sqlite_kit.store.commit(a_delta(job_id), settle(answer))
        answers.append(answer)

    for answer in answers:
        with pytest.raises(StoreBrokenError):
            await answer
    with pytest.raises(StoreBrokenError):
        await sqlite_kit.store.forget_requests(1.0)


async def test_a_disk_that_fails_at_the_end_is_told_and_marked(
    sqlite_kit: SqliteKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite_kit.commit(a_delta(1))

    def fail(connection: sqlite3.Connection, *, truncate: bool = False) -> bool:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "checkpoint", fail)
        await sqlite_kit.store.close()
    assert [type(error) for error in sqlite_kit.broken] == [StoreBrokenError]
    with pytest.raises(MarkedError):
        await sqlite_kit.reopen()
    clear_mark(sqlite_kit.path.parent)

    assert (await jobs_in(sqlite_kit.path)).keys() == {1}


async def test_a_store_that_another_head_has_opened_takes_nothing_from_the_first(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(a_delta(1))
    other = SqliteKit(sqlite_kit.path)
    with pytest.raises(StoreTakenError, match="another head"):
        await sqlite_kit.commit(a_delta(2))
    with pytest.raises(StoreTakenError):
        await sqlite_kit.store.forget_requests(5.0)

    assert await other.commit(a_delta(2)) == 2
    assert [type(error) for error in sqlite_kit.broken] == [StoreTakenError]
    assert mark_of(sqlite_kit.path.parent) is None
    await other.store.close()


async def test_a_head_that_writes_nothing_learns_that_its_store_is_taken(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.store.space_problem()
    assert sqlite_kit.broken == []
    other = SqliteKit(sqlite_kit.path)
    await sqlite_kit.store.space_problem()
    await wait_for_async(lambda: bool(sqlite_kit.broken))

    assert isinstance(sqlite_kit.broken[0], StoreTakenError)
    await other.store.close()


async def test_a_store_whose_files_were_exchanged_takes_nothing_more(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(a_delta(1))
    shutil.copy(sqlite_kit.path, sqlite_kit.path.with_suffix(".new"))
    sqlite_kit.path.with_suffix(".new").rename(sqlite_kit.path)

    with pytest.raises(StoreTakenError, match="not the file"):
        await sqlite_kit.commit(a_delta(2))
