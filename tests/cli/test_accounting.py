"""What was used, as the command line shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import accounting_service_pb2 as pb
from hpcsched.api.v1 import job_pb2

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def an_end(**fields: object) -> pb.JobHistory:
    end = pb.JobHistory(
        id=1,
        job_id=42,
        requeue_id=1,
        name="sim",
        owner="ada",
        state=job_pb2.Job.STATE_FAILED,
        core_ms=5_400_000,
        user_cpu_ms=3_600_000,
    )
    end.event_time.seconds = 86400
    return end


def test_ends_of_jobs_are_listed_with_what_they_used(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.accounts["ListJobHistory"] = pb.ListJobHistoryResponse(history=[an_end()])

    text = hpc("cluster", "history", "--owner", "ada", "--since", "7d").out
    assert text.split("\n")[1].split() == [
        *("42", "1", "sim", "ada", "Failed", "1970-01-02T00:00:00.000Z", "1.50", "1.00")
    ]
    asked = api.asked("ListJobHistory")[0]
    assert (asked.owner, asked.HasField("since")) == ("ada", True)
    row = hpc("job", "history", "42", "--ends", "--json").json["history"][0]
    assert (row["state"], row["core_ms"]) == ("STATE_FAILED", "5400000")
    assert api.asked("ListJobHistory")[-1].job_id == 42


def test_allocations_are_those_that_ended_and_those_that_are_held(
    hpc: CommandLine, api: FakeApi
) -> None:
    held = pb.Allocation(job_id=42, node="n1", cores="0-3", core_count=4)
    held.start_time.seconds = 10
    api.accounts["ListAllocations"] = pb.ListAllocationsResponse(allocations=[held])

    text = hpc("job", "history", "42", "--allocations").out

    assert text.splitlines()[1].split()[-1] == "now"
    assert [asked.held for asked in api.asked("ListAllocations")] == [False, True]
    hpc("job", "history", "42", "--allocations", "--ends", status=2)


def test_what_happened_to_nodes_is_listed(hpc: CommandLine, api: FakeApi) -> None:
    row = pb.NodeHistory(
        id=5, node="n1", event=pb.NODE_EVENT_UNREACHABLE, message="silence"
    )
    api.accounts["ListNodeHistory"] = pb.ListNodeHistoryResponse(history=[row])

    assert "Unreachable" in hpc("node", "history", "n[1-2]").out
    assert [one.node for one in api.asked("ListNodeHistory")] == ["n1", "n2"]
    found = hpc("node", "history", "--json").json["history"][0]
    assert found["event"] == "NODE_EVENT_UNREACHABLE"


def test_use_is_summed_up_as_asked(hpc: CommandLine, api: FakeApi) -> None:
    row = pb.Usage(owner="ada", core_ms=7_200_000, jobs_finished=3)
    api.accounts["ListUsage"] = pb.ListUsageResponse(usage=[row])

    text = hpc("cluster", "usage", "--since", "30d").out
    assert text.splitlines()[1].split() == ["ada", "2.00", "0.00", "3", "0", "0"]
    asked = api.asked("ListUsage")[0]
    assert list(asked.by) == ["owner"]
    assert len(asked.first_day) == len("2026-11-21")
    hpc("cluster", "usage", "--by", "project,day", "--project", "sky")
    asked = api.asked("ListUsage")[1]
    assert (set(asked.by), asked.project) == ({"day", "project"}, "sky")
    found = hpc("cluster", "usage", "--by", "owner", "--json").json["usage"]
    assert found[0]["core_ms"] == "7200000"
