"""Nodes, parameters and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import cluster_service_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_nodes_are_named_by_lists_and_all(hpc: CommandLine, api: FakeApi) -> None:
    for name in ("n1", "n2", "n3"):
        api.add_node(name)

    assert hpc("node", "list", "n[1-2]", "-q").out.split() == ["n1", "n2"]
    drained = hpc("node", "drain", "n[2-3]", "--reason", "disk", "--json").json["nodes"]
    assert [node["state"] for node in drained] == ["STATE_DRAINING"] * 2
    assert api.asked("OfflineNodes")[0].reason == "disk"
    assert "disk" in hpc("node", "why", "n2").out
    assert hpc("node", "show", "n1", "--json").json["name"] == "n1"
    assert len(hpc("node", "show", "all", "--json").json["nodes"]) == 3
    assert hpc("node", "resume", "all", "-q").out.split() == ["n1", "n2", "n3"]
    assert hpc("node", "offline", "n9", "--json", status=1).error["reason"] == (
        "NODE_NOT_FOUND"
    )
    hpc("node", "list", "n[2-1]", status=2)


def test_exec_shows_each_nodes_lines_after_its_name(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_node("n1")
    api.add_node("n2")

    result = hpc("node", "exec", "all", "--", "hostname")

    assert sorted(result.out.splitlines()) == ["n1: on n1", "n2: on n2"]
    assert result.err == "1\n"
    call = api.asked("CreateCommand")[0]
    assert (list(call.nodes), list(call.arguments)) == (["n1", "n2"], ["hostname"])


def test_parameters_are_read_and_set_by_name(hpc: CommandLine, api: FakeApi) -> None:
    api.parameters["JobRetryCount"] = cluster_service_pb2.Parameter(
        name="JobRetryCount", value="3", default_value="3"
    )

    assert hpc("cluster", "get", "jobretrycount").out == "JobRetryCount=3\n"
    assert hpc("cluster", "set", "JobRetryCount=5").out == "JobRetryCount=5\n"
    found = hpc("cluster", "get", "--json").json["parameters"][0]
    assert (found["value"], found["default_value"]) == ("5", "3")
    hpc("cluster", "set", "JobRetryCount", status=2)
    api.parameters["JobRetryCuont"] = cluster_service_pb2.Parameter(
        name="JobRetryCuont", user_defined=True
    )
    assert "JobRetryCuont" in hpc("cluster", "set", "JobRetryCuont=5").err


def test_variables_of_every_task_are_shown_and_set(
    hpc: CommandLine, api: FakeApi
) -> None:
    assert hpc("cluster", "env").out == ""
    assert hpc("cluster", "env", "B=2", "A=x=y").out == "A=x=y\nB=2\n"
    assert hpc("cluster", "env", "--json").json == {"variables": {"A": "x=y", "B": "2"}}
    assert dict(api.asked("SetVariables")[0].values) == {"A": "x=y", "B": "2"}
    hpc("cluster", "env", "A", status=2)


def test_info_and_usage_tell_who_uses_what(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job("RUNNING", allocated_cores=3)
    api.add_job("QUEUED", owner="bob")
    api.add_job("FINISHED")

    assert hpc("cluster", "info", "--json").json["user"] == "ada"
    owners = hpc("cluster", "usage", "--json").json["owners"]
    assert [(owner["owner"], owner["jobs"]) for owner in owners] == [
        ("ada", 1),
        ("bob", 1),
    ]
    assert owners[0]["cores"] == 3


def test_a_tokens_secret_goes_to_its_file_only(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    path = alone / "t"
    path.write_text("old")
    path.chmod(0o644)

    result = hpc("token", "create", "--user", "bob", "--expires", "1d", "--out", path)

    assert (result.out, result.err) == ("t1\n", "")
    assert path.read_text() == "secret-t1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    call = api.asked("CreateToken")[0]
    assert call.role == cluster_service_pb2.ROLE_USER
    assert call.lifetime.seconds == 86400
    assert [t["id"] for t in hpc("token", "list", "--json").json["tokens"]] == ["t1"]
    assert hpc("token", "revoke", "t1").out == "token t1 revoked\n"
    assert hpc("token", "revoke", "t1", "--json", status=1).error["reason"] == (
        "TOKEN_NOT_FOUND"
    )


def test_a_token_that_cannot_be_written_is_not_made(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc("token", "create", "--user", "b", "--out", "/proc/none/x", status=1)

    assert api.asked("CreateToken") == []
