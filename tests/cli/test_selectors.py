"""Which jobs a command line names and chooses (cli.md section 2)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from hpcsched.cli import choosing, job_change, waiting
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


@pytest.fixture
def jobs(api: FakeApi) -> FakeApi:
    """Jobs 1 to 7: active, ended, labelled, and one of somebody else."""
    for state in ("QUEUED", "FINISHED", "RUNNING", "FAILED", "CANCELED"):
        api.add_job(state)
    api.add_job("QUEUED", owner="bob")
    api.add_job("QUEUED", custom_properties={"kind": "a,b"})
    return api


@pytest.mark.parametrize(
    ("selectors", "canceled"),
    [
        (("7", "1"), [7, 1]),
        (("7,1",), [7, 1]),
        (("last",), [7]),
        (("all",), [1, 3, 7]),
        (("1-5",), [1, 3]),
        (("2-100",), [3, 7]),
        (("7,1-3",), [7, 1, 3]),
        (("1-3", "3"), [1, 3]),
        (("state=queued",), [1, 7]),
        (("state=STATE_Running",), [3]),
        (("state=running,queued",), [3, 1, 7]),
        (("label:kind=a,b",), [7]),
        (("6",), [6]),
    ],
)
def test_selectors_name_in_order_and_choose_by_ascending_id(
    hpc: CommandLine, jobs: FakeApi, selectors: tuple[str, ...], canceled: list[int]
) -> None:
    result = hpc("job", "cancel", *selectors, "--quiet")

    assert [int(line) for line in result.out.split()] == canceled


@pytest.mark.parametrize("selector", ["state=validating", "4-5", "label:kind=z"])
def test_choosing_none_is_no_error_and_is_told(
    hpc: CommandLine, jobs: FakeApi, selector: str
) -> None:
    result = hpc("job", "cancel", selector)

    assert (result.out, result.err) == ("", "hpc: no job matches\n")
    assert jobs.asked("CancelJobs") == []


@pytest.mark.parametrize(
    "selector",
    ["0", "x", "1.2", "5-1", "state=", "state=lost", "label:", "label:k", "1,,2", "-1"],
)
def test_what_is_no_selector_is_a_usage_error(
    hpc: CommandLine, api: FakeApi, selector: str
) -> None:
    hpc("job", "cancel", selector, status=2)

    assert api.requests == []


def test_an_id_that_is_written_out_is_refused_and_what_was_done_is_kept(
    hpc: CommandLine, jobs: FakeApi
) -> None:
    result = hpc("job", "cancel", "1", "2", "3", "--json", status=1)

    assert [job["id"] for job in result.json["jobs"]] == [1]
    assert result.error["reason"] == "INVALID_CANCEL_JOB_STATE"
    assert jobs.jobs[3].state == jobs.jobs[3].STATE_RUNNING, "it stops at the refusal"


def test_a_chosen_job_that_has_ended_meanwhile_is_left_out(
    hpc: CommandLine, jobs: FakeApi
) -> None:
    late = HpcError("INVALID_CANCEL_JOB_STATE", job_id=3, state="Finished")
    late.facts["done"] = "1"
    jobs.faults["CancelJobs"].append(late)

    result = hpc("job", "cancel", "all", "--quiet")

    assert result.out.split() == ["1", "7"]
    assert [list(call.job_ids) for call in jobs.asked("CancelJobs")] == [[1, 3, 7], [7]]


def test_the_message_of_a_cancel_is_sent_unchanged(
    hpc: CommandLine, jobs: FakeApi
) -> None:
    result = hpc("job", "cancel", "1", "--message", " wrong\tinput ", "--json")

    assert result.json["jobs"][0]["error_message"] == " wrong\tinput "


def test_force_reaches_jobs_that_are_being_canceled(
    hpc: CommandLine, jobs: FakeApi
) -> None:
    jobs.jobs[3].state = jobs.jobs[3].STATE_CANCELING
    jobs.faults["CancelJobs"].append(HpcError("DISK_FULL"))

    assert hpc("job", "cancel", "3-3", "--quiet").out == ""
    hpc("job", "cancel", "3-3", "--force", status=1)

    call = jobs.asked("CancelJobs")[0]
    assert (list(call.job_ids), call.force) == ([3], True)


def test_force_and_graceful_exclude_each_other(hpc: CommandLine) -> None:
    hpc("job", "cancel", "1", "--force", "--graceful", status=2)


@pytest.mark.parametrize(
    ("verb", "chosen"),
    [
        ("requeue", ["3", "4", "5"]),
        ("finish", ["1", "3", "7"]),
        ("configure", ["1", "4", "5", "7"]),
    ],
)
def test_each_verb_chooses_the_states_that_allow_it(
    hpc: CommandLine, jobs: FakeApi, verb: str, chosen: list[str]
) -> None:
    assert hpc("job", verb, "all", "--quiet").out.split() == chosen


def test_forget_deletes_ended_jobs_only(hpc: CommandLine, jobs: FakeApi) -> None:
    assert hpc("job", "forget", "all", "--json").json == {"job_ids": [2, 4, 5]}
    assert sorted(jobs.jobs) == [1, 3, 6, 7]


def test_clone_prints_the_new_ids(hpc: CommandLine, jobs: FakeApi) -> None:
    assert hpc("job", "clone", "2", "1").out == "8\n9\n"


def test_tasks_are_acted_on_job_by_job_in_the_order_given(
    hpc: CommandLine, jobs: FakeApi
) -> None:
    jobs.add_task(1)

    result = hpc("task", "cancel", "1.2,1.1", "3.1", "--message", "m", "--quiet")

    assert result.out.split() == ["1.2", "1.1", "3.1"]
    calls = jobs.asked("CancelTasks")
    assert [(call.job_id, [t.task_id for t in call.tasks]) for call in calls] == [
        (1, [2, 1]),
        (3, [1]),
    ]
    assert calls[0].message == "m"


def test_tasks_stop_at_the_first_refusal(hpc: CommandLine, jobs: FakeApi) -> None:
    result = hpc("task", "requeue", "1.1", "1.9", "3.1", "--json", status=1)

    assert [task["task_id"] for task in result.json["tasks"]] == [1]
    assert result.error["reason"] == "TASK_NOT_FOUND"
    assert len(jobs.asked("RequeueTasks")) == 1


@pytest.mark.parametrize("name", ["1", "1.0", "1.1.0", "x.1", "1.1.1.1"])
def test_what_names_no_task_is_a_usage_error(hpc: CommandLine, name: str) -> None:
    hpc("task", "show", name, status=2)


def test_many_jobs_are_read_back_by_lists_and_not_one_by_one(
    hpc: CommandLine, api: FakeApi
) -> None:
    numbers = [api.add_job() for _ in range(60)]

    told = hpc("job", "cancel", "40-60", "2", "1,20-39", "--json").json["jobs"]

    assert [job["id"] for job in told] == [*numbers[39:], 2, 1, *numbers[19:39]]
    assert [one.job_id for one in api.asked("GetJob")] == [2, 1]


def test_a_terminal_is_told_how_far_it_is_and_how_many_are_in_which_state(
    hpc: CommandLine, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_change, "MANY", 4)
    monkeypatch.setattr(choosing, "BATCH", 3)
    monkeypatch.setattr(waiting, "MOST_LINES", 4)
    for _ in range(10):
        api.add_job()
    piped = hpc("job", "cancel", "1-5")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = hpc("job", "cancel", "6-10")

    assert (len(piped.out.splitlines()), piped.err) == (5, "")
    assert told.out in {"5 jobs: 5 Canceling\n", "5 jobs: 5 Canceled\n"}
    assert told.err.splitlines() == [
        "hpc: 0 of 5 jobs done",
        "hpc: 3 of 5 jobs done",
    ]
