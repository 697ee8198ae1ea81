"""``hpc cluster doctor``: what is wrong, as people and programs read it (cli.md 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import cluster_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.common.version import version

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

LOST = pb.Finding(
    severity=pb.Finding.SEVERITY_ERROR,
    rule="node_unreachable",
    text="node n2 is not reachable",
    why="nothing runs there",
    action="see to it",
    command="hpc node why n2",
    nodes=["n2"],
)
OUT = pb.Finding(severity=pb.Finding.SEVERITY_NOTE, rule="node_offline", text="n1 is")


def says(api: FakeApi, *findings: pb.Finding) -> None:
    api.diagnosis = pb.DiagnoseClusterResponse(findings=findings, version=version())


def test_nothing_wrong_is_one_line_and_status_0(hpc: CommandLine, api: FakeApi) -> None:
    says(api)

    assert hpc("cluster", "doctor").out == f"nothing is wrong (head {version()})\n"
    assert "the store included" in hpc("cluster", "doctor", "--store").out
    assert [one.store for one in api.asked("DiagnoseCluster")] == [False, True]


def test_a_finding_says_what_why_and_the_command_and_the_status_is_1(
    hpc: CommandLine, api: FakeApi
) -> None:
    says(api, LOST, OUT)

    told = hpc("cluster", "doctor", status=1).out.splitlines()

    assert told[:4] == [
        "error: node n2 is not reachable [node_unreachable]",
        "    why:   nothing runs there",
        "    to do: see to it",
        "           hpc node why n2",
    ]
    assert told[4] == "note: n1 is [node_offline]"
    assert hpc("cluster", "doctor", "-q", status=1).out.split() == [
        "node_unreachable",
        "node_offline",
    ]


def test_notes_alone_are_no_trouble(hpc: CommandLine, api: FakeApi) -> None:
    says(api, OUT)

    assert hpc("cluster", "doctor", "--json").json["healthy"] is True


def test_json_has_the_keys_that_the_guide_names(hpc: CommandLine, api: FakeApi) -> None:
    says(api, LOST)

    found = hpc("cluster", "doctor", "--json", status=1).json

    assert found["healthy"] is False
    assert found["findings"] == [
        {
            "severity": "SEVERITY_ERROR",
            "rule": "node_unreachable",
            "text": "node n2 is not reachable",
            "why": "nothing runs there",
            "action": "see to it",
            "command": "hpc node why n2",
            "nodes": ["n2"],
            "job_ids": [],
        }
    ]


def test_another_version_and_another_time_than_the_heads_are_found_here(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.diagnosis = pb.DiagnoseClusterResponse(version="0.0.1")
    api.diagnosis.time.FromSeconds(1_000_000_000)

    told = hpc("cluster", "doctor", "-q", status=1).out.split()
    text = hpc("cluster", "doctor", status=1).out

    assert told == ["cli_version", "cli_clock"]
    assert "ahead of the head's" in text


def test_who_is_no_administrator_is_refused_with_status_4(
    hpc: CommandLine, api: FakeApi
) -> None:
    refusal = HpcError(
        "PERMISSION_DENIED", user="ann", operation="diagnose the cluster"
    )
    api.faults["DiagnoseCluster"].append(refusal)

    result = hpc("cluster", "doctor", status=4)

    assert "diagnose the cluster" in result.err
    assert result.out == ""
