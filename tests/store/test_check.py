"""The check finds what should not be, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.base import Delta
from hpcsched.store.sql.check import check
from tests.support.store_kit import SqliteKit, a_delta, a_node_event, an_ended_row

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def kept(sqlite_kit: SqliteKit) -> Path:
    """A store with three jobs, one of them purged, that nobody has open."""
    for revision in (1, 2, 3):
        for job_id in (1, 2):
            await sqlite_kit.commit(a_delta(job_id, revision, specs={0: b"s"}))
    await sqlite_kit.commit(a_delta(3, job=an_ended_row(3, 1.0)))
    await sqlite_kit.commit(Delta(purge_job=3))
    for revision in (4, 5, 6):
        await sqlite_kit.commit(a_delta(1, revision))
        await sqlite_kit.commit(Delta(events=(a_node_event(),)))
    await sqlite_kit.store.close()
    return sqlite_kit.path


def rules(path: Path) -> list[str]:
    return [finding.rule for finding in check(path)]


def test_a_sound_store_has_no_findings(kept: Path) -> None:
    before = kept.read_bytes()

    assert check(kept) == []
    assert check(f"sqlite:///{kept}") == []
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM event WHERE seq = 9", ["sequence"]),
        ("DELETE FROM event WHERE seq = 10", ["sequence", "revisions"]),
        ("DELETE FROM event WHERE seq = 12", ["sequence", "revisions"]),
        (
            "UPDATE event SET revision = 9 WHERE seq = 3",
            ["revisions", "revisions"],
        ),
        ("UPDATE event SET time = time + 1 WHERE seq = 3", ["sums"]),
        ("UPDATE event SET crc = NULL WHERE seq = 3", ["sums"]),
        ("UPDATE event SET owner = CAST(x'61ff' AS TEXT) WHERE seq = 3", ["sums"]),
        ("UPDATE meta SET value = value + 1 WHERE name = 'floor_seq'", ["sums"]),
        ("UPDATE job SET active = 2 WHERE id = 2", ["lists"]),
        ("UPDATE event SET crc = NULL", []),  # of a version without checksums
        ("UPDATE job SET revision = 7 WHERE id = 2", ["revisions"]),
        ("INSERT INTO chunk VALUES (77, 1, 1, x'00', NULL)", ["orphans"]),
        ("DELETE FROM job WHERE id = 2", ["orphans", "orphans"]),
        ("UPDATE alembic_version SET version_num = '0'", ["schema"]),
        ("UPDATE alembic_version SET version_num = '0001'", ["readable"]),
    ],
)
def test_what_should_not_be_is_found(kept: Path, damage: str, found: list[str]) -> None:
    with closing(sqlite3.connect(kept)) as connection:
        connection.execute(damage)
        connection.commit()
    assert rules(kept) == found


def test_a_missing_and_a_foreign_file_are_findings(tmp_path: Path) -> None:
    assert rules(tmp_path / "none.db") == ["readable"]
    text = tmp_path / "text.db"
    text.write_text("hello " * 1000)
    assert rules(text) == ["readable"]


async def test_a_running_store_can_be_checked(sqlite_kit: SqliteKit) -> None:
    for job_id in range(1, 50):
        await sqlite_kit.commit(a_delta(job_id))

        assert check(sqlite_kit.path) == []
