"""``--filter``, ``--sort`` and ``--columns``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import listing_pb2

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name=run", [("name", "EQUAL", ["run"])]),
        ("name = a b", [("name", "EQUAL", ["a b"])]),
        ("name=", [("name", "EQUAL", [""])]),
        ("state=queued,running", [("state", "IN", ["queued", "running"])]),
        ("priority!=1", [("priority", "NOT_EQUAL", ["1"])]),
        ("id!=1,2", [("id", "NOT_EQUAL", ["1"]), ("id", "NOT_EQUAL", ["2"])]),
        ("priority>=3000", [("priority", "GREATER_THAN_OR_EQUAL", ["3000"])]),
        ("priority<1", [("priority", "LESS_THAN", ["1"])]),
        ("name^=a=b", [("name", "START_WITH", ["a=b"])]),
        ("end_time=null", [("end_time", "IS_NULL", [])]),
        ("end_time!=null", [("end_time", "IS_NOT_NULL", [])]),
        ("end_time>2026-01-01", [("end_time", "GREATER_THAN", ["2026-01-01"])]),
    ],
)
def test_a_filter_is_a_name_a_sign_and_a_value(
    text: str,
    expected: list[tuple[str, str, list[str]]],
    hpc: CommandLine,
    api: FakeApi,
) -> None:
    hpc("job", "list", "--owner", "all", "--filter", text)

    name = listing_pb2.FilterOperator.Name
    assert [
        (f.property, name(f.operator).removeprefix("FILTER_OPERATOR_"), [*f.values])
        for f in api.asked("ListJobs")[0].filters
    ] == expected


def test_a_time_may_be_an_age(hpc: CommandLine, api: FakeApi) -> None:
    hpc("job", "list", "--owner", "all", "--filter", "submit_time>1d")

    (value,) = api.asked("ListJobs")[0].filters[0].values
    assert value.endswith("+00:00")
    assert value.startswith("20")


@pytest.mark.parametrize("text", ["queued", "=x", "a b=c", "name~x"])
def test_what_is_no_filter_is_a_usage_error(text: str, hpc: CommandLine) -> None:
    assert "--filter" in hpc("job", "list", "--filter", text, status=2).err


def test_an_order_has_keys_that_may_fall(hpc: CommandLine, api: FakeApi) -> None:
    hpc("job", "list", "--owner", "all", "--sort=-priority, name")

    keys = api.asked("ListJobs")[0].sort
    assert [(k.property, k.descending) for k in keys] == [
        ("priority", True),
        ("name", False),
    ]


def test_columns_show_what_was_asked_for_and_ask_for_nothing_else(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job(name="run")

    shown = hpc("job", "list", "--all", "--columns", "id,state,task_counts.failed")

    header, line = shown.out.splitlines()
    assert header.split() == ["ID", "STATE", "TASK_COUNTS.FAILED"]
    assert line.split()[0] == "1"
    assert list(api.asked("ListJobs")[0].read_mask.paths) == [
        *("id", "state", "task_counts.failed"),
    ]
    found = hpc("job", "list", "--all", "--columns", "id,task_counts.failed", "--json")
    assert found.json["jobs"] == [{"id": 1, "task_counts": {"failed": 0}}]
    assert hpc("job", "list", "--all", "--columns", "state", "-q").out == "1\n"


def test_jobs_are_chosen_by_their_labels(hpc: CommandLine, api: FakeApi) -> None:
    hpc("job", "list", "--owner", "all", "--label", "run=7", "--label", "a=b=c")

    (request,) = api.asked("ListJobs")
    assert dict(request.custom_properties) == {"run": "7", "a": "b=c"}
    assert "--label" in hpc("job", "list", "--label", "run", status=2).err


def test_f8_a_job_that_is_set_aside_is_marked(hpc: CommandLine, api: FakeApi) -> None:
    plain = api.add_job("RUNNING")
    assert "aside" not in hpc("job", "list").out + hpc("cluster", "info").out
    assert "Set aside" not in hpc("job", "show", plain).out
    why = "after a fault of the head in TakeReports: incident 7"

    aside = api.add_job("RUNNING", set_aside=why)

    lines = hpc("job", "list").out.splitlines()
    marked = [line.split()[0] for line in lines if "Running (set aside)" in line]
    assert marked == [str(aside)]
    assert why in hpc("job", "show", aside).out
    assert hpc("job", "show", aside, "--json").json["set_aside"] == why
    assert "Set aside" in hpc("cluster", "info").out
    assert hpc("cluster", "info", "--json").json["jobs_set_aside"] == 1


def test_a_list_of_ones_own_jobs_is_one_call(hpc: CommandLine, api: FakeApi) -> None:
    mine = api.add_job()
    api.jobs[api.add_job()].owner = "eve"

    assert [job["id"] for job in hpc("--json", "job", "list").json["jobs"]] == [mine]
    assert [name for name, _ in api.requests] == ["ListJobs"]
