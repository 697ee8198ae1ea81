"""A client in another language, made of our .proto files and nothing else of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import Cluster
from tests.support.javascript import ROOT, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    """Run the client against a cluster of its own; what it saw."""
    folder = installed()
    cluster = Cluster()
    try:
        cluster.up()
        node = str(shutil.which("node"))
        place = [cluster.address, str(cluster.token_file), str(ROOT / "protos")]
        done = subprocess.run(
            [node, "client.js", *place],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)
    finally:
        cluster.destroy()


def test_it_knows_who_it_is(told: dict[str, Any]) -> None:
    assert told["role"] == "ROLE_ADMINISTRATOR"


def test_it_watches_a_sweep_to_its_end_without_a_gap(told: dict[str, Any]) -> None:
    revisions = told["revisions"]

    assert told["finished"] == {"state": "STATE_FINISHED", "counts": 5, "caughtUp": 1}
    assert revisions == list(range(1, len(revisions) + 1))


def test_it_resumes_where_it_was(told: dict[str, Any]) -> None:
    middle = len(told["revisions"]) // 2

    assert told["resumed"] == told["revisions"][middle:]


def test_it_reads_what_an_element_wrote(told: dict[str, Any]) -> None:
    assert told["output"] == "frame 03\n"


def test_it_cancels_a_running_job_with_a_message(told: dict[str, Any]) -> None:
    assert told["canceled"] == {
        "state": "STATE_CANCELED",
        "message": "changed my mind ✓",
        "v1": "Cancelled",
    }
    assert told["task"] == {
        "state": "STATE_FAILED",
        "exit_code": 143,
        "reason": "END_REASON_CANCELED",
    }


def test_a_refusal_has_a_status_and_a_reason(told: dict[str, Any]) -> None:
    assert told["refused"] == {
        "code": "FAILED_PRECONDITION",
        "reason": "INVALID_CANCEL_JOB_STATE",
    }
