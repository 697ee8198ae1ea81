"""Groups, labels, cores and what else is said of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import node_pb2, watch_service_pb2
from hpcsched.cli.event_lines import event_lines

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


@pytest.fixture
def nodes(api: FakeApi) -> FakeApi:
    for name in ("n1", "n2", "n3"):
        api.add_node(name)
    return api


def test_groups_are_made_changed_and_deleted(hpc: CommandLine, nodes: FakeApi) -> None:
    made = hpc("group", "create", "gpu", "n[1-2]", "--description", "fast", "--json")
    assert (made.json["name"], made.json["nodes"]) == ("gpu", ["n1", "n2"])
    assert "3 n[1-3]" in hpc("group", "add", "gpu", "n3").out
    assert hpc("group", "remove", "gpu", "n1", "--json").json["nodes"] == ["n2", "n3"]
    hpc("group", "describe", "gpu", "slow")

    assert hpc("group", "show", "gpu", "--json").json["description"] == "slow"
    (listed,) = hpc("group", "list", "--json").json["groups"]
    assert (listed["name"], listed["node_count"], listed["nodes"]) == ("gpu", 2, [])
    assert hpc("group", "list", "-q").out == "gpu\n"
    hpc("group", "delete", "gpu")
    error = hpc("group", "show", "gpu", "--json", status=1).error
    assert error["metadata"]["hresult"] == "-2147220937"
    assert all(
        request.request_id
        for method in ("CreateNodeGroup", "AddNodesToGroup", "DeleteNodeGroup")
        for request in nodes.asked(method)
    )


def test_a_fence_is_a_word_on_lost_nodes(hpc: CommandLine, nodes: FakeApi) -> None:
    hpc("node", "fence", "n[1-2]", "--reason", "no power")

    (request,) = nodes.asked("OfflineNodes")
    assert list(request.names) == ["n1", "n2"]
    assert (request.fenced, request.drain, request.reason) == (True, False, "no power")


def test_a_group_stands_for_its_nodes(hpc: CommandLine, nodes: FakeApi) -> None:
    hpc("group", "create", "gpu", "n1", "n3")

    assert hpc("node", "drain", "group:gpu", "n2", "-q").out.split() == [
        "n1",
        "n3",
        "n2",
    ]
    assert len(hpc("node", "show", "group:gpu", "--json").json["nodes"]) == 2
    hpc("node", "offline", "group:none", status=1)
    hpc("group", "create", "both", "group:gpu", "n2")
    assert list(nodes.groups["both"].nodes) == ["n1", "n3", "n2"]


def test_nodes_are_listed_by_group_and_label(hpc: CommandLine, nodes: FakeApi) -> None:
    hpc("node", "list", "--group", "gpu,fast", "--label", "rack=7", "--label", "os")

    (request,) = nodes.asked("ListNodes")
    assert list(request.groups) == ["gpu", "fast"]
    assert dict(request.labels) == {"rack": "7", "os": ""}


def test_labels_follow_the_nodes(hpc: CommandLine, nodes: FakeApi) -> None:
    found = hpc("node", "label", "n[1-2]", "rack=7", "note=", "--json").json["nodes"]

    assert found[1]["labels"] == {"rack": "7", "note": ""}
    (request,) = nodes.asked("UpdateNodes")
    assert list(request.names) == ["n1", "n2"]
    for words in (["n1"], ["rack=7"], ["n1", "=7"], ["n[2-1]", "a=b"]):
        hpc("node", "label", *words, status=2)


def test_kinds_of_jobs_and_affinity_are_set(hpc: CommandLine, nodes: FakeApi) -> None:
    hpc("node", "set", "n1", "--job-types", "admin,Batch", "--affinity", "none")

    (request,) = nodes.asked("UpdateNodes")
    assert list(request.job_types) == [
        node_pb2.Node.JOB_TYPE_ADMIN,
        node_pb2.Node.JOB_TYPE_BATCH,
    ]
    assert request.affinity == node_pb2.Node.AFFINITY_NO_JOBS
    hpc("node", "set", "n1", status=2)
    hpc("node", "set", "n1", "--job-types", "work", status=2)
    hpc("node", "set", "n2", "--job-types", "admin")
    assert not nodes.asked("UpdateNodes")[-1].HasField("affinity")
    assert "takes admin jobs only" in hpc("node", "why", "n2").out


def test_nodes_are_forgotten(hpc: CommandLine, nodes: FakeApi) -> None:
    assert hpc("node", "forget", "n[2-3]", "-q").out.split() == ["n2", "n3"]

    assert list(nodes.nodes) == ["n1"]
    hpc("node", "forget", "n2", status=1)


def test_cores_are_shown_with_what_runs_on_them(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    answer = hpc("node", "show", "n1", "--cores", "--json").json

    assert answer["name"] == "n1"
    assert answer["cores"][0]["state"] == "STATE_BUSY"
    assert answer["counters"]["busy_cores"] == 1
    lines = hpc("node", "show", "all", "--cores").out.splitlines()
    assert len(lines) == 1 + 3 * 4
    assert lines[1].split() == ["n1", "0", "Busy", "1", "1.2.3"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {"name": "NodeGroupCreated", "node_group": "gpu", "actor": "root"},
            "group gpu  created by root",
        ),
        (
            {
                "name": "NodeGroupsChanged",
                "actor": "node:n1",
                "node_change": {
                    "node": "n1",
                    "joined_groups": ["a"],
                    "left_groups": "b",
                },
            },
            "node n1  groups +a -b",
        ),
        (
            {
                "name": "NodeChanged",
                "actor": "root",
                "message": "rack=7",
                "node_change": {"node": "n1", "state": 3, "previous_state": 3},
            },
            "node n1  changed (rack=7) by root",
        ),
        (
            {
                "name": "NodeOffline",
                "actor": "root",
                "message": "disk",
                "node_change": {
                    "node": "n1",
                    "state": 1,
                    "previous_state": 3,
                    "reachable": True,
                },
            },
            "node n1  Online -> Offline (disk) by root",
        ),
    ],
)
def test_an_event_of_a_node_is_a_line(event: dict[str, object], line: str) -> None:
    (text,) = event_lines(watch_service_pb2.Event(**event))  # type: ignore[arg-type]

    assert text.split("  ", 1)[1] == line
