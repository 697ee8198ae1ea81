"""``modify``, ``hold``, ``release``, ``--hold-until`` and ``--parent``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.cli.moments import parse_moment

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

NOW = datetime(2026, 1, 31, 12, 0, 0).astimezone().timestamp()


def test_properties_are_given_by_name(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()

    hpc(
        *("job", "modify", "1", "priority=abovenormal", "runtime=1h30m", "progress=0"),
        *("requested_nodes=n[1-2],m", "is_exclusive=yes", "node_loss=hold"),
        *("parent_job_ids=3,4", "environment.MODE=a=b", "custom_properties.run=7"),
    )

    (request,) = api.asked("ModifyJob")
    spec = job_pb2.JobSpec(
        priority=3000,
        progress=0,
        requested_nodes=["n1", "n2", "m"],
        is_exclusive=True,
        node_loss=job_pb2.NODE_LOSS_HOLD,
        parent_job_ids=[3, 4],
        environment={"MODE": "a=b"},
        custom_properties={"run": "7"},
    )
    spec.runtime.seconds = 5400
    assert request.spec == spec
    assert list(request.fields) == [
        *("priority", "runtime", "progress", "requested_nodes", "is_exclusive"),
        *("node_loss", "parent_job_ids", "environment.MODE", "custom_properties.run"),
    ]


@pytest.mark.parametrize("word", ["a\udcff=1", "project=a\udcff", "name\udcff"])
def test_a_word_that_is_no_utf_8_text_is_a_usage_error(
    hpc: CommandLine, word: str
) -> None:
    result = hpc("job", "modify", "1", word, status=2)

    assert result.err.startswith("hpc: USAGE: an argument is no UTF-8 text.")


def test_an_ended_job_that_is_modified_says_that_it_does_not_run(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job("CONFIGURING", previous_state=job_pb2.Job.STATE_FAILED)

    result = hpc("job", "modify", "1", "name=x")

    assert result.out == (
        "job 1 modified; it is Configuring now, until: hpc job submit 1\n"
    )


def test_an_empty_value_clears(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()

    hpc("job", "modify", "1", "runtime=", "environment=", "environment.A=")

    (request,) = api.asked("ModifyJob")
    assert request.spec == job_pb2.JobSpec()
    assert list(request.fields) == ["runtime", "environment", "environment.A"]


def test_a_task_is_changed_alike(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()
    api.tasks[1] = []
    api.add_task(1)

    result = hpc(
        *("task", "modify", "1.1", "arguments=sim --name 'a b' *", "type=sweep"),
        *("end_value=9", "depends_on=a,b", "--if-revision", "4"),
    )

    (request,) = api.asked("ModifyTask")
    assert request.spec == task_pb2.TaskSpec(
        arguments=["sim", "--name", "a b", "*"],
        type=task_pb2.TASK_TYPE_PARAMETRIC_SWEEP,
        end_value=9,
        depends_on=["a", "b"],
    )
    assert (request.task_id, request.expected_revision) == (1, 4)
    assert "task 1.1 modified" in result.out


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("priority", "is not KEY=VALUE"),
        ("=3", "is not KEY=VALUE"),
        ("priorty=3", "did you mean priority?"),
        ("tasks=x", "no property is called 'tasks'"),
        ("runtime=90", "a number without a unit"),
        ("min_cores=two", "is no whole number"),
        ("is_exclusive=maybe", "neither true nor false"),
        ("node_loss=wait", "none of rerun, fence, hold"),
        ("hold_until=soon", "is no time"),
        ("name.first=x", "names no entry of a map"),
        ("environment.=x", "names no entry of a map"),
        ("environment=A", "is not NAME=VALUE"),
        ("min_cores=99999999999", "min_cores"),
    ],
)
def test_what_is_malformed_is_a_usage_error(
    hpc: CommandLine, api: FakeApi, word: str, problem: str
) -> None:
    api.add_job()

    result = hpc("job", "modify", "1", word, status=2)

    assert problem in result.err
    assert not api.asked("ModifyJob")


def test_a_name_is_given_once(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()

    result = hpc("job", "modify", "1", "name=a", "name=b", status=2)

    assert "given twice" in result.err


def test_jobs_are_held_and_released(hpc: CommandLine, api: FakeApi) -> None:
    for _ in range(3):
        api.add_job("QUEUED")

    result = hpc("job", "hold", "1-2", "--until", "2026-01-31T12:00:00Z", "--json")
    hpc("job", "hold", "3")
    hpc("job", "release", "3", "1")

    held = [job["pending_reason"] for job in result.json["jobs"]]
    assert held == ["HeldByUser"] * 2
    asked = api.asked("HoldJobs")
    until = asked[0].until
    assert until.ToJsonString() == "2026-01-31T12:00:00Z"
    assert not asked[-1].HasField("until")
    assert [one for call in api.asked("ReleaseJobs") for one in call.job_ids] == [3, 1]


def test_a_job_is_submitted_with_a_hold_and_with_parents(
    hpc: CommandLine, api: FakeApi
) -> None:
    hold = "2026-01-31T12:00:00+01:00"
    hpc("submit", "--hold-until", hold, "--parent", "3,4", "--parent", "4", "--", "x")

    (spec,) = api.specs
    assert spec.hold_until.ToJsonString() == "2026-01-31T11:00:00Z"
    assert list(spec.parent_job_ids) == [3, 4]


def test_a_parent_is_a_number_of_a_job(hpc: CommandLine) -> None:
    assert "'x' is no number" in hpc("submit", "--parent", "x", "--", "y", status=2).err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+2h", NOW + 7200),
        ("13:30", NOW + 5400),
        ("11:00", NOW + 23 * 3600),
        ("2026-01-31 12:00:10", NOW + 10),
        ("2026-02-01", NOW + 12 * 3600),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
    ],
)
def test_a_point_in_time(text: str, wanted: float) -> None:
    assert parse_moment(text, NOW) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["", "soon", "+90", "25:00", "2026-13-01", "90"])
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time|without a unit"):
        parse_moment(text, NOW)
