"""Both filter programs as scripts of an administrator's, beside a real head."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

V2 = "{http://schemas.microsoft.com/HPCS2008R2/scheduler/}"


@pytest.fixture
def filtered(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; its filters are taken away at the end."""
    yield cluster
    names = ("SubmissionFilterProgram=", "ActivationFilterProgram=")
    cluster.hpc("cluster", "set", *names, "SubmissionFilterTimeout=15")


def install(cluster: Cluster, kind: str, body: str) -> None:
    program = cluster.cwd / f"{kind}.sh"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    cluster.hpc("cluster", "set", f"{kind}FilterProgram={program}")


def test_a_submission_filter_refuses_accepts_and_changes(filtered: Cluster) -> None:
    seen = filtered.cwd / "seen.xml"
    install(
        filtered,
        "Submission",
        f'cp "$1" {seen}; echo "$CCP_JOBID" >> {filtered.cwd}/ids\n'
        'grep -q Name=.refuse "$1" && { echo "no $CCP_JOBNAME" >&2; exit 5; }\n'
        'sed -i s/dull/bright/ "$1"; exit 1',
    )

    error = filtered.refused("submit", "--name", "refuse", "--", "true")
    job_id = filtered.submit("--", "echo", "dull day")

    assert error["reason"] == "SUBMISSION_FILTER_FAILED"
    assert error["message"] == "no refuse"
    assert error["metadata"]["hresult"] == "-2147219902"
    assert state_of(filtered.ended(job_id)) == "FINISHED"
    assert filtered.output(job_id) == "bright day\n"
    root = ET.fromstring(seen.read_text())  # noqa: S314  the head's own
    assert root.attrib["Id"] == str(job_id)
    (task,) = root.findall(f"{V2}Tasks/{V2}Task")
    assert task.attrib["CommandLine"] == "echo 'dull day'"


def test_a_submission_filter_that_hangs_is_killed_and_the_job_is_refused(
    filtered: Cluster,
) -> None:
    install(filtered, "Submission", "sleep 1000")
    filtered.hpc("cluster", "set", "SubmissionFilterTimeout=1")

    error = filtered.refused("submit", "--", "true")

    assert error["reason"] == "SUBMISSION_FILTER_TIMEOUT"


def test_a_head_that_is_killed_while_a_filter_runs_asks_again(
    filtered: Cluster,
) -> None:
    ids = filtered.cwd / "ids"
    install(
        filtered,
        "Submission",
        f'echo "$CCP_JOBID" >> {ids}; test -e {filtered.cwd}/go || sleep 1000',
    )
    call = filtered.popen("submit", "--", "true")
    wait_for(ids.read_text, what="the filter runs")
    job_id = int(ids.read_text())
    filtered.until_job(job_id, "EXTERNAL_VALIDATION")

    filtered.kill("head")
    (filtered.cwd / "go").touch()
    filtered.up()

    assert state_of(filtered.ended(job_id)) == "FINISHED"
    assert ids.read_text().split() == [str(job_id)] * 2
    call.kill()
    call.communicate()


def test_an_activation_filter_holds_jobs_back_until_it_says_0(
    filtered: Cluster,
) -> None:
    go = filtered.cwd / "go"
    install(filtered, "Activation", f"test -e {go} || {{ echo later >&2; exit 9; }}")
    job_id = filtered.submit("--", "true")

    wait_for(lambda: "later" in filtered.hpc("job", "why", job_id).out)
    assert state_of(filtered.job(job_id)) == "QUEUED"
    assert filtered.job(job_id).pending_reason == "ActivationFilter"
    go.touch()
    assert state_of(filtered.ended(job_id)) == "FINISHED"
