"""Room on the disk: seen in time, and some kept for what must go in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hpcsched.store import space as space_module
from hpcsched.store.errors import StoreFullError
from hpcsched.store.space import BALLAST, Space
from tests.support.store_kit import SqliteKit, a_delta

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A disk of 10 GiB, of which as much is free as a test says."""
    sizes = {"free": 5_000 * MIB}

    def statvfs(_: object) -> os.statvfs_result:
        blocks = (4096, 4096, 10_240 * MIB // 4096, 0, sizes["free"] // 4096)
        return os.statvfs_result((*blocks, 0, 0, 0, 0, 255))

    monkeypatch.setattr("os.statvfs", statvfs)
    return sizes


def test_new_work_is_refused_below_the_low_water_mark_and_taken_above_it(
    tmp_path: Path, disk: dict[str, int]
) -> None:
    space = Space(tmp_path)
    space.keep_ballast()
    assert (tmp_path / BALLAST).stat().st_size == 64 * MIB
    assert space.problem() == ""
    disk["free"] = 255 * MIB
    assert space.problem() == f"{tmp_path} has 255 MiB left, 256 are kept"
    disk["free"] = 256 * MIB
    assert space.problem() == ""


def test_the_ballast_is_given_up_once_and_made_again_when_there_is_room(
    tmp_path: Path, disk: dict[str, int]
) -> None:
    space = Space(tmp_path)
    space.keep_ballast()
    assert space.free_ballast()
    assert not (tmp_path / BALLAST).exists()
    assert not space.free_ballast()
    disk["free"] = 300 * MIB  # what the ballast gave back, not more
    assert space.problem()
    assert not (tmp_path / BALLAST).exists()
    disk["free"] = 321 * MIB
    assert space.problem() == ""
    assert (tmp_path / BALLAST).exists()


def test_no_ballast_is_made_of_the_last_room(
    tmp_path: Path, disk: dict[str, int]
) -> None:
    disk["free"] = 300 * MIB
    Space(tmp_path).keep_ballast()

    assert not (tmp_path / BALLAST).exists()


async def test_a_full_disk_takes_what_the_ballast_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_module, "BALLAST_BYTES", MIB)
    kit = SqliteKit(tmp_path / "s.db")
    await kit.commit_together(*(a_delta(n) for n in range(1, 200)))
    assert (tmp_path / BALLAST).exists()
    connection = kit.store._writer._transactions._session._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}").fetchall()
    real = kit.store._writer._transactions._space.free_ballast

    def freed() -> bool:
        gave = real()
        if gave:
            connection.execute(f"PRAGMA max_page_count={pages + 40}").fetchall()
        return gave

    monkeypatch.setattr(kit.store._writer._transactions._space, "free_ballast", freed)
    job_id = 200
    while (tmp_path / BALLAST).exists():
        assert await kit.commit(a_delta(job_id)) == job_id
        job_id += 1
    assert await kit.commit(a_delta(job_id)) == job_id
    late = (a_delta(late) for late in range(job_id + 1, job_id + 3000))
    with pytest.raises(StoreFullError):
        await kit.commit_together(*late)
    assert await kit.store.read_events(0, 5)
    await kit.store.close()
