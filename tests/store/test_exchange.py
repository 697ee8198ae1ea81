"""Another store in place of one that nobody serves: whole, or as before."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpcsched.store import exchange
from hpcsched.store.backups import copy_store
from hpcsched.store.errors import StoreError
from hpcsched.store.exchange import UnsoundStoreError
from hpcsched.store.findings import Finding
from hpcsched.store.marks import DISK, Mark, MarkedError, mark_of, put_mark
from hpcsched.store.progress import (
    EVENTS_AHEAD,
    GENERATION_BITS,
    JOBS_AHEAD,
    Progress,
    encode_unsafe,
    progress_of,
)
from hpcsched.store.sql.check import check
from tests.support.store_kit import SqliteKit, a_delta

NOW = 1_800_000_000.0
ONE = 1 << GENERATION_BITS


async def written(folder: Path, jobs: int, first: int = 1) -> Path:
    """Write jobs to a store as heads of term 5 would; return its file."""
    kit = SqliteKit(folder / "hpcsched.db")
    for job_id in range(first, first + jobs):
        counters = {"term": 5, "next_job": job_id + 1}
        await kit.commit(a_delta(job_id, counters=counters))
    await kit.store.close()
    return kit.path


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A state directory with three jobs, and a backup of the first two."""
    path = await written(tmp_path / "state", 2)
    copy_store(path, tmp_path / "kept")
    await written(tmp_path / "state", 1, first=3)
    return path.parent


@pytest.fixture
def backup(state: Path, tmp_path: Path) -> Path:
    return tmp_path / "kept"


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def jobs_of(state: Path) -> list[int]:
    rows = ask(state / "hpcsched.db", "SELECT id FROM job ORDER BY id")
    return [row[0] for row in rows]


def test_what_follows_a_restored_backup_was_never_given_out(
    state: Path, backup: Path
) -> None:
    before = backup.read_bytes()
    done = exchange.restore(state, backup, check, NOW)

    assert jobs_of(state) == [1, 2]
    assert done.progress == Progress(term=ONE, next_job=4, last_seq=4)
    with closing(sqlite3.connect(state / "hpcsched.db")) as connection:
        assert progress_of(connection) == done.progress
    assert ask(state / "hpcsched.db", "SELECT name, value FROM parameter") == [
        ("RestoreMode", "True")
    ]
    assert check(state) == []
    assert mark_of(state) is None
    assert backup.read_bytes() == before
    assert done.kept == state / "replaced-20270115T080000Z"
    rows = ask(done.kept / "hpcsched.db", "SELECT count(*) FROM job")
    assert rows == [(3,)]


def test_each_restored_backup_begins_another_generation(
    state: Path, backup: Path
) -> None:
    first = exchange.restore(state, backup, check, NOW)
    second = exchange.restore(state, backup, check, NOW)

    assert first.progress.term == ONE
    assert second.progress.term == 2 * ONE
    assert first.kept != second.kept


def test_numbers_are_left_out_where_nobody_knows_what_was_given_out(
    state: Path, backup: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    elsewhere = exchange.restore(tmp_path / "new", backup, check, NOW)
    (state / "hpcsched.db").write_bytes(b"nothing " * 1000)
    damaged = exchange.restore(state, backup, check, NOW)

    for done in (elsewhere, damaged):
        assert done.progress.next_job == 3 + JOBS_AHEAD
        assert done.progress.last_seq == 2 + EVENTS_AHEAD + 1
    assert elsewhere.kept is None


def test_a_damaged_number_of_the_store_that_is_replaced_is_not_believed(
    state: Path, backup: Path
) -> None:
    with closing(sqlite3.connect(state / "hpcsched.db")) as connection:
        wrong = "UPDATE counter SET value = 1 << 29 WHERE name = 'next_job'"
        connection.execute(wrong)
        connection.commit()
    done = exchange.restore(state, backup, check, NOW)

    assert done.progress.next_job == 3 + JOBS_AHEAD, "as where nobody knows"


@pytest.mark.parametrize(
    "content", [b"", b"hello " * 1000, b"SQLite format 3\0" + b"\0" * 5000]
)
def test_what_is_no_store_is_refused_and_changes_nothing(
    state: Path, tmp_path: Path, content: bytes
) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)

    with pytest.raises(StoreError):
        exchange.restore(state, other, check, NOW)
    assert jobs_of(state) == [1, 2, 3]
    assert not (state / "exchange.part").exists()
    assert mark_of(state) is None


def test_a_backup_with_findings_is_refused_with_them(state: Path, backup: Path) -> None:
    with pytest.raises(UnsoundStoreError, match="and 10 in all"):
        exchange.restore(state, backup, lambda _: [Finding("x", "ten")] * 10, NOW)
    assert jobs_of(state) == [1, 2, 3]


def test_a_file_that_was_copied_from_under_a_head_is_told_from_a_backup(
    state: Path, backup: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live.db"
    shutil.copy(state / "hpcsched.db", live)

    assert "not a backup" in exchange.restore(state, live, check, NOW).warning
    assert not exchange.restore(state, backup, check, NOW).warning


async def test_what_nodes_have_seen_counts_when_a_rollback_is_accepted(
    state: Path,
) -> None:
    seen = Progress(term=3 * ONE + 7, next_job=900, last_seq=5000)
    entry = ("cluster", "unsafe")
    with closing(sqlite3.connect(state / "hpcsched.db")) as connection:
        body = encode_unsafe("older than n1", seen)
        put = "INSERT INTO entry (kind, name, body) VALUES (?, ?, ?)"
        connection.execute(put, (*entry, body))
        connection.commit()
    done = exchange.accept(state, check, NOW)

    assert done.progress == Progress(term=4 * ONE, next_job=900, last_seq=5001)
    assert ask(state / "hpcsched.db", "SELECT * FROM entry") == []
    assert jobs_of(state) == [1, 2, 3]
    assert not done.warning


async def test_a_rewritten_store_is_the_same_in_new_files(state: Path) -> None:
    put_mark(state, Mark(DISK, "the disk failed", NOW))
    with pytest.raises(MarkedError, match="--rewrite-store"):
        SqliteKit(state / "hpcsched.db")
    number = (state / "hpcsched.db").stat().st_ino
    events = ask(state / "hpcsched.db", "SELECT * FROM event")
    done = exchange.rewrite(state, check, NOW)

    assert (state / "hpcsched.db").stat().st_ino != number
    assert ask(state / "hpcsched.db", "SELECT * FROM event") == events
    assert done.progress.term == 5
    kit = SqliteKit(state / "hpcsched.db")
    assert await kit.commit(a_delta(4)) == 4
    await kit.store.close()


def test_a_damaged_store_is_not_rewritten(state: Path) -> None:
    put_mark(state, Mark(DISK, "the disk failed", NOW))
    with (state / "hpcsched.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_960)

    with pytest.raises(UnsoundStoreError):
        exchange.rewrite(state, check, NOW)
    assert mark_of(state) == Mark(DISK, "the disk failed", NOW)


class KilledError(BaseException):
    """The process ends here."""


def renames(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die before its rename of this number."""
    real, count = Path.rename, iter(range(1, 100))

    def rename(self: Path, target: Path) -> Path:
        if next(count) == limit:
            raise KilledError
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("what", ["restore", "rewrite", "accept"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_exchange_that_is_killed_at_any_rename_ends_when_it_is_run_again(
    state: Path,
    backup: Path,
    what: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (state / "hpcsched.db-wal").touch()

    def run() -> Any:
        if what == "restore":
            return exchange.restore(state, backup, check, NOW)
        work = exchange.rewrite if what == "rewrite" else exchange.accept
        return work(state, check, NOW)

    with monkeypatch.context() as patch:
        renames(number, patch)
        with pytest.raises(KilledError):
            run()
    begun = mark_of(state) is not None
    if begun:
        with pytest.raises(MarkedError, match="run the same command again"):
            asyncio.run(_open(state))
    else:
        assert jobs_of(state) == [1, 2, 3]
    assert begun == (number > 1)
    done = run()

    assert jobs_of(state) == ([1, 2] if what == "restore" else [1, 2, 3])
    assert check(state) == []
    assert mark_of(state) is None
    assert done.progress.next_job == 4


async def _open(state: Path) -> None:
    SqliteKit(state / "hpcsched.db")
