"""The programs of docs/guide/clients.md do what the page says, as they stand there."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import Cluster
from tests.support.guide import blocks
from tests.support.javascript import ROOT, installed
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = ROOT / "docs" / "guide" / "clients.md"
WATCHING = "Watching without losing anything"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.up()
        yield found
    finally:
        found.destroy()


def test_a_program_submits_a_sweep_and_reads_its_output(cluster: Cluster) -> None:
    (program,) = blocks(PAGE, "Submitting", "python")

    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=cluster.environment(),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "STATE_FINISHED\nframe 2\n"


@contextmanager
def running(cluster: Cluster, command: list[str], place: Path) -> Iterator[None]:
    environment = cluster.environment({"PROTOS": ROOT / "protos"})
    with subprocess.Popen(command, cwd=place, env=environment) as process:
        try:
            yield
        finally:
            process.kill()  # as a crash would


def watch_with_a_break(
    cluster: Cluster,
    command: list[str],
    place: Path,
    seen: Callable[[], list[tuple[int, int]]],
) -> None:
    """Kill the program between two jobs; it must have seen all, and nothing twice."""
    for _ in range(2):
        with running(cluster, command, place):
            job_id = cluster.submit("--array", "1-3", "--", "true")
            last = (job_id, cluster.ended(job_id).revision)
            wait_for(lambda: last in seen(), what=f"the program to see {last}")  # noqa: B023
        cluster.submit("--", "true")
    rows = seen()
    for job_id in {job for job, _ in rows if job}:
        revisions = [revision for job, revision in rows if job == job_id]
        assert revisions == list(range(1, len(revisions) + 1)), (job_id, revisions)


def test_a_program_that_watches_resumes_after_a_crash(
    cluster: Cluster, tmp_path: Path
) -> None:
    (program,) = blocks(PAGE, WATCHING, "python")

    def seen() -> list[tuple[int, int]]:
        if not (tmp_path / "seen.db").exists():
            return []
        db = sqlite3.connect(tmp_path / "seen.db")
        try:
            rows = db.execute("SELECT job, revision FROM seen ORDER BY rowid")
            return [(int(job), int(revision)) for job, revision in rows]
        except sqlite3.OperationalError:
            return []  # its table is not there yet
        finally:
            db.close()

    watch_with_a_break(cluster, [sys.executable, "-c", program], tmp_path, seen)


def test_a_program_in_javascript_resumes_after_a_crash(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(installed() / "node_modules")
    (program,) = blocks(PAGE, WATCHING, "js")
    (tmp_path / "watch.js").write_text(program)

    def seen() -> list[tuple[int, int]]:
        path = tmp_path / "seen.json"
        rows = json.loads(path.read_text())["events"] if path.exists() else []
        return [(job, revision) for job, revision in rows]

    watch_with_a_break(cluster, ["node", "watch.js"], tmp_path, seen)
