"""F20, F21: a disk that fails under a head which starts: status 74, nothing else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.crash.syscalls import can_trace
from tests.support.daemon import PATIENCE_S, PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.daemon import Daemon

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(
    ("call", "number"),
    # Its trial of the directory (twice), its key, the ready file; the database as it
    # is made, the first commit.
    [(f, n) for f, ns in (("fsync", (1, 3, 6, 10)), ("fdatasync", (1, 2))) for n in ns],
)
def test_a_sync_that_fails_while_a_head_starts_ends_it_with_status_74(
    daemon: Daemon, tmp_path: Path, call: str, number: int
) -> None:
    problem = can_trace()
    if problem and not os.environ.get("CI"):
        pytest.skip(problem)
    trace = tmp_path / "trace"
    rule = f"inject={call}:error=EIO:when={number}"
    words = ("strace", "-f", "-qq", "--seccomp-bpf", "-o", str(trace))
    done = subprocess.run(
        [*words, "-e", f"trace={call}", "-e", rule, *PROGRAM, *daemon.arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert "INJECTED" in trace.read_text(), "fewer syncs than that: take it off"
    assert done.returncode == 74, done.stderr
    assert "nput/output error" in done.stderr or "disk I/O error" in done.stderr
    assert "hpcsched.store.errors" not in done.stderr.splitlines()[-1]
