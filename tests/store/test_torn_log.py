"""The end of the log that is torn, garbled or cut: exactly the commits before it (F23).

SQLite reads the log up to its last commit whose frames all have the right checksum,
each built on the one before; what comes behind is as if it had not been written.
"""

from __future__ import annotations

import random
import shutil
import struct
from typing import TYPE_CHECKING

import pytest

from hpcsched.store import space
from hpcsched.store.sql.check import check
from tests.support.polling import wait_for_async
from tests.support.store_kit import SqliteKit, a_delta

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER, FRAME_HEADER, PAGE = 32, 24, 4096
FRAME = FRAME_HEADER + PAGE
JOBS = 16


def cut(log: bytearray, at: int, die: random.Random) -> None:
    del log[at:]


def garble(log: bytearray, at: int, die: random.Random) -> None:
    log[at:] = die.randbytes(len(log) - at)


def flip(log: bytearray, at: int, die: random.Random) -> None:
    """Change a single bit; frames behind it are whole."""
    log[at] ^= 1 << die.randrange(8)


def zero(log: bytearray, at: int, die: random.Random) -> None:
    """Leave zeros, as a file system that had grown the file and not yet written it."""
    log[at:] = bytes(len(log) - at)


def commits_of(log: bytes) -> list[int]:
    """Return where each commit of the log ends; frames of an earlier round are none."""
    found = []
    for start in range(HEADER, len(log) - FRAME + 1, FRAME):
        (size,) = struct.unpack_from(">I", log, start + 4)  # 0: not the last frame
        if size and log[start + 8 : start + 16] == log[16:24]:
            found.append(start + FRAME)
    return found


async def written(folder: Path) -> tuple[dict[int, int], bytes]:
    """Write jobs one by one; return where each ends in the log, and a copy of it.

    The first ones may be in the database already.
    """
    kit = SqliteKit(folder / "s.db")
    # What an idle writer does first, on a busy machine perhaps after some commits.
    await wait_for_async(lambda: kit.store.stats.checkpoints > 0)
    for job_id in range(1, JOBS + 1):
        await kit.commit(a_delta(job_id))
    log = (folder / "s.db-wal").read_bytes()
    shutil.copy(folder / "s.db", folder / "kept")  # as a kill would leave it
    await kit.store.close()
    ends = commits_of(log)
    first = JOBS + 1 - len(ends)
    return {n: end for n, end in enumerate(ends, start=first) if n > 0}, log


@pytest.mark.parametrize("damage", [cut, garble, flip, zero])
async def test_a_start_has_exactly_the_commits_before_what_is_wrong_in_the_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytearray, int, random.Random], None],
) -> None:
    monkeypatch.setattr(space, "BALLAST_BYTES", 1)
    ends, log = await written(tmp_path)
    assert len(ends) > JOBS // 2
    first = min(ends)
    die = random.Random(damage.__name__)
    place = tmp_path / "start"
    place.mkdir()
    seen = set()
    for _ in range(25):
        at = die.randrange(ends[first] - FRAME, ends[JOBS])
        caplog.clear()
        broken = bytearray(log)
        damage(broken, at, die)
        shutil.copy(tmp_path / "kept", place / "s.db")
        (place / "s.db-wal").write_bytes(broken)
        (place / "s.db-shm").unlink(missing_ok=True)

        kit = SqliteKit(place / "s.db")
        kept = {event.job_id for event in await kit.store.read_events(0, 1000)}
        assert await kit.commit(a_delta(100)) == len(kept) + 1
        await kit.store.close()

        torn = [job_id for job_id, end in ends.items() if end > at]
        assert kept == set(range(1, torn[0]))
        assert check(place / "s.db") == []
        if damage is flip:  # what comes behind it is there to be counted
            assert "behind its last whole commit" in caplog.text
        seen.add(len(kept))
    assert len(seen) > 4


async def test_a_log_that_is_whole_is_nothing_to_warn_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends, log = await written(tmp_path)
    place = tmp_path / "start"
    place.mkdir()
    shutil.copy(tmp_path / "kept", place / "s.db")
    (place / "s.db-wal").write_bytes(log)

    kit = SqliteKit(place / "s.db")
    assert len(await kit.store.read_events(0, 1000)) == max(ends) == JOBS
    await kit.store.close()
    assert "behind its last whole commit" not in caplog.text
