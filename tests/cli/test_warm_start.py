"""The commands of the tests of clusters are commands: see tests/support/warm_hpc.py."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import program, warm_hpc
from tests.support.polling import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


def run(
    place: Path, *arguments: str, timeout: float = PATIENCE_S, **more: str
) -> tuple[int, str, str]:
    environment = {"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(place), **more}
    return warm_hpc().run(
        [program()[0], *arguments],
        cwd=place,
        environment=environment,
        stdin="no TOML",
        timeout=timeout,
    )


def test_a_command_has_its_own_arguments_streams_and_status(tmp_path: Path) -> None:
    assert run(tmp_path, "--version")[:2] == (0, "hpc 0.1.0\n")
    status, out, err = run(tmp_path, "job", "list")
    assert (status, out) == (3, "")
    assert "NO_CLUSTER" in err


def test_a_command_has_its_own_directory_environment_and_input(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text("[")

    _, _, found = run(tmp_path, "submit", "--file", "job.toml")
    _, _, given = run(tmp_path, "submit", "--file", "-")

    assert "job.toml" in found
    assert given != found


def test_a_command_that_hangs_is_killed_and_the_next_one_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError, match="still ran"):
            run(tmp_path, "job", "list", timeout=0.3, HPC_ADDRESS=address)

    assert run(tmp_path, "--version")[0] == 0
