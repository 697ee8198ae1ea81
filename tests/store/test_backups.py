"""Backups: one moment of a store that goes on, whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.store import backups as backups_module
from hpcsched.store.backups import Backups
from hpcsched.store.errors import (
    NoSuchBackupError,
    StoreBrokenError,
    StoreFullError,
)
from hpcsched.store.sql.check import check
from tests.support.store_kit import SqliteKit, a_delta

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
NAME = "hpcsched-20270115T080000Z.hpcbackup"


async def test_a_backup_is_one_moment_of_a_store_that_is_written_meanwhile(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit_together(*(a_delta(n) for n in range(1, 3000)))
    making = asyncio.ensure_future(sqlite_kit.store.create_backup(NOW))
    written = 3000
    while not making.done():
        await sqlite_kit.commit(a_delta(written))
        written += 1
    made = await making
    path = sqlite_kit.path.parent / "backups" / NAME

    assert made.name == NAME
    assert made.size == path.stat().st_size
    assert made.digest == hashlib.sha256(path.read_bytes()).digest()
    assert 2999 <= made.last_seq < written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert check(path) == []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as copy:
        (newest,) = copy.execute("SELECT max(seq) FROM event").fetchone()
        assert newest == made.last_seq
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(p.name for p in path.parent.iterdir()) == [NAME]


async def test_backups_are_listed_read_and_deleted_by_name(
    sqlite_kit: SqliteKit,
) -> None:
    store = sqlite_kit.store
    await sqlite_kit.commit(a_delta())
    first = await store.create_backup(NOW)
    second = await store.create_backup(NOW)

    assert second.name == "hpcsched-20270115T080000Z-2.hpcbackup"
    assert [b.name for b in await store.list_backups()] == [first.name, second.name]
    whole = await store.read_backup(first.name, 0, 1 << 20)
    assert whole.startswith(b"SQLite format 3")
    assert await store.read_backup(first.name, 100, 50) == whole[100:150]
    assert await store.read_backup(first.name, len(whole), 50) == b""
    await store.delete_backup(first.name)
    assert [b.name for b in await store.list_backups()] == [second.name]
    for name in (first.name, "../state.db", "/etc/passwd", "", "x.hpcbackup/.."):
        with pytest.raises(NoSuchBackupError):
            await store.read_backup(name, 0, 1)
        with pytest.raises(NoSuchBackupError):
            await store.delete_backup(name)


async def test_a_backup_that_would_fill_the_disk_is_refused(
    sqlite_kit: SqliteKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups_module, "RESERVE_BYTES", 1 << 60)

    with pytest.raises(StoreFullError, match="MiB free"):
        await sqlite_kit.store.create_backup(NOW)
    assert await sqlite_kit.store.list_backups() == []


async def test_no_backup_is_left_of_a_store_that_is_damaged(tmp_path: Path) -> None:
    kit = SqliteKit(tmp_path / "s.db")
    await kit.commit_together(*(a_delta(n) for n in range(1, 3000)))
    await kit.store.close()
    with kit.path.open("r+b") as file:
        for page in range(40, 60):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)

    with pytest.raises(StoreBrokenError):
        Backups(kit.path, tmp_path / "kept").create(NOW)
    assert list((tmp_path / "kept").iterdir()) == []
