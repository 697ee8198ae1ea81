"""Which files the agent opens for others, and which it does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from node_agent.reading import NotReadableError, open_kept, open_users

if TYPE_CHECKING:
    from pathlib import Path

OTHER = os.geteuid() + 1


def test_a_file_of_the_agents_own_is_not_served_to_tasks_of_another_account(
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    (tmp_path / "out.txt").symlink_to(token)

    with pytest.raises(NotReadableError, match="not readable by tasks"):
        open_users(str(tmp_path / "out.txt"), task_uid=OTHER)
    os.close(open_users(str(token), task_uid=os.geteuid()))


def test_a_file_that_all_may_read_is_served(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    file.touch()
    file.chmod(0o644)

    os.close(open_users(str(file), task_uid=OTHER))


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    with pytest.raises(NotReadableError, match="no regular file"):
        open_users(str(fifo), task_uid=os.geteuid())
    with pytest.raises(NotReadableError, match="no regular file"):
        open_kept(str(fifo))


def test_a_link_in_place_of_a_kept_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(NotReadableError):
        open_kept(str(tmp_path / "link"))
    with pytest.raises(FileNotFoundError):
        open_kept(str(tmp_path / "none"))
