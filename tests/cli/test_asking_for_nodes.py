"""Options about nodes, and excluding them from a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import job_pb2

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

MANY: list[tuple[tuple[str, ...], str, Any]] = [
    (("--group", "a,b", "--group", "c"), "node_groups", ["a", "b", "c"]),
    (("--group-op", "union"), "node_group_op", job_pb2.NODE_GROUP_OP_UNION),
    (("--group-op", "uniform"), "node_group_op", job_pb2.NODE_GROUP_OP_UNIFORM),
    (("--mem", "4G"), "estimated_process_memory", 4096),
    (("--mem", "1K"), "estimated_process_memory", 1),
    (("--single-node",), "single_node", True),
    (("--order-by", "-cores"), "order_by", "-cores"),
    (("--exclusive",), "is_exclusive", True),
    (("--nodes", "2-4"), "unit_type", job_pb2.UNIT_TYPE_NODE),
    (("--nodes", "2-4"), "min_nodes", 2),
    (("--sockets", "2-4"), "max_sockets", 4),
]


@pytest.mark.parametrize(("options", "field", "value"), MANY)
def test_options_become_properties_of_the_job(
    hpc: CommandLine,
    api: FakeApi,
    options: tuple[str, ...],
    field: str,
    value: Any,
) -> None:
    hpc("job", "new", *options)
    hpc("submit", *options, "--", "cmd")

    for spec in api.specs:
        found = getattr(spec, field)
        assert (list(found) if isinstance(value, list) else found) == value


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--mem", "512"), "write 512M or 512B"),
        (("--mem", "much"), "write it as 512M"),
        (("--mem", "99999999T"), "more than 2047T"),
        (("--group-op", "some"), "intersect"),
    ],
)
def test_what_is_malformed_is_a_usage_error(
    hpc: CommandLine, api: FakeApi, options: tuple[str, ...], told: str
) -> None:
    assert told in hpc("submit", *options, "--", "cmd", status=2).err
    assert not api.specs


@pytest.mark.parametrize(
    ("unit", "held", "text"),
    [
        (job_pb2.UNIT_TYPE_NODE, 2, "16 on 2 of 2-4 nodes"),
        (job_pb2.UNIT_TYPE_SOCKET, 3, "16 on 3 of 2-4 sockets"),
    ],
)
def test_show_counts_in_the_unit_of_the_job(
    hpc: CommandLine, api: FakeApi, unit: Any, held: int, text: str
) -> None:
    job_id = api.add_job("RUNNING")
    job = api.jobs[job_id]
    job.unit_type, job.min_units, job.max_units = unit, 2, 4
    job.allocated_cores = 16
    job.current_node_count = job.current_socket_count = held

    assert text in hpc("job", "show", job_id).out


def test_nodes_are_excluded_and_allowed_again_while_a_job_runs(
    hpc: CommandLine, api: FakeApi
) -> None:
    job_id = api.add_job("RUNNING")

    hpc("job", "modify", job_id, "excluded_nodes+=n[1-3]")
    assert list(api.jobs[job_id].excluded_nodes) == ["n1", "n2", "n3"]
    hpc("job", "modify", job_id, "excluded_nodes-=n2")
    assert list(api.jobs[job_id].excluded_nodes) == ["n1", "n3"]
    done = hpc("job", "modify", job_id, "excluded_nodes=")
    assert list(api.jobs[job_id].excluded_nodes) == []
    assert done.out == f"job {job_id} modified\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("excluded_nodes+=n1", "name=x"), "stands alone"),
        (("excluded_nodes-=",), "names no node"),
        (("excluded_nodes+=n[2-1]",), "excluded_nodes"),
        (("--if-revision", "3", "excluded_nodes+=n1"), "--if-revision"),
    ],
)
def test_excluding_is_a_call_of_its_own(
    hpc: CommandLine, api: FakeApi, words: tuple[str, ...], told: str
) -> None:
    job_id = api.add_job("RUNNING")

    assert told in hpc("job", "modify", job_id, *words, status=2).err
    assert not api.asked("AddExcludedNodes")
