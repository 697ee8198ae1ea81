"""What was acknowledged survives a power cut at any moment (P1, F4).

``make crash-images`` makes more of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.crash_images import run

STRACE = shutil.which("strace")


def traces() -> bool:
    if STRACE is None:
        return False
    command = [STRACE, "-f", "true"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and not traces(), reason="needs a working strace"
)
IMAGES = 300


@pytest.mark.parametrize("options", [("--eager",), ("--in-flight", "8")])
def test_every_image_of_a_power_cut_holds_what_was_acknowledged(
    options: tuple[str, ...],
) -> None:
    ops, wrong = run(IMAGES, 0, "1", "25", *options)

    assert sum(op.kind == "ack" for op in ops) == 25
    assert {op.kind for op in ops} >= {"write", "sync", "names", "ack"}
    assert wrong == []


def test_a_writer_that_does_not_sync_is_found_out() -> None:
    _, wrong = run(IMAGES, 0, "1", "25", "--normal")

    assert any("are lost" in problem for problem in wrong)
