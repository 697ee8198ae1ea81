"""The journal: torn tails, garbage, full disks, compaction."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.supervisor import journal as journals
from node_agent.supervisor.journal import Journal, segment_path
from node_agent.supervisor.replay import read_journal
from tests.support.task_supervisor import task_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = [b"B-begin"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path))
    assert journal.rotate(SNAPSHOT)
    yield journal
    journal.close()


def payloads(directory: Path) -> list[bytes]:
    """Return what a restart would find behind the snapshot."""
    found = read_journal(str(directory)).payloads
    assert found[:2] == [*SNAPSHOT, journals.SNAPSHOT_END]
    return found[2:]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "full")


def test_what_was_flushed_is_found_again_and_nothing_else(
    journal: Journal, tmp_path: Path
) -> None:
    journal.add(b"one")
    journal.add(b"two")
    assert journal.flush()
    journal.add(b"never flushed")

    assert payloads(tmp_path) == [b"one", b"two"]
    assert not read_journal(str(tmp_path)).warnings


@given(cut=st.integers(1, 200), sizes=st.lists(st.integers(1, 60), min_size=1))
def test_a_torn_tail_costs_the_torn_record_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int, sizes: list[int]
) -> None:
    place = tmp_path_factory.mktemp("torn")
    journal = Journal(str(place))
    journal.rotate(SNAPSHOT)
    begin = journal._offset
    ends = []
    for number, size in enumerate(sizes):
        journal.add(bytes([65 + number % 26]) * size)
        journal.flush()
        ends.append(journal._offset)
    end = journal._offset
    journal.close()
    keep = max(begin, end - cut)
    with (place / "0000000001.log").open("r+b") as file:
        file.seek(keep)
        file.write(b"\0" * (end - keep))

    found = payloads(place)
    assert len(found) >= sum(position <= keep for position in ends)
    assert [len(payload) for payload in found] == sizes[: len(found)]


def test_a_torn_record_is_told(journal: Journal, tmp_path: Path) -> None:
    journal.add(b"whole")
    journal.flush()
    with (tmp_path / "0000000001.log").open("r+b") as file:
        file.seek(journal._offset)
        file.write(journals.record_of(1, b"x" * 50)[:30])
    replay = read_journal(str(tmp_path))

    assert replay.payloads[-1] == b"whole"
    assert "torn record" in replay.warnings[0]


def test_garbage_in_the_middle_is_set_aside_and_told_and_the_rest_still_used(
    journal: Journal, tmp_path: Path
) -> None:
    offsets = []
    for number in range(5):
        offsets.append(journal._offset)
        journal.add(b"record %d" % number)
        journal.flush()
    with (tmp_path / "0000000001.log").open("r+b") as file:
        file.seek(offsets[1] + 3)
        file.write(b"garbage and more")
    replay = read_journal(str(tmp_path))

    assert replay.payloads[2:] == [b"record 0", b"record 2", b"record 3", b"record 4"]
    assert "garbage" in replay.warnings[0]
    assert (tmp_path / "0000000001.log.damaged").exists()


def test_what_a_reused_file_held_before_is_never_taken_for_a_record(
    journal: Journal, tmp_path: Path
) -> None:
    for _ in range(3):
        for number in range(50):
            journal.add(b"old %d" % number)
        journal.flush()
        assert journal.rotate(SNAPSHOT)
        journal.synced(journal.path)
    journal.add(b"new")
    journal.flush()

    assert payloads(tmp_path) == [b"new"]
    assert not read_journal(str(tmp_path)).warnings


def test_the_old_segment_is_kept_until_the_new_one_is_synced(
    journal: Journal, tmp_path: Path
) -> None:
    journal.rotate(SNAPSHOT)
    assert sorted(p.name for p in tmp_path.glob("*.log")) == [
        "0000000001.log",
        "0000000002.log",
    ]
    journal.synced(journal.path)

    assert [p.name for p in tmp_path.glob("*.log")] == ["0000000002.log"]
    assert (tmp_path / "spare").exists()


def test_a_segment_without_a_whole_snapshot_is_passed_over(
    journal: Journal, tmp_path: Path
) -> None:
    journal.add(b"good")
    journal.flush()
    data = journals.record_of(2, b"B-begin")
    (tmp_path / "0000000002.log").write_bytes(data + bytes(100))
    replay = read_journal(str(tmp_path))

    assert replay.payloads[-1] == b"good"
    assert "set aside" in replay.warnings[0]
    assert not (tmp_path / "0000000002.log").exists()


def test_a_full_disk_takes_no_new_start_but_every_end(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    started = 0
    while journal.has_room(1024):
        journal.tasks += 1
        started += 1
        journal.add(b"i" * 200)
        assert journal.flush()
    assert started > 100
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(journal.path).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        for _ in range(started):
            journal.add(b"e" * 900)
            assert journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert len(payloads(tmp_path)) == 2 * started


def test_a_full_disk_does_not_prevent_compaction(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.make_spare()
    monkeypatch.setattr(os, "posix_fallocate", full)
    while journal.has_room(1024):
        journal.add(b"x" * 1000)
        journal.flush()
    assert not journal.has_room(1024)

    assert journal.rotate(SNAPSHOT)
    assert journal.has_room(1024)


def test_a_failed_write_is_told_and_nothing_is_forgotten(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add(b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert not journal.flush()
        assert "full" in str(journal.failure)

    assert journal.flush()
    assert payloads(tmp_path) == [b"kept"]


def test_segments_sort_by_number(tmp_path: Path) -> None:
    assert segment_path("d", 7) < segment_path("d", 10) < segment_path("d", 200)


def test_a_damaged_journal_is_reported_to_the_agent(tmp_path: Path) -> None:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as supervisor:
        agent = supervisor.start().agent()
        for attempt in (1, 2, 3):
            agent.shell("exit 3")
            agent.start(0, attempt=attempt)
            agent.ended(0, attempt)
        assert supervisor.stop() == 0
        (log,) = (tmp_path / "node" / "journal").glob("*.log")
        data = log.read_bytes()
        place = data.index(b'["ended",2,')
        log.write_bytes(data[:place] + b"?" * 20 + data[place + 20 :])
        agent = supervisor.start().agent()

        assert "garbage" in agent.expect("error")[1]
        assert agent.ended(0, 3)["exit_code"] == 3
        assert agent.ended(0, 1)["reason"] == "STATUS_LOST"


def test_the_journal_stays_short_under_load(tmp_path: Path) -> None:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as supervisor:
        agent = supervisor.start().agent()
        noise = {"X": "y" * 100_000}
        for number in range(130):
            agent.define("true", env=noise, **{"def": number})
            if number % 20 == 19:
                agent.sync()
                agent.send(["end_job", 7])
                agent.expect("job_ended")
                agent.messages.clear()
        agent.sync()
        folder = tmp_path / "node" / "journal"

        assert sum(path.stat().st_size for path in folder.iterdir()) < 24 << 20
        assert agent.run("exit 2")["exit_code"] == 2
