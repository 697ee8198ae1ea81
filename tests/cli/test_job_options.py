"""Options of jobs beyond the common ones, as they reach the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import job_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_a_jobs_template_groups_and_memory_are_the_jobs(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc(
        *("submit", "--template", "night", "--group", "gpu,fast", "--group", "big"),
        *("--group-op", "union", "--mem", "1.5M", "--", "true"),
    )

    (spec,) = api.specs
    assert spec.job_template == "night"
    assert list(spec.node_groups) == ["gpu", "fast", "big"]
    assert spec.node_group_op == job_pb2.NODE_GROUP_OP_UNION
    assert spec.estimated_process_memory == 2, "a part of a mebibyte counts whole"
    assert spec.tasks[0].requested_node_group == ""


def test_a_memory_without_a_unit_is_a_usage_error(hpc: CommandLine) -> None:
    result = hpc("submit", "--mem", "512", "--", "true", status=2)

    assert "512M" in result.err


def test_each_line_of_a_file_without_lines_is_no_job_of_one_task(
    hpc: CommandLine, api: FakeApi, alone: Path
) -> None:
    (alone / "blank").write_text("\n  \n")
    (alone / "bytes").write_bytes(b"a\xff\n")

    for name, problem in (("blank", "no line that is not blank"), ("bytes", "UTF-8")):
        result = hpc("submit", "--each-line", alone / name, "--", "x", "*", status=2)
        assert problem in result.err
    assert api.requests == []
