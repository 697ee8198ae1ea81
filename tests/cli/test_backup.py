"""Backups on the command line: where they go, and that they come as they were made."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

NAME = "hpcsched-20270115T080000Z.hpcbackup"


@pytest.fixture
def whole(api: FakeApi) -> bytes:
    """A backup of two parts and a half, which the head makes when asked."""
    content = bytes(range(256)) * 4096 * 2 + b"rest"
    api.backup = (NAME, content)
    return content


def test_a_backup_stays_on_the_head_unless_a_file_is_named(
    hpc: CommandLine, api: FakeApi, whole: bytes
) -> None:
    assert hpc("cluster", "backup", "--keep", "3").out == f"/head/backups/{NAME}\n"
    keeps = [one.keep for name, one in api.requests if name == "CreateBackup"]
    assert keeps == [3]
    assert NAME in api.backups


@pytest.mark.parametrize("into", ["folder", "file"])
def test_a_backup_is_fetched_whole_and_leaves_the_head(
    hpc: CommandLine, api: FakeApi, whole: bytes, tmp_path: Path, into: str
) -> None:
    target = tmp_path if into == "folder" else tmp_path / "mine"
    path = tmp_path / NAME if into == "folder" else target

    assert hpc("cluster", "backup", target).out == f"{path}\n"
    assert path.read_bytes() == whole
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not api.backups


def test_a_backup_that_comes_damaged_leaves_no_file(
    hpc: CommandLine, api: FakeApi, whole: bytes, tmp_path: Path
) -> None:
    api.backup_digest = hashlib.sha256(b"other").digest()
    failed = hpc("cluster", "backup", tmp_path / "mine", status=1)

    assert "otherwise" in failed.err
    assert list(tmp_path.iterdir()) == []


def test_backups_are_listed(hpc: CommandLine, whole: bytes) -> None:
    hpc("cluster", "backup")
    found = hpc("--json", "cluster", "backup", "--list").json["backups"]

    assert [one["name"] for one in found] == [NAME]
    assert found[0]["size_bytes"] == str(len(whole))
    assert hpc("--quiet", "cluster", "backup", "--list").out == f"{NAME}\n"


@pytest.mark.parametrize(
    "options",
    [
        ("backup", "--list", "x"),
        ("backup", "x", "--keep", "2"),
        ("backup", "--keep", "0"),
        ("backup", "/nowhere/at/all"),
        ("restore", "x", "--dir", "a", "--state-dir", "b"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    hpc: CommandLine, options: tuple[str, ...]
) -> None:
    hpc("cluster", *options, status=2)
