"""`hpc` when its own output cannot be written, and when a verb is misspelt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HPC = Path(sys.executable).with_name("hpc")


def test_output_that_cannot_be_written_is_an_error_and_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [HPC, "--help"], check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert done.returncode == 1
    assert done.stderr == "hpc: OUTPUT_FAILED: No space left on device.\n"


def test_a_closed_standard_output_is_no_traceback() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec '{HPC}' --help >&-"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_lost_in_silence_where_python_is_told_not_to_buffer() -> None:
    code = """
import sys
from hpcsched.cli import main
main._buffer_streams()
try:
    sys.stdout.write("x" * 1_000_000)
    sys.stdout.flush()
except BrokenPipeError:
    main.close_pipe()
    sys.exit(141)
"""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()

    assert process.returncode == 141


@pytest.mark.parametrize("options", [["--ca"], ["--cert", "{0}", "--key"]])
def test_files_of_tls_that_hold_none_are_told_and_no_traceback(
    tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("nothing\n", encoding="ascii")
    given = [one.format(file) for one in (*options, "{0}")]
    for verb in (["job", "list"], ["events", "--follow"]):
        done = subprocess.run(
            [HPC, "--address", "127.0.0.1:1", *given, *verb],
            check=False,
            capture_output=True,
            text=True,
        )

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("hpc: TLS_FILES: ")
        assert str(file) in done.stderr.splitlines()[0]


@pytest.mark.parametrize("verb", ["list", "wait", "cancel"])
def test_a_verb_of_jobs_that_stands_alone_is_suggested(verb: str) -> None:
    done = subprocess.run([HPC, verb], check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert f"job {verb}" in done.stderr


def test_the_demo_says_at_once_that_its_picture_cannot_be_written() -> None:
    done = subprocess.run(
        [HPC, "demo", "--out", "/dev/null/x.png"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "--out: no file can be made in /dev/null" in done.stderr
