"""What the SQLite backend does beyond the promises of every store."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.base import Delta, TaskOutput
from hpcsched.store.errors import (
    DeltaRefusedError,
    StaleRevisionError,
    StoreBrokenError,
    StoreBusyError,
    StoreFormatError,
)
from hpcsched.store.opener import open_store, path_of
from hpcsched.store.space import BALLAST
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.chores import Chores
from tests.support.polling import wait_for, wait_for_async
from tests.support.store_kit import (
    SqliteKit,
    a_delta,
    a_row,
    an_ended_row,
    an_event,
    settle,
)

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.store.sql.session import WriterSession


def rows_in(path: Path, table: str) -> int:
    query = f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of ours
    with closing(sqlite.connect_reader(path)) as connection:
        count: int = connection.execute(query).fetchone()[0]
        return count


async def test_what_queues_while_a_commit_runs_becomes_one_transaction(
    sqlite_kit: SqliteKit,
) -> None:
    # Another program holds the write lock, so the first commit waits in BEGIN.
    other = sqlite3.connect(sqlite_kit.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.get_running_loop().create_future()
    sqlite_kit.store.commit(a_delta(1), settle(first))
    await wait_for_async(lambda: not sqlite_kit.store._gathered)
    await wait_for_async(sqlite_kit.store._writer._queue.empty)
    answers = []
    for job_id in range(2, 1002):
        answer = asyncio.get_running_loop().create_future()
        sqlite_kit.store.commit(a_delta(job_id), settle(answer))
        answers.append(answer)
    other.execute("ROLLBACK")
    other.close()
    for answer in [first, *answers]:
        await answer

    assert sqlite_kit.store.stats.transactions == 2
    assert sqlite_kit.store.stats.deltas == 1001


async def test_all_answers_of_a_transaction_come_in_one_call_into_the_loop(
    sqlite_kit: SqliteKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    await sqlite_kit.commit(Delta())
    calls: list[object] = []
    real = loop.call_soon_threadsafe

    class Counting:
        def call_soon_threadsafe(self, function, *args):  # type: ignore[no-untyped-def]
            calls.append(function)
            return real(function, *args)

    monkeypatch.setattr(sqlite_kit.store._writer, "_loop", Counting())
    last = loop.create_future()
    for job_id in range(1, 101):
        done = settle(last) if job_id == 100 else lambda seq, error: None
        sqlite_kit.store.commit(a_delta(job_id), done)
    await last

    assert len(calls) == sqlite_kit.store.stats.transactions - 1


async def test_a_reader_never_sees_a_part_of_a_transaction(
    sqlite_kit: SqliteKit,
) -> None:
    seen: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        with closing(sqlite.connect_reader(sqlite_kit.path)) as connection:
            while not stop.is_set():
                query = "SELECT count(*) FROM event"
                seen.add(connection.execute(query).fetchone()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    for block in range(20):
        await sqlite_kit.commit_together(
            *(a_delta(block * 700 + n) for n in range(1, 701))
        )
    stop.set()
    watcher.join()

    assert len(seen) > 1
    assert all(count % 700 == 0 for count in seen)


async def test_a_value_that_the_database_refuses_fails_its_own_delta_only(
    sqlite_kit: SqliteKit,
) -> None:
    answers = []
    for job_id in (1, 2, 3):
        answer = asyncio.get_running_loop().create_future()
        row = a_row(job_id, name=None if job_id == 2 else "name")
        sqlite_kit.store.commit(a_delta(job_id, job=row), settle(answer))
        answers.append(answer)

    assert await answers[0] == 1
    with pytest.raises(DeltaRefusedError, match=r"job\.name"):
        await answers[1]
    assert await answers[2] == 2
    huge = Delta(counters={"too big": 2**70})
    with pytest.raises(DeltaRefusedError):
        await sqlite_kit.commit(huge)
    assert sqlite_kit.broken == []


async def test_a_database_that_another_program_locks_fails_commits_and_goes_on(
    sqlite_kit: SqliteKit,
) -> None:
    sqlite_kit.store._writer._transactions._session.cursor.execute(
        "PRAGMA busy_timeout=50"
    )
    with closing(sqlite3.connect(sqlite_kit.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            await sqlite_kit.commit(a_delta(1))
        other.execute("ROLLBACK")

    assert await sqlite_kit.commit(a_delta(1)) == 1


async def test_a_purge_takes_slices_and_outlives_a_restart(
    sqlite_kit: SqliteKit,
) -> None:
    outputs = tuple(
        TaskOutput(task_id=1, instance_id=n, attempt=1, text="x") for n in range(9000)
    )
    notes = dict.fromkeys(range(3000), b"note")
    row = an_ended_row(1, 5.0)
    await sqlite_kit.commit(a_delta(1, job=row, outputs=outputs, notes=notes))
    purged = asyncio.get_running_loop().create_future()
    sqlite_kit.store.commit(Delta(purge_job=1), settle(purged))
    await sqlite_kit.reopen()  # closing does not wait for the slices
    await purged

    path = sqlite_kit.path
    wait_for(lambda: rows_in(path, "purge") == 0)
    for table in ("event", "job", "output", "note"):
        assert rows_in(path, table) == 0


async def test_a_slice_that_a_full_disk_refuses_is_deleted_later_and_is_no_fault(
    sqlite_kit: SqliteKit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    purge_slice, refused = Chores.purge_slice, threading.Event()

    def first_refused(chores: Chores, session: WriterSession) -> None:
        if refused.is_set():
            purge_slice(chores, session)
            return
        refused.set()
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(Chores, "purge_slice", first_refused)
    await sqlite_kit.commit(a_delta(1, job=an_ended_row(1, 5.0)))
    await sqlite_kit.commit(Delta(purge_job=1))
    wait_for(refused.is_set)
    await sqlite_kit.commit(a_delta(2))
    wait_for(lambda: rows_in(sqlite_kit.path, "purge") == 0)

    told = [one for one in caplog.records if "purged jobs" in one.getMessage()]
    assert [one.levelname for one in told] == ["WARNING"]


async def test_a_purge_beside_a_delta_that_is_refused_is_carried_out_all_the_same(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(a_delta(1, job=an_ended_row(1, 5.0)))
    wait_for(lambda: not sqlite_kit.store._writer._transactions._chores.due)
    other = sqlite3.connect(sqlite_kit.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    loop = asyncio.get_running_loop()
    first, purged, refused = (loop.create_future() for _ in range(3))
    sqlite_kit.store.commit(a_delta(2), settle(first))
    await wait_for_async(sqlite_kit.store._writer._queue.empty)
    sqlite_kit.store.commit(Delta(purge_job=1), settle(purged))
    sqlite_kit.store.commit(a_delta(2, 9), settle(refused))
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(first, purged, refused, return_exceptions=True)

    assert isinstance(refused.exception(), StaleRevisionError)
    assert sqlite_kit.store.stats.retries == 1
    wait_for(lambda: rows_in(sqlite_kit.path, "purge") == 0)
    assert rows_in(sqlite_kit.path, "event") == 1


async def test_commits_go_between_the_slices_of_a_purge(sqlite_kit: SqliteKit) -> None:
    outputs = tuple(
        TaskOutput(task_id=1, instance_id=n, attempt=1, text="x" * 200)
        for n in range(50_000)
    )
    await sqlite_kit.commit(a_delta(1, job=an_ended_row(1, 5.0), outputs=outputs))
    await sqlite_kit.commit(Delta(purge_job=1))
    await sqlite_kit.commit(a_delta(2))

    assert rows_in(sqlite_kit.path, "output") > 0


async def test_the_log_is_copied_and_starts_again(sqlite_kit: SqliteKit) -> None:
    body = b"x" * 4000
    for block in range(40):
        events = tuple(an_event(1, block * 500 + n, body) for n in range(1, 501))
        await sqlite_kit.commit(Delta(events=events, job=a_row()))

    assert sqlite_kit.store.stats.checkpoints > 2
    await sqlite_kit.commit(Delta(counters={"x": 1}))
    # Of 80 MB; on a busy machine nothing is ever idle, and it is copied at 32 MiB.
    assert sqlite.log_size(sqlite_kit.path) < 40 << 20


async def test_closing_leaves_no_log_behind(sqlite_kit: SqliteKit) -> None:
    await sqlite_kit.commit(a_delta())
    await sqlite_kit.store.close()

    kept = {path.name for path in sqlite_kit.path.parent.iterdir()}
    assert kept - {BALLAST} == {"s.db"}


async def test_the_files_are_for_their_owner_alone(sqlite_kit: SqliteKit) -> None:
    await sqlite_kit.commit(a_delta())

    assert sqlite_kit.path.parent.stat().st_mode & 0o777 == 0o700
    for file in sqlite_kit.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


async def test_every_setting_of_the_connections_has_taken(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(a_delta())
    writer = sqlite_kit.store._writer._transactions._session.cursor
    reader = sqlite.connect_reader(sqlite_kit.path)

    def setting(connection: sqlite3.Connection, name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    try:
        assert setting(writer, "journal_mode") == "wal"
        assert setting(writer, "synchronous") == 2
        assert setting(writer, "wal_autocheckpoint") == 0
        assert setting(reader, "query_only") == 1
        assert setting(reader, "wal_autocheckpoint") == 0
        with pytest.raises(sqlite3.OperationalError):
            reader.execute("DELETE FROM event")
    finally:
        reader.close()


async def test_a_setting_that_does_not_take_is_noticed(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(":memory:")) as connection,  # knows no log
        pytest.raises(StoreBrokenError, match="journal_mode is 'memory'"),
    ):
        sqlite.set_pragma(connection, "journal_mode", "wal")


async def test_an_unsound_library_is_warned_of_and_an_old_one_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    with caplog.at_level(logging.WARNING):
        sqlite.check_version()
    assert "WAL-reset" in caplog.text

    caplog.clear()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    sqlite.check_version()
    assert caplog.text == ""

    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 26, 0))
    with pytest.raises(StoreFormatError, match=r"3\.33\.0 is needed"):
        sqlite.check_version()


@pytest.mark.parametrize(
    "address", ["postgresql://ada:secret@db/hpc", "mysql://db", "sqlite:///", ""]
)
async def test_an_address_that_is_not_supported_is_refused_without_its_password(
    address: str,
) -> None:
    with pytest.raises(ValueError, match="store: ") as told:
        open_store(address, loop=asyncio.get_running_loop())
    assert "secret" not in str(told.value)


def test_an_address_names_a_file_or_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "x.db"

    assert path_of(f"sqlite:///{file}") == file
    assert path_of(str(file)) == file
    assert path_of(file) == file
    assert path_of(tmp_path) == tmp_path / "hpcsched.db"


async def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE precious (x)")
    with pytest.raises(StoreFormatError, match="another program"):
        open_store(path, loop=asyncio.get_running_loop())

    text = tmp_path / "text.db"
    text.write_text("not a database, but a text that is long enough\n" * 20)
    with pytest.raises(StoreBrokenError):
        open_store(text, loop=asyncio.get_running_loop())
    assert text.read_text().startswith("not a database")


async def test_waiting_for_active_jobs_reads_ahead_in_bounded_batches(
    sqlite_kit: SqliteKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite_kit.commit_together(*(a_delta(n) for n in range(1, 3501)))
    loader = sqlite_kit.store._loader
    sizes: list[int] = []
    real = loader.load_active

    def counting(connection, after):  # type: ignore[no-untyped-def]
        batch = real(connection, after)
        sizes.append(len(batch))
        return batch

    monkeypatch.setattr(loader, "load_active", counting)
    jobs = iter(await sqlite_kit.store.load_active())
    next(jobs)
    wait_for(lambda: len(sizes) == 2)
    assert sum(1 for _ in jobs) == 3499
    assert sizes == [1000, 1000, 1000, 500, 0]
