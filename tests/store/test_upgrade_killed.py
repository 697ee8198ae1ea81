"""An upgrade of the store that is killed, or whose power is cut: nothing is lost (F15).

The next start continues: it does the whole upgrade, or finds that it was done.
"""

from __future__ import annotations

import asyncio
import errno
import lzma
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hpcsched.runtime.checking import check_store
from hpcsched.store import space
from hpcsched.store.backups import FOLDER
from hpcsched.store.errors import StoreFullError
from hpcsched.store.opener import open_store
from hpcsched.store.sql import schema
from hpcsched.store.sql.migrate import bring_up_to_date, version_of
from hpcsched.store.state_directory import sync_directory
from tests.support.crash_images import images_of, kills_of, put, recorded
from tests.support.polling import PATIENCE_S

ROOT = Path(__file__).parents[2]
CORPUS = sorted((ROOT / "tests" / "replay").glob("*.db.xz"))
OLDEST = CORPUS[0]
STRACE = shutil.which("strace")
IMAGES = int(os.environ.get("UPGRADE_IMAGES", "30"))
"""Of kills, and of power cuts; with more of them than operations of an upgrade every
kill is tried."""
SYNCS = ("fsync", "fdatasync", "rename")
KEPT = f"before-schema-{schema.HEAD}-from-0001.hpcbackup"


def traces() -> bool:
    command = [STRACE or "strace", "-f", "true"]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


needs_strace = pytest.mark.skipif(
    "CI" not in os.environ and not traces(), reason="needs a working strace"
)


def content_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of all tables, but for the count of starts."""
    with closing(sqlite3.connect(path)) as found:
        tables = found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        rows = {
            name: sorted(found.execute(f"SELECT * FROM {name}").fetchall(), key=repr)  # noqa: S608
            for (name,) in tables.fetchall()
        }
    rows["meta"] = [row for row in rows["meta"] if row[0] != "opened"]
    return rows


async def start(path: Path) -> None:
    store = open_store(path, loop=asyncio.get_running_loop())
    await store.close()


@pytest.fixture(autouse=True)
def _small_ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "BALLAST_BYTES", 1)


def laid(stored: Path, folder: Path) -> Path:
    """Put a store of the corpus into a new directory; return its file."""
    folder.mkdir(exist_ok=True)
    path = folder / "s.db"
    path.write_bytes(lzma.decompress(stored.read_bytes()))
    return path


async def upgraded(stored: Path, place: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what an upgrade makes of a store when nothing stops it."""
    path = laid(stored, place)
    await start(path)
    return content_of(path)


@needs_strace
@pytest.mark.parametrize(
    "stored", [OLDEST, CORPUS[-1]], ids=lambda path: path.name.partition(".")[0]
)
async def test_an_upgrade_that_is_stopped_anywhere_is_done_by_the_next_start(
    stored: Path, tmp_path: Path
) -> None:
    expected = await upgraded(stored, tmp_path / "whole")
    place = tmp_path / "image"
    before = {"s.db": laid(stored, place).read_bytes()}
    laid(stored, tmp_path / "store")
    ops = recorded(tmp_path, "--only-open")
    versions = set()
    kills = [*kills_of(ops, before)]
    images = [*kills[:: -(-len(kills) // IMAGES)], kills[-1]]
    images += images_of(ops, IMAGES, 1, before)
    for moment, parts, _ in images:
        put(parts, place)
        shutil.rmtree(place / FOLDER, ignore_errors=True)
        with closing(sqlite3.connect(place / "s.db")) as half:
            versions.add(version_of(half))

        await start(place / "s.db")

        assert content_of(place / "s.db") == expected, f"operation {moment}"
    assert check_store(place / "s.db").findings == []
    assert versions == {stored.name.partition("-")[0], schema.HEAD}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def points_of(trace: str) -> list[tuple[str, int]]:
    """Return the first, the middle and the last call of each kind."""
    found = []
    first = trace.split(maxsplit=1)[0]  # the thread that opens: each is counted alone
    for call in SYNCS:
        count = len(re.findall(rf"^{first} +{call}\(", trace, re.MULTILINE))
        found += [(call, number) for number in sorted({1, count // 2, count} - {0})]
    return found


def text_of(path: Path) -> str:
    return path.read_text()


def start_under_strace(folder: Path, *options: str) -> int:
    """Return the exit status of a process that only opens the store."""
    done = subprocess.run(
        [
            *(STRACE or "", "-f", "-o", folder / "trace"),
            *("-e", f"trace={','.join(SYNCS)}", *options),
            *(sys.executable, "-m", "tests.support.store_writer"),
            *(folder / "s.db", "--only-open"),
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return done.returncode


@needs_strace
async def test_a_process_that_is_killed_in_its_upgrade_leaves_a_store_and_its_copy(
    tmp_path: Path,
) -> None:
    expected = await upgraded(OLDEST, tmp_path / "whole")
    old = content_of(laid(OLDEST, tmp_path / "old"))
    counted = laid(OLDEST, tmp_path / "counted").parent
    assert start_under_strace(counted) == 0
    points = points_of(text_of(counted / "trace"))
    assert {call for call, _ in points} == set(SYNCS)
    for call, number in points:
        folder = laid(OLDEST, tmp_path / f"{call}{number}").parent
        rule = f"inject={call}:signal=KILL:when={number}"
        assert start_under_strace(folder, "-e", rule) in {-9, 137}, rule

        await start(folder / "s.db")

        assert content_of(folder / "s.db") == expected, rule
        kept = folder / FOLDER / KEPT
        assert content_of(kept) == old, rule
        assert names_in(kept.parent) == [KEPT]


async def test_nothing_is_upgraded_that_could_not_be_kept_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid(OLDEST, tmp_path)
    before = content_of(tmp_path / "s.db")

    def full(source: Path, target: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr("hpcsched.store.opener.copy_store", full)
        with pytest.raises(StoreFullError):
            await start(tmp_path / "s.db")
    assert content_of(tmp_path / "s.db") == before
    (tmp_path / FOLDER / f"{KEPT}.part").write_bytes(b"half of it")
    await start(tmp_path / "s.db")

    assert names_in(tmp_path / FOLDER) == [KEPT]


async def test_the_copy_is_on_the_disk_before_the_upgrade_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid(OLDEST, tmp_path)
    order: list[str] = []

    def synced(path: Path) -> None:
        order.append(str(path.relative_to(tmp_path)))
        sync_directory(path)

    def upgrade(connection: sqlite3.Connection) -> None:
        order.append("upgrade")
        bring_up_to_date(connection)

    monkeypatch.setattr("hpcsched.store.backups.sync_directory", synced)
    monkeypatch.setattr("hpcsched.store.opener.bring_up_to_date", upgrade)
    await start(tmp_path / "s.db")

    assert order == [".", FOLDER, "upgrade"]
