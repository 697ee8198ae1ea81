"""Process numbers come again (F37)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPACE = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")


def lacking() -> str:
    """Return why there can be no pid namespace of our own; empty: there can."""
    try:
        able = subprocess.run([*SPACE, "true"], check=False, capture_output=True)
    except OSError as error:
        return f"no unshare: {error}"
    if os.geteuid() or able.returncode:
        return f"no pid namespace of our own: {able.stderr.decode()}"
    return ""


def test_a_stranger_with_the_number_of_a_task_is_left_alone(tmp_path: Path) -> None:
    problem = lacking()
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)
    assert not problem
    told = subprocess.run(
        [*SPACE, sys.executable, "-m", "tests.support.pid_reuse", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert told.returncode == 0, told.stderr
